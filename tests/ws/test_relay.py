"""A pair: the table of closing codes, echoes swallowed, pings of ours, what a lost side leaves."""

from __future__ import annotations

import gc
import sys

import pytest

from tests.ws.test_frames import BINARY, CLOSE, CONTINUATION, KEY, PING, PONG, TEXT, endless, frame
from wsproxy.ws.control import GOING_AWAY, POLICY, SERVICE_RESTART, TOO_BIG, close_frame
from wsproxy.ws.relay import RelayState

MARKER = b"\x07marker\x00"


def mask() -> bytes:
    return KEY


def to_client(code: int | None, reason: str = "") -> bytes:
    return close_frame(code, reason)


def to_upstream(code: int | None, reason: str = "") -> bytes:
    return close_frame(code, reason, KEY)


def theirs(code: int, masked: bool) -> bytes:
    return frame(CLOSE, code.to_bytes(2, "big"), masked=masked)


@pytest.fixture
def state() -> RelayState:
    return RelayState(mask)


def test_a_close_of_the_client_passes_and_is_answered(state: RelayState) -> None:
    assert state.from_client(theirs(4001, True)) == theirs(4001, True)
    assert (state.finished, state.closed_by, state.close_code) == (False, "client", 4001)
    assert state.from_upstream(theirs(4001, False)) == theirs(4001, False)
    assert state.finished
    assert (state.closed_by, state.close_code) == ("client", 4001)
    assert (state.client_lost(), state.upstream_lost()) == (b"", b"")


def test_an_empty_close_of_the_upstream_is_recorded_as_1005(state: RelayState) -> None:
    assert state.from_upstream(frame(CLOSE, masked=False)) == b"\x88\x00"
    assert (state.closed_by, state.close_code) == ("upstream", 1005)


def test_both_sides_get_a_close_of_ours_and_their_echoes_go_nowhere(state: RelayState) -> None:
    assert state.begin_close(SERVICE_RESTART, GOING_AWAY, "restart") == (
        to_client(1012, "restart"),
        to_upstream(1001, "restart"),
    )
    assert (state.closed_by, state.close_code) == ("proxy", 1012)
    assert state.from_client(frame(TEXT, b"late") + theirs(1012, True)) == b""
    assert (state.client_finished, state.upstream_finished, state.finished) == (True, False, False)
    assert state.from_upstream(theirs(1001, False)) == b""
    assert state.finished


def test_a_second_begin_adds_nothing(state: RelayState) -> None:
    state.begin_close(SERVICE_RESTART, GOING_AWAY)
    assert state.begin_close(POLICY, GOING_AWAY) == (b"", b"")
    assert state.close_code == 1012


def test_an_open_message_ends_before_the_close(state: RelayState) -> None:
    state.from_upstream(frame(TEXT, b"one", final=False, masked=False))
    assert state.begin_close(SERVICE_RESTART, GOING_AWAY) == (b"", to_upstream(1001))
    rest = frame(CONTINUATION, b"two", masked=False)
    assert state.from_upstream(rest) == rest + to_client(1012)


def test_at_the_deadline_a_fragmented_message_is_left_unfinished(state: RelayState) -> None:
    state.from_upstream(frame(TEXT, b"one", final=False, masked=False))
    state.from_client(frame(BINARY, b"x" * 100)[:50])
    assert state.begin_close(SERVICE_RESTART, GOING_AWAY) == (b"", b"")
    assert state.force_close() == (to_client(1012), b"")
    rest = frame(BINARY, b"x" * 100)[50:]
    assert state.from_client(rest) == rest + to_upstream(1001)


def test_a_second_begin_does_not_take_the_force_back(state: RelayState) -> None:
    data = frame(TEXT, b"one", final=False)
    state.from_client(data[:8])
    state.begin_close(SERVICE_RESTART, GOING_AWAY)
    state.force_close()
    state.begin_close(SERVICE_RESTART, GOING_AWAY)
    assert state.from_client(data[8:]) == data[8:] + to_upstream(1001)


def test_force_without_a_beginning_does_nothing(state: RelayState) -> None:
    assert state.force_close() == (b"", b"")


def test_the_echo_inside_a_message_gives_way_to_our_close(state: RelayState) -> None:
    state.from_client(frame(TEXT, b"one", final=False))
    assert state.begin_close(SERVICE_RESTART, GOING_AWAY) == (to_client(1012), b"")
    assert state.from_client(theirs(1012, True)) == to_upstream(1001)
    assert state.from_upstream(theirs(1001, False)) == b""
    assert state.finished


@pytest.mark.parametrize(("code", "echo"), [(4001, 4001), (1000, 1000), (1006, None), (1, None)])
def test_a_side_that_is_closing_gets_its_own_code_back(state: RelayState, code: int, echo: int | None) -> None:
    state.from_client(theirs(code, True))
    assert state.begin_close(SERVICE_RESTART, GOING_AWAY, "restart") == (to_client(echo), b"")
    assert (state.closed_by, state.close_code) == ("client", code)
    assert state.from_upstream(theirs(1000, False)) == b""
    assert state.finished


def test_an_empty_close_is_answered_by_an_empty_one(state: RelayState) -> None:
    state.from_upstream(frame(CLOSE, masked=False))
    assert state.begin_close(SERVICE_RESTART, GOING_AWAY) == (b"", to_upstream(None))


def test_a_message_too_big_ends_the_pair(state: RelayState) -> None:
    state = RelayState(mask, max_message_bytes=10)
    assert state.from_client(frame(TEXT, b"fits") + frame(TEXT, b"x" * 11)) == frame(TEXT, b"fits")
    assert state.too_big
    assert state.ping_upstream(MARKER) == b""
    assert state.begin_close(TOO_BIG, GOING_AWAY) == (to_client(1009), to_upstream(1001))


def test_a_message_too_big_may_come_from_the_upstream() -> None:
    state = RelayState(mask, max_message_bytes=10)
    assert not state.too_big
    state.from_upstream(frame(TEXT, b"x" * 11, masked=False))
    assert state.too_big


@pytest.mark.parametrize(("leaving", "code"), [(False, 1011), (True, 1012)])
def test_a_lost_upstream(state: RelayState, leaving: bool, code: int) -> None:
    state.from_upstream(frame(TEXT, b"whole", masked=False))
    assert state.upstream_lost(leaving) == to_client(code)
    assert (state.closed_by, state.close_code) == ("upstream", 1006)
    assert state.upstream_lost() == b""


def test_a_lost_client(state: RelayState) -> None:
    assert state.client_lost() == to_upstream(1001)
    assert (state.closed_by, state.close_code) == ("client", 1006)


@pytest.mark.parametrize("kept", [1, 4, 8])
def test_a_side_lost_inside_a_frame_leaves_no_room_for_a_close(state: RelayState, kept: int) -> None:
    state.from_client(frame(TEXT, b"a message")[:kept])
    state.from_upstream(frame(TEXT, b"a message", masked=False)[:kept])
    assert state.client_lost() == b""
    assert state.upstream_lost() == b""
    assert (state.closed_by, state.close_code) == ("client", 1006)


def test_a_side_lost_between_fragments_does(state: RelayState) -> None:
    state.from_upstream(frame(TEXT, b"one", final=False, masked=False))
    assert state.upstream_lost() == to_client(1011)


def test_a_client_whose_close_the_upstream_never_answered_gets_its_own_code(state: RelayState) -> None:
    state.from_client(theirs(1000, True))
    assert state.upstream_lost() == to_client(1000)
    assert (state.closed_by, state.close_code) == ("client", 1000)


def test_a_side_that_was_lost_while_closing_gets_what_was_waiting(state: RelayState) -> None:
    state.from_client(frame(TEXT, b"one", final=False))
    state.begin_close(SERVICE_RESTART, GOING_AWAY, "restart")
    assert state.client_lost() == to_upstream(1001, "restart")


def test_nothing_is_injected_where_frames_cannot_be_followed(state: RelayState) -> None:
    state.from_upstream(endless())
    assert state.begin_close(SERVICE_RESTART, GOING_AWAY) == (b"", to_upstream(1001))
    assert state.force_close() == (b"", b"")
    assert state.upstream_lost() == b""
    assert state.ping_client(MARKER) == b""


def test_the_pong_of_our_ping_is_swallowed(state: RelayState) -> None:
    assert state.ping_client(MARKER) == frame(PING, MARKER, masked=False)
    assert state.ping_upstream(MARKER) == frame(PING, MARKER)
    assert state.from_client(frame(PONG, MARKER)) == b""
    assert state.from_upstream(frame(PONG, MARKER, masked=False)) == b""
    assert (state.client.pongs_swallowed, state.upstream.pongs_swallowed) == (1, 1)


def test_no_ping_stands_inside_a_frame_or_behind_a_close(state: RelayState) -> None:
    data = frame(TEXT, b"a message", masked=False)
    state.from_upstream(data[:5])
    assert state.ping_client(MARKER) == b""
    assert state.client.expected_pong is None
    state.from_upstream(data[5:])
    assert state.ping_client(MARKER)
    state.begin_close(SERVICE_RESTART, GOING_AWAY)
    assert (state.ping_client(MARKER), state.ping_upstream(MARKER)) == (b"", b"")


def test_a_relayed_ping_is_owed_until_its_pong(state: RelayState) -> None:
    state.ping_client(MARKER)
    state.from_upstream(frame(PING, b"app", masked=False))
    assert state.client_owes_pong()
    assert not state.upstream_owes_pong()
    state.from_client(frame(PONG, MARKER))
    assert state.client_owes_pong(), "our own pong answers nothing of theirs"
    state.from_client(frame(PONG, b"app"))
    assert not state.client_owes_pong()
    state.from_client(frame(PING, b"app"))
    assert state.upstream_owes_pong()


def test_activity_counts_both_ways(state: RelayState) -> None:
    seen = [state.activity]
    state.from_client(frame(TEXT))
    seen.append(state.activity)
    state.from_upstream(frame(TEXT, masked=False))
    seen.append(state.activity)
    assert len(set(seen)) == 3


def test_an_idle_pair_is_small_and_free_of_cycles() -> None:
    state = RelayState(mask)
    state.from_client(frame(TEXT, b"x" * 1000))
    parts = (state, state.client, state.upstream, state._ledger)
    assert sum(map(sys.getsizeof, parts)) < 1024
    assert not any(part in gc.get_referents(state.client) for part in (state, state.upstream))


def test_another_upstream_may_go_on_between_messages_only() -> None:
    state = RelayState(lambda: b"\x00\x00\x00\x00")
    assert state.may_resume()
    state.from_upstream(b"\x02\x01a")
    assert not state.may_resume()
    state.from_upstream(b"\x80\x01b")
    state.from_client(b"\x82\x81\x00\x00\x00\x00")
    assert not state.may_resume()
    state.from_client(b"x\x89\x80\x00\x00\x00\x00")
    assert state.may_resume()
    assert state.upstream_owes_pong()
    assert state.parting_close() == b"\x88\x82\x00\x00\x00\x00\x03\xe9"
    state.resume()
    assert not state.upstream_owes_pong(), "the one that was asked has gone"
    assert state.upstream.messages == 1
    assert state.from_upstream(b"\x82\x01c") == b"\x82\x01c"
    state.begin_close(1001, 1001)
    assert not state.may_resume()


def test_nobody_goes_on_once_the_client_has_closed() -> None:
    state = RelayState(lambda: b"\x00\x00\x00\x00")
    state.from_client(b"\x88\x80\x00\x00\x00\x00")
    assert not state.may_resume()
