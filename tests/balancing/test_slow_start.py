"""Shares that grow: linearly, never none, and the same for every policy that looks at weights."""

from __future__ import annotations

from random import Random

import pytest

from tests.balancing.candidates import Server, shares
from wsproxy.balancing.algorithms import make_policy
from wsproxy.balancing.slow_start import PARTS, parts_of, step_s, warm_parts


@pytest.mark.parametrize(
    ("weight", "age_s", "parts"),
    [(1, 0.0, 1), (1, 3.0, 10), (1, 15.0, 50), (3, 15.0, 150), (0, 15.0, 50), (1, 30.0, 100), (1, 99.0, 100)],
)
def test_parts_grow_linearly(weight: int, age_s: float, parts: int) -> None:
    assert warm_parts(weight, age_s, 30.0) == parts


def test_a_weight_of_none_counts_as_one() -> None:
    assert (parts_of(0), parts_of(1), parts_of(7)) == (PARTS, PARTS, 7 * PARTS)


@pytest.mark.parametrize(("slow_start_s", "expected"), [(30.0, 1.5), (0.1, 0.25)])
def test_steps(slow_start_s: float, expected: float) -> None:
    assert step_s(slow_start_s) == expected


@pytest.mark.parametrize("algorithm", ["weighted-round-robin", "least-connections", "two-choices", "ip-hash"])
@pytest.mark.parametrize("age_s", [6.0, 15.0, 30.0])
def test_the_share_of_a_newcomer(algorithm: str, age_s: float) -> None:
    """100,000 picks with 200 of them in hand at any time."""
    newcomer = warm_parts(1, age_s, 30.0)
    candidates = (Server("a", parts_of(1)), Server("b", parts_of(1)), Server("new", newcomer))
    found = shares(make_policy(algorithm, Random(1)), candidates, in_hand=200)
    expected = newcomer / (2 * PARTS + newcomer)
    assert found["new"] == pytest.approx(expected, abs=0.03)
    assert found["a"] == pytest.approx((1 - expected) / 2, abs=0.03)
