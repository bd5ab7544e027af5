"""The liveness and idle clocks, sweep by sweep."""

from __future__ import annotations

import pytest

from wsproxy.ws.keepalive import IdleState, KeepaliveSettings, KeepaliveState, Verdict


@pytest.fixture
def leg() -> KeepaliveState:
    return KeepaliveState(KeepaliveSettings(ping_interval_s=20, ping_timeout_s=10), b"marker", now=100)


def test_a_talking_peer_is_left_alone(leg: KeepaliveState) -> None:
    for now in range(101, 300):
        assert leg.due(now, heard=now) is Verdict.NOTHING


def test_a_silent_one_is_pinged_and_then_given_up(leg: KeepaliveState) -> None:
    assert leg.due(119.9, 0) is Verdict.NOTHING
    assert leg.due(120, 0) is Verdict.PING
    assert leg.due(121, 0) is Verdict.PING, "until one could be sent"
    leg.ping_sent(121)
    assert leg.due(130.9, 0) is Verdict.NOTHING
    assert leg.due(131, 0) is Verdict.DEAD


def test_any_byte_after_the_ping_is_a_sign_of_life(leg: KeepaliveState) -> None:
    leg.ping_sent(120)
    assert leg.due(125, heard=1) is Verdict.NOTHING
    assert leg.due(144, heard=1) is Verdict.NOTHING
    assert leg.due(145, heard=1) is Verdict.PING


def test_the_pong_gives_the_round_trip(leg: KeepaliveState) -> None:
    leg.ping_sent(120)
    assert leg.answered(0, 120.1) is None, "no pong yet"
    assert leg.answered(1, 120.25) == 0.25
    assert leg.round_trip_s == 0.25
    assert leg.answered(2, 130) is None, "a late second pong measures nothing"
    assert leg.round_trip_s == 0.25


def test_the_clock_stands_while_the_leg_is_not_read(leg: KeepaliveState) -> None:
    assert leg.due(150, 0, reading=False) is Verdict.NOTHING
    assert leg.due(169, 0) is Verdict.NOTHING
    assert leg.due(170, 0) is Verdict.PING
    leg.ping_sent(170)
    assert leg.due(179, 0, reading=False) is Verdict.NOTHING
    assert leg.due(188, 0) is Verdict.NOTHING
    assert leg.due(189, 0) is Verdict.DEAD


def test_our_ping_waits_for_a_relayed_one_but_not_for_ever(leg: KeepaliveState) -> None:
    assert leg.due(120, 0, owes_pong=True) is Verdict.NOTHING
    assert leg.due(129, 0, owes_pong=True) is Verdict.NOTHING
    assert leg.due(130, 0, owes_pong=True) is Verdict.PING


def test_the_waiting_begins_anew_after_a_sign_of_life(leg: KeepaliveState) -> None:
    assert leg.due(120, 0, owes_pong=True) is Verdict.NOTHING
    assert leg.due(125, 1, owes_pong=True) is Verdict.NOTHING
    assert leg.due(145, 1, owes_pong=True) is Verdict.NOTHING
    assert leg.due(145, 1) is Verdict.PING


def test_an_interval_of_zero_never_pings() -> None:
    leg = KeepaliveState(KeepaliveSettings(ping_interval_s=0), b"marker", now=0)
    assert leg.due(1e6, 0) is Verdict.NOTHING


def test_idleness_is_what_activity_does_not_end() -> None:
    idle = IdleState(now=0)
    assert idle.idle_s(59, activity=0) == 59
    assert idle.idle_s(60, activity=1) == 0
    assert idle.idle_s(119, activity=1) == 59
    assert idle.since == 60
