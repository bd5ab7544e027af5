"""The verdict of real servers, direct and through the proxy, on the list that the Autobahn test suite made customary.

Each case is a row of frames to an echo server made with `websockets` or aiohttp. What comes back up to the end of TCP,
frame by frame, has to be the same over both ways. The cases of the groups are numbered as Autobahn numbers them.
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.conformance_ws.bench import KEY, Bench, request
from tests.conformance_ws.peers import Ports
from tests.conformance_ws.wire import (
    BINARY,
    CLOSE,
    CONTINUATION,
    MASK,
    PING,
    PONG,
    TEXT,
    Frame,
    Head,
    Wire,
    WireError,
    close,
    frame,
)

Frames = list[bytes]
BYE = close(1000, b"", MASK)
ECHO = b""
"""Stands where a client waits for the next frame: servers may drop echoes that are not sent when a Close comes, and
reset a connection on which more comes behind their own."""

DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate"


def f(opcode: int, payload: bytes = b"", first: int | None = None, width: int | None = None) -> bytes:
    """A client's frame."""
    return frame(opcode, payload, MASK, first, width)


def framing() -> Iterator[tuple[str, Frames]]:
    """Group 1: sizes."""
    for size in (0, 125, 126, 127, 128, 65535, 65536, 300_000):
        yield f"1.1 text of {size}", [f(TEXT, b"*" * size), ECHO, BYE]
        yield f"1.2 binary of {size}", [f(BINARY, b"\xfe" * size), ECHO, BYE]


def pings() -> Iterator[tuple[str, Frames]]:
    """Group 2: pings and pongs."""
    for size in (0, 5, 125, 126):
        yield f"2 ping of {size}", [f(PING, b"\xfe" * size), BYE]
    yield "2.7 unasked pong", [f(PONG), f(TEXT, b"x"), ECHO, BYE]
    yield "2.9 pong, then ping", [f(PONG, b"unasked"), f(PING, b"asked"), BYE]
    yield "2.10 ten pings", [*(f(PING, b"payload-%d" % n) for n in range(10)), BYE]


def reserved() -> Iterator[tuple[str, Frames]]:
    """Groups 3 and 4: reserved bits and opcodes, alone and behind good messages."""
    for bits in range(1, 8):
        yield f"3 RSV {bits}", [f(TEXT, b"good"), ECHO, f(TEXT, b"bad", first=8 | bits), ECHO, f(PING), BYE]
    yield "3.6 RSV on a close", [f(CLOSE, b"\x03\xe8", first=0xE)]
    for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15):
        yield f"4 opcode {opcode}", [f(TEXT, b"good"), ECHO, f(opcode, b"bad"), ECHO, f(PING), BYE]
        yield f"4 opcode {opcode} empty", [f(opcode), ECHO, f(PING)]


def fragmentation() -> Iterator[tuple[str, Frames]]:
    """Group 5: fragments, and what may and may not stand between them."""
    start, middle, end = f(TEXT, b"one", first=0), f(CONTINUATION, b"two", first=0), f(CONTINUATION, b"three")
    yield "5.1 ping in fragments", [f(PING, b"a", first=0), f(CONTINUATION, b"b"), ECHO, BYE]
    yield "5.2 pong in fragments", [f(PONG, b"a", first=0), f(CONTINUATION, b"b"), ECHO, BYE]
    yield "5.3 two fragments", [start, end, ECHO, BYE]
    yield "5.6 ping between", [start, f(PING, b"!"), end, ECHO, ECHO, BYE]
    yield "5.9 continuation of nothing", [f(CONTINUATION, b"x"), f(TEXT, b"y"), ECHO, BYE]
    yield "5.12 unfinished continuation of nothing", [f(CONTINUATION, b"x", first=0), f(TEXT, b"y"), ECHO, BYE]
    stray = f(CONTINUATION, b"x", first=0)
    yield "5.15 continuation behind a message", [start, end, ECHO, stray, f(TEXT, b"y"), ECHO, BYE]
    yield "5.18 message inside", [start, f(TEXT, b"x"), ECHO, BYE]
    yield "5.19 pings between three", [start, middle, f(PING, b"1"), middle, f(PING, b"2"), end, ECHO, ECHO, ECHO, BYE]
    yield "5 empty fragments", [f(TEXT, b"", first=0), f(CONTINUATION, b"", first=0), f(CONTINUATION), ECHO, BYE]
    yield "5 close between", [start, BYE]
    middles = [f(CONTINUATION, b"%d" % n, first=0) for n in range(99)]
    yield "5 binary in many", [f(BINARY, b"0", first=0), *middles, end, ECHO, BYE]


VALID = ("\u03ba\u1f79\u03c3\u03bc\u03b5", "\U0010ffff", "\x00", "\u07ff\uffff\ud7ff\ue000\ufffd")
INVALID = (
    b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited",
    b"\xf4\x90\x80\x80",
    b"\xc0\xaf",
    b"\xe0\x80\xaf",
    b"\x80",
    b"\xff",
    b"\xe2\x98",
    b"\xf8\x88\x80\x80\x80",
)


def utf8() -> Iterator[tuple[str, Frames]]:
    """Group 6: texts, whole, cut inside characters, and broken."""
    for n, text in enumerate(VALID):
        data = text.encode()
        yield f"6.5 valid {n}", [f(TEXT, data), ECHO, BYE]
        cut = [f(TEXT, data[:1], first=0), *(f(CONTINUATION, data[at : at + 1], first=0) for at in range(1, len(data)))]
        yield f"6.2 valid {n}, bytewise", [*cut, f(CONTINUATION), ECHO, BYE]
    for n, data in enumerate(INVALID):
        yield f"6.3 invalid {n}", [f(TEXT, b"good"), ECHO, f(TEXT, data), ECHO, BYE]
        yield f"6.4 invalid {n}, in fragments", [f(TEXT, data[:1], first=0), f(CONTINUATION, data[1:]), ECHO, BYE]


def closing() -> Iterator[tuple[str, Frames]]:
    """Group 7: what Closes may say, and what may follow them."""
    yield "7.1.2 two closes", [BYE, BYE]
    yield "7.1.3 ping behind a close", [BYE, f(PING)]
    yield "7.1.4 text behind a close", [BYE, f(TEXT, b"x")]
    yield "7.1.6 big text, then a close", [f(TEXT, b"B" * 262_144), ECHO, BYE, f(PING)]
    yield "7.3.1 empty", [f(CLOSE)]
    yield "7.3.2 one byte", [f(CLOSE, b"a")]
    yield "7.3.5 longest reason", [close(1000, b"*" * 123, MASK)]
    yield "7.3.6 too long a reason", [close(1000, b"*" * 124, MASK)]
    yield "7.5.1 bad UTF-8", [close(1000, INVALID[0], MASK)]
    for code in (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 3000, 3999, 4000, 4999):
        yield f"7.7 code {code}", [close(code, b"", MASK)]
    for code in (0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999, 5000, 65535):
        yield f"7.9 code {code}", [close(code, b"", MASK)]


def wire_form() -> Iterator[tuple[str, Frames]]:
    """What Autobahn has no number for: lengths and masks."""
    yield "unmasked", [frame(TEXT, b"x"), ECHO, BYE]
    yield "unmasked close", [close(1000)]
    yield "16 bits for 5", [f(TEXT, b"hello", width=16), ECHO, BYE]
    yield "64 bits for 5", [f(TEXT, b"hello", width=64), ECHO, BYE]
    yield "top bit of a length", [b"\x82\xff\x80" + bytes(7) + MASK + bytes(20)]
    yield "zero mask", [frame(TEXT, b"hello", bytes(4)), ECHO, BYE]


CASES = dict(case for group in (framing, pings, reserved, fragmentation, utf8, closing, wire_form) for case in group())
SERVERS = pytest.mark.parametrize("server", ["websockets", "aiohttp"])


def play(client: Wire, path: str, frames: Frames, at_a_time: int | None, lines: tuple[str, ...]) -> list[Frame]:
    """The frames that come back up to the end of TCP, which the client makes itself once it has its Close."""
    switch(client, path, lines)
    back: list[Frame] = []
    with suppress(WireError):  # it ended without a Close, which the other way has to do as well
        for waits, group in itertools.groupby(frames, lambda sent: sent == ECHO):
            if waits:
                back += [client.read_frame() for _ in group]
            elif len(data := b"".join(group)) > 65536:
                client.send_aside(data)
            else:
                client.send_as_far_as_it_goes(data, at_a_time)
        while not back or back[-1].opcode != CLOSE:
            back.append(client.read_frame())
    client.close()
    return back


def switch(client: Wire, path: str, lines: tuple[str, ...]) -> Head:
    """Do the handshake with a real server; its answer."""
    upgrade = ("Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Key: {KEY}", "Sec-WebSocket-Version: 13")
    client.send(request(path, (*upgrade, *lines)))
    head = client.read_final_head()
    assert head.status == 101
    return head


def assert_same(
    bench: Bench, ports: Ports, server: str, frames: Frames, at_a_time: int | None = None, lines: tuple[str, ...] = ()
) -> list[Frame]:
    """Both ways give the same frames, which are returned."""
    path = f"/{server}/echo"
    direct = play(bench.connect_to(getattr(ports, server)), path, frames, at_a_time, lines)
    through = play(bench.connect(), path, frames, at_a_time, lines)
    assert through == direct
    return direct


@SERVERS
@pytest.mark.parametrize("name", CASES)
def test_same_verdict(bench: Bench, ports: Ports, server: str, name: str) -> None:
    assert_same(bench, ports, server, CASES[name])


@SERVERS
@pytest.mark.parametrize("name", [name for name, frames in CASES.items() if sum(map(len, frames)) < 300])
def test_same_verdict_in_small_pieces(bench: Bench, ports: Ports, server: str, name: str) -> None:
    assert_same(bench, ports, server, CASES[name], at_a_time=1)


def deflated(text: bytes, level: int = 9) -> bytes:
    """A message's payload as RFC 7692 section 7.2.1 compresses it."""
    compressor = zlib.compressobj(level, zlib.DEFLATED, -15)
    return (compressor.compress(text) + compressor.flush(zlib.Z_SYNC_FLUSH)).removesuffix(b"\x00\x00\xff\xff")


OFFERS = (
    "permessage-deflate",
    "permessage-deflate; client_max_window_bits",
    "permessage-deflate; client_max_window_bits=10; server_max_window_bits=10",
    "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
    "permessage-deflate; server_max_window_bits=9, permessage-deflate",
    "permessage-deflate; unknown_parameter",
    "permessage-deflate; server_max_window_bits=7",
    "x-webkit-deflate-frame",
)


@SERVERS
@pytest.mark.parametrize("offer", OFFERS)
def test_same_agreement_on_compression(bench: Bench, ports: Ports, server: str, offer: str) -> None:
    """Group 13: the answer's extensions are the server's own, and echoes come as compressed as direct."""
    lines = (f"Sec-WebSocket-Extensions: {offer}",)
    path = f"/{server}/echo"
    heads = [switch(bench.connect_to(port), path, lines) for port in (getattr(ports, server), bench.proxy.port)]
    assert heads[0].values("Sec-WebSocket-Extensions") == heads[1].values("Sec-WebSocket-Extensions")
    if "7" not in offer and heads[0].values("Sec-WebSocket-Extensions"):
        message = f(TEXT, deflated(b"hello " * 50), first=0xC)
        assert_same(bench, ports, server, [message, ECHO, BYE], lines=lines)


HELLO = deflated(b"hello")
COMPRESSED = {
    "12 text": [f(TEXT, deflated(b"hello " * 1000), first=0xC)],
    "12 binary": [f(BINARY, deflated(bytes(100_000)), first=0xC)],
    "12 empty": [f(TEXT, b"\x00", first=0xC)],
    "12 stored": [f(TEXT, deflated(b"hello", 0), first=0xC)],
    "12 fragments": [f(TEXT, HELLO[:3], first=0x4), f(PING), f(CONTINUATION, HELLO[3:]), ECHO],
    "RSV1 on a continuation": [f(TEXT, b"x", first=0x4), f(CONTINUATION, b"y", first=0xC)],
    "RSV2": [f(TEXT, HELLO, first=0xE)],
    "RSV1 on a ping": [f(PING, b"x", first=0xC)],
    "broken deflate": [f(TEXT, b"\xff\xff\xff\xff", first=0xC)],
    "bad UTF-8 inside": [f(TEXT, deflated(b"\xff\xfe"), first=0xC)],
    "not compressed": [f(TEXT, b"hello")],
}


@SERVERS
@pytest.mark.parametrize("name", COMPRESSED)
def test_same_verdict_on_compressed_messages(bench: Bench, ports: Ports, server: str, name: str) -> None:
    """Group 12, and what breaks RFC 7692."""
    offer = (f"{DEFLATE}; client_max_window_bits",)
    assert assert_same(bench, ports, server, [*COMPRESSED[name], ECHO, BYE], lines=offer)
