"""When a server that failed is looked after, and what of it is news."""

from __future__ import annotations

import pytest

from wsproxy.protection.outage import CALM_S, FIRST_PAUSE_S, JITTER, LONGEST_PAUSE_S, OutageState


def is_asked_on_trial(state: OutageState) -> bool:
    state.answered()
    return state.is_open


def test_questions_are_asked_until_one_fails() -> None:
    assert OutageState().is_open


def test_an_outage_begins_once_and_ends_after_a_trial_that_went_well() -> None:
    state = OutageState()
    assert state.end(1.0) is None, "there is none"
    assert state.failed(10.0)
    assert not state.is_open
    assert not state.failed(10.1), "others had asked at the same time"
    assert state.end(11.0) is None, "nothing was answered yet"
    assert is_asked_on_trial(state)
    assert state.began_at == 10.0
    assert state.end(15.0) == 5.0
    assert state.end(16.0) is None, "it is over"
    assert state.failed(100.0), "another one"


def test_a_fault_on_trial_is_the_same_outage() -> None:
    state = OutageState()
    state.failed(10.0)
    state.answered()
    assert not state.failed(11.0)
    assert not state.is_open
    assert state.end(12.0) is None
    state.answered()
    assert state.end(20.0) == 10.0


def test_pauses_double_and_are_bounded() -> None:
    state = OutageState()
    state.failed(0.0)
    assert [state.pause_s(0.5) for _ in range(5)] == [FIRST_PAUSE_S, 2.0, 4.0, LONGEST_PAUSE_S, LONGEST_PAUSE_S]
    assert state.pause_s(0.0) == pytest.approx(LONGEST_PAUSE_S * (1 - JITTER))
    assert state.pause_s(1.0) == pytest.approx(LONGEST_PAUSE_S * (1 + JITTER))


@pytest.mark.parametrize(("calm_s", "expected"), [(CALM_S - 0.1, 4.0), (CALM_S, FIRST_PAUSE_S)])
def test_what_comes_and_goes_is_looked_after_less_often(calm_s: float, expected: float) -> None:
    state = OutageState()
    state.failed(0.0)
    assert [state.pause_s(0.5) for _ in range(2)] == [1.0, 2.0]
    state.answered()
    assert state.end(10.0) == 10.0
    assert state.failed(10.0 + calm_s)
    assert state.pause_s(0.5) == expected
