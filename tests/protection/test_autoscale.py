"""When managed servers are added and let go, by tables and by recorded load curves."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsproxy.config.group_settings import ScalingSettings
from wsproxy.protection.autoscale import AutoscaleState, Look

SETTINGS = ScalingSettings(max_load=50, min_load=10, upscale_pings=2, downscale_pings=4)


def steps(state: AutoscaleState, looks: Iterable[Look]) -> list[int]:
    return [state.decide(look, 1.0) for look in looks]


@pytest.mark.parametrize(
    ("requests", "websockets", "ready", "expected"),
    [
        (51, 0, 1, [0, 0, 1, 0, 0, 1]),
        (50, 0, 1, [0, 0, 0, 0, 0, 0]),  # above, not at
        (100, 0, 2, [0, 0, 0, 0, 0, 0]),
        (102, 0, 2, [0, 0, 1, 0, 0, 1]),
        (0, 51, 1, [0, 0, 1, 0, 0, 1]),  # WebSockets count
        (30, 30, 1, [0, 0, 1, 0, 0, 1]),
        (19, 0, 2, [0, 0, 0, 0, -1, 0]),
        (20, 0, 2, [0, 0, 0, 0, 0, 0]),
        (0, 20, 2, [0, 0, 0, 0, 0, 0]),
        (0, 0, 1, [0, 0, 0, 0, 0, 0]),  # the last one stays
        (500, 0, 0, [0, 0, 0, 0, 0, 0]),  # nobody is ready: the load is nobody's
    ],
)
def test_rows_of_looks(requests: int, websockets: int, ready: int, expected: list[int]) -> None:
    assert steps(AutoscaleState(SETTINGS), [Look(requests, websockets, ready)] * 6) == expected


def test_one_look_between_ends_a_row() -> None:
    high, low = Look(99, 0, 1), Look(20, 0, 1)
    assert steps(AutoscaleState(SETTINGS), [high, high, low, high, high, high]) == [0, 0, 0, 0, 0, 1]


def test_nothing_is_decided_while_a_server_is_on_its_way() -> None:
    coming = Look(99, 0, 1, coming=1)
    assert steps(AutoscaleState(SETTINGS), [coming] * 9 + [Look(99, 0, 1)] * 3) == [0] * 9 + [0, 0, 1]


def test_load_is_by_time() -> None:
    state = AutoscaleState(SETTINGS)
    assert [state.decide(Look(102, 0, 1), 2.0) for _ in range(3)] == [0, 0, 1]
    assert state.load == 51.0


def test_who_is_left_could_not_carry_it() -> None:
    tight = replace(SETTINGS, max_load=12, min_load=11)  # between two and one there is no stable place
    assert -1 not in steps(AutoscaleState(tight), [Look(21, 0, 2)] * 20)


CURVES = {
    "day": [5] * 60 + [40 * n // 10 for n in range(100)] + [400] * 120 + [400 - 4 * n for n in range(100)] + [3] * 200,
    "bursts": ([5] * 3 + [400] * 2) * 60,
    "teeth": [20, 300] * 150,
    "step": [10] * 60 + [160] * 240,
}
"""Requests a second, recorded a second apart: a day's shape, short bursts, teeth, and a step that stays."""


def followed(curve: list[int], most: int = 10) -> list[int]:
    """How many servers there are after each look, with two looks between a start and readiness."""
    settings = replace(SETTINGS, upscale_pings=5, downscale_pings=20)
    state, ready, coming, counts = AutoscaleState(settings), 1, 0, []
    for requests in curve:
        step = state.decide(Look(requests, 0, ready, coming=int(coming > 0)), 1.0)
        coming = max(0, coming - 1)
        if step > 0 and ready < most:
            ready, coming = ready + 1, 2
        elif step < 0 and ready > 1:
            ready -= 1
        counts.append(ready)
    return counts


def turns(counts: list[int]) -> int:
    """How often growing turned into shrinking or the other way."""
    moves = [after - before for before, after in pairwise(counts) if after != before]
    return sum(one != other for one, other in pairwise(moves))


@pytest.mark.parametrize(
    ("name", "most_turns", "highest"), [("day", 1, 8), ("bursts", 0, 1), ("teeth", 0, 1), ("step", 0, 4)]
)
def test_curves_are_followed_without_oscillation(name: str, most_turns: int, highest: int) -> None:
    counts = followed(CURVES[name])
    assert turns(counts) <= most_turns
    assert max(counts) == highest
    if name == "day":
        assert counts[-1] == 1


@given(load=st.integers(0, 2000))
def test_a_constant_load_comes_to_rest(load: int) -> None:
    counts = followed([load] * 600)
    assert turns(counts) == 0
    assert len(set(counts[-100:])) == 1
