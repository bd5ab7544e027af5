"""The circuit: what opens it, what tries it, what closes it, and what is none of these."""

from __future__ import annotations

from wsproxy.config.watch_settings import BreakerSettings
from wsproxy.protection.breaker import BreakerState, Circuit

CLOSED, OPEN, HALF_OPEN = Circuit.CLOSED, Circuit.OPEN, Circuit.HALF_OPEN


def opened(trials: int = 1) -> BreakerState:
    """One whose trials begin at 30."""
    state = BreakerState(BreakerSettings(failures=2, open_s=30.0, trials=trials))
    assert not state.failed(0.0)
    assert state.failed(0.0)
    return state


def half_open(trials: int = 1) -> BreakerState:
    state = opened(trials)
    state.begin_trials(30.0)
    return state


def test_failures_in_a_row_open_it() -> None:
    state = BreakerState(BreakerSettings(failures=3))
    assert [state.failed(0.0), state.failed(0.0), state.succeeded(0.0)] == [False] * 3
    assert [state.failed(0.0) for _ in range(3)] == [False, False, True]
    assert (state.circuit, state.count, state.run) == (OPEN, 1, 0)


def test_while_it_is_open_what_was_under_way_means_nothing() -> None:
    state = opened()
    assert not state.failed(0.0)
    assert not state.succeeded(0.0)
    assert (state.circuit, state.count) == (OPEN, 1)


def test_a_trial_that_goes_well_closes_it() -> None:
    state = half_open()
    assert state.circuit is HALF_OPEN
    assert state.may_try(30.0)
    state.give_trial(30.0)
    assert not state.may_try(31.0)
    assert state.succeeded(30.0)
    assert state.circuit is CLOSED
    assert not state.failed(31.0), "and all begins anew"


def test_a_trial_that_fails_opens_it_again() -> None:
    state = half_open(trials=3)
    state.give_trial(30.0)
    state.give_trial(30.0)
    assert not state.succeeded(30.0)
    assert state.failed(30.0)
    assert (state.circuit, state.count) == (OPEN, 2)


def test_all_trials_have_to_go_well() -> None:
    state = half_open(trials=2)
    for _ in range(2):
        assert state.may_try(30.0)
        state.give_trial(30.0)
    assert not state.may_try(30.0)
    assert [state.succeeded(30.0), state.succeeded(30.0)] == [False, True]


def test_what_began_before_the_trials_is_none() -> None:
    state = half_open()
    assert not state.succeeded(29.0)
    assert not state.failed(29.0)
    assert state.circuit is HALF_OPEN


def test_a_trial_that_says_nothing_makes_room_for_another() -> None:
    state = half_open()
    state.give_trial(30.0)
    state.take_back(29.0)  # of before
    assert not state.may_try(31.0)
    state.take_back(30.0)
    assert state.may_try(31.0)
    state.take_back(30.0)  # there is none left
    state.give_trial(31.0)
    assert not state.may_try(31.0)


def test_a_trial_nothing_is_heard_of_is_given_up() -> None:
    state = half_open(trials=2)
    state.give_trial(30.0)
    state.give_trial(31.0)
    assert not state.may_try(60.9)
    assert state.may_try(61.0)
    state.give_trial(61.0)
    assert state.may_try(61.0)
    state.give_trial(61.0)
    assert not state.may_try(61.0)


def test_other_settings_count_from_the_next_failure() -> None:
    state = BreakerState(BreakerSettings(failures=5))
    state.failed(0.0)
    state.use(BreakerSettings(failures=2))
    assert state.failed(0.0)
    state.take_back(0.0)  # while open: nothing
    assert state.circuit is OPEN
