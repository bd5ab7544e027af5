"""Who loses sessions after a scale-up, and how many a second."""

from __future__ import annotations

import pytest

from wsproxy.ws.rebalance import surplus


@pytest.mark.parametrize(
    ("held", "moves"),
    [
        ({}, {}),
        ({"a": 1000}, {}),
        ({"a": 0, "b": 0}, {}),
        ({"a": 340, "b": 330, "c": 330}, {}),
        ({"a": 11, "b": 8}, {}),  # what chance does
        ({"a": 500, "b": 500, "c": 0}, {"a": 10}),
        ({"a": 30, "b": 0}, {"a": 1}),
        ({"a": 100_000, "b": 99_000, "c": 98_900}, {}),
    ],
)
def test_surplus(held: dict[str, int], moves: dict[str, int]) -> None:
    assert surplus(held) == moves


def test_it_comes_to_rest() -> None:
    held = {"a": 5000, "b": 5000, "c": 0}
    seconds = 0
    while moves := surplus(held):
        assert sum(moves.values()) <= 100
        for backend, count in moves.items():
            held[backend] -= count
            held["c"] += count
        seconds += 1
    assert seconds < 40
    assert max(held.values()) - min(held.values()) < 600
