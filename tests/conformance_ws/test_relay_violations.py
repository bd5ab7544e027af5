"""What breaks RFC 6455 is judged: passed on as it is for the other end to judge, or closed 1002 (1007, 1009) here.

Either gives a client the verdict of a direct connection; what must not happen is that a violation is mended, changed or
swallowed, or that what follows it is taken for something else.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest

from tests.conformance_ws.bench import Bench, Pair
from tests.conformance_ws.wire import BINARY, CLOSE, CONTINUATION, MASK, PING, PONG, TEXT, close, frame

Mask = bytes | None
Made = Callable[[Mask], bytes]
WAYS = pytest.mark.parametrize("from_client", [True, False], ids=["to upstream", "to client"])


def a(opcode: int, payload: bytes = b"x", first: int | None = None, width: int | None = None) -> Made:
    """Such a frame, masked as its way asks."""
    return lambda mask: frame(opcode, payload, mask, first, width)


def a_close(code: int, reason: bytes = b"") -> Made:
    """A Close with that code."""
    return lambda mask: close(code, reason, mask)


def both(one: Made, other: Made) -> Made:
    """One behind the other."""
    return lambda mask: one(mask) + other(mask)


VIOLATIONS: dict[str, Made] = {
    **{f"RSV {bits:03b}": a(TEXT, first=8 | bits) for bits in (1, 2, 4, 7)},
    "RSV1 on a ping": a(PING, first=0xC),
    "RSV1 on a continuation": both(a(TEXT, first=0), a(CONTINUATION, first=0xC)),
    **{f"opcode {opcode}": a(opcode) for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)},
    "a ping of 126 bytes": a(PING, b"p" * 126),
    "a pong of 65536 bytes": a(PONG, b"p" * 65536),
    "a ping in fragments": both(a(PING, first=0), a(CONTINUATION)),
    "a continuation of nothing": a(CONTINUATION),
    "a message inside a message": both(a(TEXT, first=0), a(TEXT, b"y")),
    "bad UTF-8": a(TEXT, b"\xce\xba\xed\xa0\x80"),
    "UTF-8 cut at the end": a(TEXT, b"\xe2\x98"),
    "16 bits for a length of 5": a(BINARY, b"hello", width=16),
    "64 bits for a length of 5": a(BINARY, b"hello", width=64),
    "64 bits for a length of 300": a(BINARY, b"h" * 300, width=64),
    "16 bits for a ping's length": a(PING, b"hello", width=16),
    "masked the wrong way": lambda mask: frame(TEXT, b"hello", None if mask else MASK),
}
BAD_CODES = (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535)
"""Reserved, never to be sent, or outside of what RFC 6455 section 7.4 and its registry have."""

CLOSES: dict[str, Made] = {
    "a Close of one byte": a(CLOSE, b"\x03"),
    "a Close of 126 bytes": a_close(1000, b"r" * 124),
    "a Close in fragments": a(CLOSE, b"\x03\xe8", first=0),
    "a Close with bad UTF-8": a_close(1000, b"\xce\xba\xed\xa0\x80"),
    **{f"a Close with {code}": a_close(code) for code in BAD_CODES},
}


def assert_judged(pair: Pair, from_client: bool, sent: bytes) -> None:
    """The receiver got exactly what was sent, or the sender a Close for it and the receiver nothing but the news."""
    sender, receiver = pair.sides(from_client)
    sender.send(sent)
    got = receiver.read(2)
    if got == sent[:2]:
        assert got + receiver.read(len(sent) - 2) == sent
        return
    assert got[0] == 0x80 | CLOSE, got
    size = got[1] & 0x7F
    key = receiver.read(4) if got[1] & 0x80 else bytes(4)
    body = receiver.read(size)
    code = struct.unpack(">H", bytes(b ^ k for b, k in zip(body[:2], key, strict=False)))[0]
    assert code in {1001, 1002, 1007, 1009, 1011}
    verdict = sender.read_frame()
    assert verdict.close_code in {1002, 1007, 1009}
    assert sender.read_to_end(2) == b""


@WAYS
@pytest.mark.parametrize("name", VIOLATIONS)
def test_violation(bench: Bench, name: str, from_client: bool) -> None:
    assert_judged(bench.open(), from_client, VIOLATIONS[name](MASK if from_client else None))


@WAYS
@pytest.mark.parametrize("name", CLOSES)
def test_bad_close(bench: Bench, name: str, from_client: bool) -> None:
    assert_judged(bench.open(), from_client, CLOSES[name](MASK if from_client else None))


@WAYS
@pytest.mark.parametrize("length", [1 << 63, (1 << 64) - 1, (1 << 63) - 1])
def test_enormous_length(bench: Bench, from_client: bool, length: int) -> None:
    """The top bit must be 0; what is legal but enormous just goes on and on."""
    mask = bytes([0x80]) if from_client else b"\x00"
    head = b"\x82" + bytes([mask[0] | 127]) + struct.pack(">Q", length) + (MASK if from_client else b"")
    assert_judged(bench.open(), from_client, head + b"payload so far")


@WAYS
def test_answer_to_a_violation_comes_back(bench: Bench, from_client: bool) -> None:
    """The judging end's Close 1002 reaches the one who broke the rules, and the connection ends."""
    pair = bench.open()
    sender, receiver = pair.sides(from_client)
    sent = frame(TEXT, b"x", MASK if from_client else None, first=0xA)
    sender.send(sent)
    receiver.read(2)
    verdict = close(1002, b"", None if from_client else MASK)
    receiver.send(verdict)
    receiver.half_close()
    assert sender.read_frame().close_code == 1002
    sender.close()
    receiver.read_to_end(2)


@WAYS
def test_http_after_the_switch_is_just_bytes(bench: Bench, from_client: bool) -> None:
    """0x47 0x45 is an unmasked frame with RSV1 and a reserved opcode: judged as such, never read as a request."""
    pair = bench.open()
    sender, receiver = pair.sides(from_client)
    sender.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    got = receiver.read(2)
    assert got == b"GE" or got[0] == 0x80 | CLOSE
    assert not bench.upstream.has_seen("/")
