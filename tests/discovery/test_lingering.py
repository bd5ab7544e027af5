"""Servers that are missing for a moment: who stays, for how long, and with nothing new."""

from __future__ import annotations

import pytest

from wsproxy.discovery import lingering
from wsproxy.discovery.found import Found
from wsproxy.discovery.lingering import LINGER_S, LingerState

A, B = Found("10.0.0.1:80", "a:80", weight=3), Found("10.0.0.2:80", "b:80")
LEFT_A = Found("10.0.0.1:80", "a:80", weight=3, takes_new=False)


def due(state: LingerState) -> float | None:
    return state.due


def test_who_is_missing_stays_for_its_time() -> None:
    state = LingerState()
    assert (state.take([B, A], 0.0), due(state)) == ([A, B], None)
    assert state.take([B], 10.0) == [LEFT_A, B]
    assert state.due == 10.0 + LINGER_S
    assert state.take([B], 10.0 + LINGER_S - 0.1) == [LEFT_A, B]  # being told again does not lengthen it
    assert (state.take([B], 10.0 + LINGER_S), due(state)) == ([B], None)


def test_who_comes_back_was_never_gone() -> None:
    state = LingerState()
    state.take([A], 0.0)
    state.take([], 1.0)
    assert (state.take([A], 1.5), due(state)) == ([A], None)
    state.take([], 20.0)
    assert state.due == 20.0 + LINGER_S


def test_whose_name_another_has_is_gone() -> None:
    state = LingerState()
    state.take([A], 0.0)
    again = Found("10.0.0.9:80", "a:80")
    assert state.take([again], 1.0) == [again]


def test_those_without_a_name_are_not_each_other() -> None:
    state = LingerState()
    state.take([Found("10.0.0.1:80")], 0.0)
    assert len(state.take([Found("10.0.0.2:80")], 1.0)) == 2


def test_no_more_linger_than_there_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lingering, "MOST_SERVERS", 2)
    state = LingerState()
    state.take([Found(f"10.0.0.{last}:80") for last in range(5)], 0.0)
    assert len(state.take([], 1.0)) == 2
