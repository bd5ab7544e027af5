"""Control frames: codes that may travel, frames that `websockets` reads, the ledger's order."""

from __future__ import annotations

import pytest
from websockets.frames import Close, Frame, Opcode
from websockets.streams import StreamReader

from wsproxy.ws.control import ABNORMAL, GOING_AWAY, NORMAL, ControlLedger, close_frame, is_sendable, ping_frame

KEY = b"\xde\xad\xbe\xef"


def read(data: bytes, masked: bool) -> Frame:
    reader = StreamReader()
    reader.feed_data(data)
    parsing = Frame.parse(reader.read_exact, mask=masked)
    try:
        next(parsing)
    except StopIteration as finished:
        assert not reader.buffer
        frame: Frame = finished.value
        return frame
    raise AssertionError("not a whole frame")


@pytest.mark.parametrize("mask", [None, KEY])
@pytest.mark.parametrize("reason", ["", "a short one", "x" * 123])
def test_a_close_says_its_code_and_reason(mask: bytes | None, reason: str) -> None:
    frame = read(close_frame(GOING_AWAY, reason, mask), mask is not None)
    assert (frame.opcode, frame.fin) == (Opcode.CLOSE, True)
    assert Close.parse(frame.data) == Close(1001, reason)


@pytest.mark.parametrize("mask", [None, KEY])
def test_an_empty_close_has_no_payload(mask: bytes | None) -> None:
    assert read(close_frame(None, mask=mask), mask is not None).data == b""


def test_a_long_reason_is_cut_between_characters() -> None:
    frame = read(close_frame(NORMAL, "x" * 122 + "é"), False)
    assert Close.parse(frame.data).reason == "x" * 122
    assert Close.parse(read(close_frame(NORMAL, "x" * 121 + "é"), False).data).reason == "x" * 121 + "é"


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000])
def test_codes_that_must_not_travel_are_refused(code: int) -> None:
    assert not is_sendable(code)
    with pytest.raises(ValueError, match="must not be sent"):
        close_frame(code)


@pytest.mark.parametrize("code", [1000, 1003, 1007, 1014, 3000, 4999])
def test_codes_that_may_travel(code: int) -> None:
    assert Close.parse(read(close_frame(code), False).data).code == code


def test_a_reason_needs_a_code() -> None:
    with pytest.raises(ValueError, match="needs a code"):
        close_frame(None, "why")


@pytest.mark.parametrize("mask", [None, KEY])
@pytest.mark.parametrize("payload", [b"", b"1", b"12345", b"x" * 125])
def test_a_ping_carries_its_payload(mask: bytes | None, payload: bytes) -> None:
    frame = read(ping_frame(payload, mask), mask is not None)
    assert (frame.opcode, frame.data) == (Opcode.PING, payload)


def test_a_ping_over_125_bytes_is_refused() -> None:
    with pytest.raises(ValueError, match="at most 125 bytes"):
        ping_frame(b"x" * 126)


def test_the_ledger_keeps_who_closed_first() -> None:
    ledger = ControlLedger()
    assert (ledger.closed_by, ledger.close_code) == (None, None)
    ledger.closing("upstream", 4000)
    ledger.closing("client", ABNORMAL)
    assert (ledger.closed_by, ledger.close_code) == ("upstream", 4000)


def test_a_ping_is_owed_a_pong_by_the_other_side() -> None:
    ledger = ControlLedger()
    ledger.ping_from("client")
    assert (ledger.owes_pong("client"), ledger.owes_pong("upstream")) == (False, True)
    ledger.pong_from("client")
    assert ledger.owes_pong("upstream")
    ledger.pong_from("upstream")
    assert not ledger.owes_pong("upstream")
    ledger.ping_from("upstream")
    assert (ledger.owes_pong("client"), ledger.owes_pong("upstream")) == (True, False)
