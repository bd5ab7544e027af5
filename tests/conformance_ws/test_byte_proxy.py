"""What a proxy that knows no frames gets right by itself: after the 101 every byte passes, in order and once.

Each case is one that HAProxy meets. Its bytes are compared whole on the other side; then both ways still work.
"""

from __future__ import annotations

import threading

import pytest

from tests.conformance_ws.bench import SWITCH, UPGRADE, Bench, Pair, answer, request
from tests.conformance_ws.wire import (
    BINARY,
    CLOSE,
    CONTINUATION,
    MASK,
    PING,
    PONG,
    TEXT,
    Wire,
    close,
    frame,
)

WAYS = pytest.mark.parametrize("from_client", [True, False], ids=["to upstream", "to client"])
PIECES = pytest.mark.parametrize("at_a_time", [None, 1, 7], ids=["whole", "by 1", "by 7"])


def mask_of(from_client: bool) -> bytes | None:
    """The masking key of that side's frames."""
    return MASK if from_client else None


def with_length(length: bytes, mask: bytes | None) -> bytes:
    """A binary frame's head with that 64-bit length, and some payload."""
    return b"\x82" + (b"\x7f" + length if mask is None else b"\xff" + length + mask) + b"payload so far"


def oddities(mask: bytes | None) -> dict[str, bytes]:
    """Bytes that are no legal frames, or that a scanner might trip over; a key of None makes a server's."""
    other = None if mask else MASK
    return {
        "every byte there is": bytes(range(256)),
        "ones": b"\xff" * 100,
        "zeros": bytes(100),
        "a request": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "an answer": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "a length of 2 to the power of 63": with_length(b"\x80" + bytes(7), mask),
        "the highest length there is": with_length(b"\xff" * 8, mask),
        "the highest legal length": with_length(b"\x7f" + b"\xff" * 7, mask),
        "a ping of 1000 bytes": frame(PING, b"p" * 1000, mask),
        "a ping of 70000 bytes": frame(PING, b"p" * 70000, mask),
        "a pong nobody asked for": frame(PONG, b"abcdefgh", mask),
        "an empty pong": frame(PONG, b"", mask),
        "two thousand pings": frame(PING, b"p", mask) * 2000,
        "the wrong masking": frame(TEXT, b"hello", other),
        "a Close with the wrong masking": close(1000, b"", other),
        "a Close of one byte": frame(CLOSE, b"\x03", mask),
        "a Close in fragments": frame(CLOSE, b"\x03\xe8", mask, first=0),
        "a Close of 1002 bytes": frame(CLOSE, b"\x03\xe8" + b"r" * 1000, mask),
        "a Close of 70002 bytes": frame(CLOSE, b"\x03\xe8" + b"r" * 70000, mask),
        "a Close with its length in 64 bits": frame(CLOSE, b"\x03\xe8", mask, width=64),
        "a Close with all reserved bits": frame(CLOSE, b"\x03\xe8", mask, first=0xF),
        "a Close with code 999": close(999, b"x", mask),
        "an empty Close, and a text": frame(CLOSE, b"", mask) + frame(TEXT, b"x", mask),
        "a Close, and a Close": close(1000, b"", mask) + close(1001, b"", mask),
        "a Close, and a ping": close(1000, b"", mask) + frame(PING, b"p", mask),
        "a Close, and what is no frame": close(1000, b"", mask) + b"garbage bytes here",
        "reserved opcodes": b"".join(frame(opcode, b"x" * 10, mask) for opcode in (3, 7, 11, 15)),
        "fragments of reserved opcodes": b"".join(frame(opcode, b"x" * 300, mask, first=0) for opcode in (3, 11, 15)),
        "reserved bits on continuations": frame(TEXT, b"a", mask, first=0) + frame(CONTINUATION, b"b", mask, first=0xF),
        "messages in a message": frame(TEXT, b"a", mask, first=0) * 3,
        "continuations of nothing": frame(CONTINUATION, b"a", mask) * 3,
        "fifty empty fragments": frame(TEXT, b"", mask, first=0) + frame(CONTINUATION, b"", mask, first=0) * 50,
        "bad UTF-8": frame(TEXT, b"\xff\xfe\xed\xa0\x80", mask),
    }


def assert_works(pair: Pair, sender: Wire, receiver: Wire) -> None:
    """More passes either way."""
    for source, sink in ((sender, receiver), (receiver, sender), (sender, receiver)):
        sent = frame(BINARY, b"goes on", mask_of(source is pair.client))
        source.send(sent)
        assert sink.read(len(sent)) == sent
    assert sender.is_silent(0.005)
    assert receiver.is_silent(0.005)


@WAYS
@PIECES
@pytest.mark.parametrize("name", oddities(None))
def test_bytes_pass_as_they_are(bench: Bench, name: str, at_a_time: int | None, from_client: bool) -> None:
    pair = bench.open()
    sender, receiver = pair.sides(from_client)
    sent = oddities(mask_of(from_client))[name]
    sender.send(sent, at_a_time if len(sent) < 3000 else None)
    assert receiver.read(len(sent)) == sent
    assert_works(pair, sender, receiver)


# Ends.


@pytest.mark.parametrize("pause_s", [0.0, 1.5])
@pytest.mark.parametrize("last", [b"", frame(TEXT, b"ask", MASK), frame(TEXT, b"ask" * 50, MASK)[:20], b"\xff" * 30])
def test_client_that_ends_its_side_is_told_more_later(bench: Bench, last: bytes, pause_s: float) -> None:
    """Whatever its last bytes were: a whole frame, a part of one, or none at all."""
    pair = bench.open()
    pair.client.send(last)
    pair.client.half_close()
    assert pair.upstream.read_to_end()[: len(last)] == last
    said = b"".join(frame(BINARY, bytes(size)) for size in (1, 1000, 100_000))
    threading.Event().wait(pause_s)  # the silence is the case
    for _ in range(2):
        pair.upstream.send(said)
        assert pair.client.read(len(said)) == said
    pair.upstream.close()
    assert pair.client.read_to_end() == b""


def test_client_that_ends_its_side_and_reads_slowly(bench: Bench) -> None:
    pair = bench.open()
    pair.client.half_close()
    said = frame(BINARY, bytes(8 << 20))
    sending = pair.upstream.send_aside(said)
    threading.Event().wait(0.5)
    assert pair.client.read(len(said)) == said
    sending.join()
    pair.upstream.close()
    assert pair.client.read_to_end() == b""


@WAYS
@pytest.mark.parametrize("how", ["half_close", "close"])
def test_end_right_behind_a_close_passes_at_once(bench: Bench, how: str, from_client: bool) -> None:
    """The other side need not answer first, nor is it given a second Close."""
    pair = bench.open()
    closer, other = pair.sides(from_client)
    sent = close(1000, b"bye", mask_of(from_client))
    closer.send(sent)
    getattr(closer, how)()
    assert other.read_to_end(1.5) == sent


@WAYS
def test_answer_to_a_close_from_a_half_closed_side(bench: Bench, from_client: bool) -> None:
    """A client that has ended its side still reads the answer."""
    pair = bench.open()
    closer, other = pair.sides(from_client)
    closer.send(close(1000, b"", mask_of(from_client)))
    if from_client:
        closer.half_close()
    assert other.read_frame().close_code == 1000
    reply = frame(TEXT, b"last words", mask_of(not from_client)) + close(1000, b"", mask_of(not from_client))
    other.send(reply)
    assert closer.read(len(reply)) == reply


@WAYS
@pytest.mark.parametrize("how", ["half_close", "close", "reset"])
@pytest.mark.parametrize("kept", [1, 3, 5])
def test_part_of_a_close_and_the_end(bench: Bench, kept: int, how: str, from_client: bool) -> None:
    pair = bench.open()
    sender, receiver = pair.sides(from_client)
    sent = close(1000, b"bye", mask_of(from_client))[:kept]
    sender.send(sent)
    assert receiver.read(len(sent)) == sent
    getattr(sender, how)()
    assert receiver.read_to_end(2) == b""


# Handshakes.


@pytest.mark.parametrize("status", ["200", "400", "401", "403", "404", "409", "426", "500", "502", "503"])
@pytest.mark.parametrize("chunked", [True, False], ids=["chunked", "length"])
def test_refusal_passes_whole(bench: Bench, status: str, chunked: bool) -> None:
    client, path = bench.connect(), bench.path()
    client.send(request(path))
    lines = ["X-Reason: because", "Set-Cookie: a=b", "Set-Cookie: c=d; Path=/"]
    if chunked:
        length, body = "Transfer-Encoding: chunked", b"3\r\nbod\r\n1\r\ny\r\n0\r\n\r\n"
    else:
        length, body = "Content-Length: 4", b"body"
    upstream = bench.take(path)
    upstream.send(answer(f"{status} Odd Reason", [*lines, length], body))
    head = client.read_final_head()
    assert head.start == f"HTTP/1.1 {status} Odd Reason"
    assert head.values("X-Reason") == ["because"]
    assert head.values("Set-Cookie") == ["a=b", "c=d; Path=/"]
    assert client.read_body(head) == b"body"
    upstream.close()


FIELDS = (
    "Origin: http://a.example",
    "Cookie: a=b; c=d",
    "Authorization: Bearer x",
    "User-Agent: t",
    "Sec-WebSocket-Protocol: a, b",
    "Sec-WebSocket-Protocol: c",
    'Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits, x-foo; a="b,c"',
    "Sec-WebSocket-Foo: bar",
    "Sec-Fetch-Mode: websocket",
    "Pragma: no-cache",
    "X-A: 1",
    "X-A: 2",
    "X-Empty:",
    "X-Latin: \xe4\xff",
)


@pytest.mark.parametrize("line", FIELDS)
def test_field_passes_unchanged(bench: Bench, line: str) -> None:
    client, path = bench.connect(), bench.path()
    client.send(request(path, (*UPGRADE, line)))
    upstream = bench.take(path)
    name, _, value = line.partition(":")
    assert upstream.request.values(name) == [value.strip()]
    upstream.send(SWITCH)
    assert client.read_final_head().status == 101


@pytest.mark.parametrize("size", [1, 5, 17, 60])
def test_everything_in_tiny_pieces(bench: Bench, size: int) -> None:
    """Head and first frame of both sides, cut anywhere."""
    client, path = bench.connect(), bench.path()
    early, greeting = frame(TEXT, b"early", MASK), frame(TEXT, b"greeting")
    client.send(request(path) + early, size)
    upstream = bench.take(path)
    upstream.send(SWITCH + greeting, size)
    assert client.read_final_head().status == 101
    assert client.read(len(greeting)) == greeting
    assert upstream.read(len(early)) == early
