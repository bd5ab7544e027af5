"""What is learnt of a server that keeps connections, of one that does not, and of one that does for a while."""

from __future__ import annotations

import pytest

from wsproxy.protection.persistence import REMEMBERED_S, PersistenceState


def test_of_a_new_server_nothing_is_known() -> None:
    state = PersistenceState()
    assert state.is_unknown(0.0)
    assert not state.may_reuse(0.0, 0.0, served=1)


def test_a_connection_that_outlived_its_answer_is_proof() -> None:
    state = PersistenceState()
    state.kept()
    assert not state.is_unknown(0.0)
    assert state.may_reuse(0.0, 3.9, served=1)


def test_a_connection_that_was_used_again_is_proof_for_all() -> None:
    state = PersistenceState()
    assert state.may_reuse(0.0, 0.0, served=2)
    assert state.may_reuse(0.0, 0.0, served=1)


def test_one_that_seems_open_still_is_none() -> None:
    state = PersistenceState()
    assert not state.may_reuse(0.0, 0.6, served=1)
    assert state.is_unknown(0.0)


def test_an_end_right_behind_an_answer_rules_every_used_connection_out() -> None:
    state = PersistenceState()
    state.kept()
    state.ended(100.0, 0.1)
    assert not state.may_reuse(100.1, 0.0, served=9)
    assert not state.may_reuse(100.0 + REMEMBERED_S - 1, 0.0, served=9)
    assert not state.is_unknown(100.0)


def test_such_an_end_is_forgotten_and_the_proof_with_it() -> None:
    state = PersistenceState()
    state.kept()
    state.ended(100.0, 0.0)
    later = 100.0 + REMEMBERED_S
    assert state.is_unknown(later)
    assert not state.may_reuse(later, 0.0, served=1)


@pytest.mark.parametrize(("idle_s", "may"), [(0.0, True), (2.4, True), (2.5, False), (4.0, False)])
def test_an_idle_timeout_is_kept_away_from(idle_s: float, may: bool) -> None:
    state = PersistenceState()
    state.kept()
    state.ended(100.0, 5.0)
    assert state.may_reuse(101.0, idle_s, served=1) is may
    assert state.may_reuse(100.0 + REMEMBERED_S, idle_s, served=1)


def test_the_shortest_idle_time_counts_while_it_is_remembered() -> None:
    state = PersistenceState()
    state.kept()
    state.ended(0.0, 2.0)
    state.ended(1.0, 60.0)
    assert not state.may_reuse(2.0, 1.0, served=1)
    state.ended(1.0 + REMEMBERED_S, 60.0)
    assert state.may_reuse(2.0 + REMEMBERED_S, 3.9, served=1)
