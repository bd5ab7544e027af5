"""Closing in order: Closes pass as they are, both ways, and TCP ends soon after them (RFC 6455, 5.5.1 and 7)."""

from __future__ import annotations

import pytest

from tests.conformance_ws.bench import Bench
from tests.conformance_ws.wire import CLOSE, MASK, PING, TEXT, close, frame

END_S = 2.5
"""How soon TCP has to end once the closing handshake is done."""

WAYS = pytest.mark.parametrize("from_client", [True, False], ids=["by client", "by upstream"])
CODES = (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999)


def masks(from_client: bool) -> tuple[bytes | None, bytes | None]:
    """The masking keys of who closes and of who answers."""
    return (MASK, None) if from_client else (None, MASK)


@WAYS
@pytest.mark.parametrize("code", CODES)
def test_code_and_reason_pass(bench: Bench, from_client: bool, code: int) -> None:
    pair = bench.open()
    closer, other = pair.sides(from_client)
    ours, theirs = masks(from_client)
    sent, echo = close(code, f"reason {code} \u2603".encode(), ours), close(code, b"", theirs)
    closer.send(sent)
    assert other.read(len(sent)) == sent
    other.send(echo)
    assert closer.read(len(echo)) == echo
    pair.upstream.close()
    assert pair.client.read_to_end(END_S) == b""


CLOSES = {
    "empty": lambda mask: frame(CLOSE, b"", mask),
    "code alone": lambda mask: close(1000, b"", mask),
    "longest reason": lambda mask: close(4999, b"r" * 123, mask),
}


@WAYS
@pytest.mark.parametrize("name", CLOSES)
def test_shape_passes(bench: Bench, from_client: bool, name: str) -> None:
    pair = bench.open()
    closer, other = pair.sides(from_client)
    ours, theirs = masks(from_client)
    sent, echo = CLOSES[name](ours), CLOSES[name](theirs)
    closer.send(sent)
    assert other.read(len(sent)) == sent
    other.send(echo)
    assert closer.read(len(echo)) == echo


@WAYS
def test_answer_with_another_code_passes(bench: Bench, from_client: bool) -> None:
    pair = bench.open()
    closer, other = pair.sides(from_client)
    ours, theirs = masks(from_client)
    closer.send(close(1001, b"going", ours))
    assert other.read_frame().close_code == 1001
    other.send(close(4321, b"fare well", theirs))
    assert (answer := closer.read_frame()).close_code == 4321
    assert answer.payload[2:] == b"fare well"


def test_both_close_at_once(bench: Bench) -> None:
    pair = bench.open()
    from_client, from_upstream = close(1000, b"client", MASK), close(1001, b"upstream")
    pair.client.send(from_client)
    pair.upstream.send(from_upstream)
    assert pair.upstream.read(len(from_client)) == from_client
    assert pair.client.read(len(from_upstream)) == from_upstream
    pair.upstream.half_close()
    assert pair.client.read_to_end(END_S) == b""


@WAYS
def test_close_byte_by_byte(bench: Bench, from_client: bool) -> None:
    pair = bench.open()
    closer, other = pair.sides(from_client)
    sent = close(1000, b"slowly", masks(from_client)[0])
    closer.send(sent, at_a_time=1)
    assert other.read(len(sent)) == sent


@WAYS
def test_data_goes_on_until_the_answer(bench: Bench, from_client: bool) -> None:
    """RFC 6455 section 5.5.1: who has got a Close may finish its message before it answers."""
    pair = bench.open()
    closer, other = pair.sides(from_client)
    ours, theirs = masks(from_client)
    closer.send(close(1000, b"", ours))
    assert other.read_frame().close_code == 1000
    rest = b"".join(frame(TEXT, f"rest {n}".encode() * 100, theirs) for n in range(20)) + close(1000, b"", theirs)
    other.send(rest)
    assert closer.read(len(rest)) == rest


@WAYS
def test_data_before_the_close_in_one_packet(bench: Bench, from_client: bool) -> None:
    pair = bench.open()
    closer, other = pair.sides(from_client)
    mask = masks(from_client)[0]
    sent = frame(TEXT, b"last words", mask) + frame(PING, b"p", mask) + close(1000, b"bye", mask)
    closer.send(sent)
    assert other.read(len(sent)) == sent


@WAYS
def test_close_inside_a_fragmented_message(bench: Bench, from_client: bool) -> None:
    """A Close is a control frame and may come between fragments."""
    pair = bench.open()
    closer, other = pair.sides(from_client)
    mask = masks(from_client)[0]
    sent = frame(TEXT, b"never fin", mask, first=0) + close(1001, b"", mask)
    closer.send(sent)
    assert other.read(len(sent)) == sent


@WAYS
def test_close_and_end_of_tcp_in_one_go(bench: Bench, from_client: bool) -> None:
    """Who closes and half-closes at once still gets the answer, and the other side no second Close."""
    pair = bench.open()
    closer, other = pair.sides(from_client)
    ours, theirs = masks(from_client)
    sent = close(1000, b"bye", ours)
    closer.send(sent)
    closer.half_close()
    assert other.read(len(sent)) == sent
    echo = close(1000, b"bye", theirs)
    other.send(echo)
    other.half_close()
    assert closer.read_to_end(END_S) == echo
    assert other.read_to_end(END_S) == b""


@pytest.mark.promise
@WAYS
def test_tcp_ends_on_both_sides_after_the_handshake(bench: Bench, from_client: bool) -> None:
    """Even where neither end closes TCP: a proxy that leaves it to them leaks both connections."""
    pair = bench.open()
    closer, other = pair.sides(from_client)
    ours, theirs = masks(from_client)
    closer.send(close(1000, b"", ours))
    other.read_frame()
    other.send(close(1000, b"", theirs))
    assert closer.read_frame().close_code == 1000
    assert pair.upstream.read_to_end(END_S) == b""
    assert pair.client.read_to_end(END_S) == b""


def test_upstream_ends_first(bench: Bench) -> None:
    """RFC 6455 section 7.1.1: the server closes TCP first, the client learns it at once."""
    pair = bench.open()
    pair.client.send(close(1000, b"", MASK))
    pair.upstream.read_frame()
    pair.upstream.send(close(1000))
    pair.upstream.close()
    assert [each.close_code for each in pair.client.read_frames_to_end(END_S)] == [1000]


def test_client_ends_first(bench: Bench) -> None:
    pair = bench.open()
    pair.upstream.send(close(1000))
    pair.client.read_frame()
    pair.client.send(close(1000, b"", MASK))
    pair.client.close()
    assert [each.close_code for each in pair.upstream.read_frames_to_end(END_S)] == [1000]


@WAYS
def test_close_is_not_answered_by_the_proxy(bench: Bench, from_client: bool) -> None:
    """The answer is the other end's to give: it may have data to send before."""
    pair = bench.open()
    closer, other = pair.sides(from_client)
    closer.send(close(1000, b"", masks(from_client)[0]))
    other.read_frame()
    assert closer.is_silent(0.3)


@WAYS
def test_nothing_passes_behind_a_close(bench: Bench, from_client: bool) -> None:
    """RFC 6455 section 5.5.1: what comes after one is to be ignored; it may be relayed, never changed or reordered."""
    pair = bench.open()
    closer, other = pair.sides(from_client)
    ours, theirs = masks(from_client)
    sent, behind = close(1000, b"", ours), frame(TEXT, b"too late", ours)
    closer.send(sent + behind)
    assert other.read(len(sent)) == sent
    other.send(close(1000, b"", theirs))
    assert closer.read_frame().close_code == 1000
    closer.half_close()
    other.half_close()
    assert other.read_to_end(END_S) in {b"", behind}


@WAYS
def test_end_without_an_answer_to_the_close(bench: Bench, from_client: bool) -> None:
    """The closer does not wait for ever, nor gets a Close that nobody sent with a code of its own."""
    pair = bench.open()
    closer, other = pair.sides(from_client)
    closer.send(close(1000, b"", masks(from_client)[0]))
    other.read_frame()
    other.close()
    frames = closer.read_frames_to_end(END_S)
    assert [each.opcode for each in frames] in ([], [CLOSE])
