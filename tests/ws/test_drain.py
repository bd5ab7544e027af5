"""The pace of a drain."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest

from wsproxy.ws.drain import default_rate, moments


@pytest.mark.parametrize(
    ("sessions", "period_s", "rate"), [(2000, 10, 200), (30, 15, 50), (0, 15, 50), (7, 0, 7), (0, 0, 1)]
)
def test_the_default_rate(sessions: int, period_s: float, rate: float) -> None:
    assert default_rate(sessions, period_s) == rate


def test_each_session_has_its_slot() -> None:
    times = list(moments(2000, 200, Random(1)))
    assert [int(at * 200 + 1e-9) for at in times] == list(range(2000))
    assert all(first < second for first, second in pairwise(times))


def test_the_places_in_the_slots_are_random() -> None:
    places = [at * 10 % 1 for at in moments(1000, 10, Random(1))]
    assert min(places) < 0.05
    assert max(places) > 0.95
