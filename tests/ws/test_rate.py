"""The buckets that may go into debt."""

from __future__ import annotations

from wsproxy.config.model import Rate
from wsproxy.ws.rate import RateState


def test_a_full_bucket_lets_as_many_through_at_once() -> None:
    state = RateState(Rate(10, 1), now=0)
    assert state.wait_s(10, 0) == 0
    assert state.wait_s(11, 0) == 0.1


def test_a_debt_is_waited_off() -> None:
    state = RateState(Rate(60, 60), now=0)
    assert state.wait_s(70, 0) == 10
    assert state.wait_s(70, 4) == 6
    assert state.wait_s(71, 10) == 1


def test_a_bucket_holds_no_more_than_its_amount() -> None:
    state = RateState(Rate(10, 1), now=0)
    assert state.wait_s(20, 1000) == 1
