"""Frames pass both ways untouched: every byte, the masking key too, in the order they were sent (RFC 6455, 5)."""

from __future__ import annotations

import itertools
import random
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.conformance_ws.bench import Bench, Pair
from tests.conformance_ws.wire import (
    BINARY,
    CLOSE,
    CONTINUATION,
    LIMIT_S,
    MASK,
    PING,
    PONG,
    TEXT,
    Wire,
    frame,
)

FROM_CLIENT, FROM_UPSTREAM = True, False
WAYS = pytest.mark.parametrize("from_client", [FROM_CLIENT, FROM_UPSTREAM], ids=["to upstream", "to client"])


def key(from_client: bool) -> bytes | None:
    """The masking key of that way's frames: only clients mask."""
    return MASK if from_client else None


def assert_passes(pair: Pair, from_client: bool, data: bytes, at_a_time: int | None = None) -> None:
    """These bytes, sent at one end, are those that come out at the other."""
    sender, receiver = pair.sides(from_client)
    if at_a_time is None and len(data) > 65536:
        sending = sender.send_aside(data)
        got = receiver.read(len(data))
        sending.join()
    else:
        sender.send(data, at_a_time)
        got = receiver.read(len(data))
    assert got == data


SINGLE = {
    "text": (TEXT, "h\u00e9llo \u2603 \U0001f600".encode()),
    "binary": (BINARY, bytes(range(256))),
    "empty text": (TEXT, b""),
    "empty binary": (BINARY, b""),
    "ping": (PING, b"are you there"),
    "empty ping": (PING, b""),
    "longest ping": (PING, b"p" * 125),
    "unasked pong": (PONG, b"i am here"),
    "empty pong": (PONG, b""),
}


@WAYS
@pytest.mark.parametrize("name", SINGLE)
def test_single_frame(bench: Bench, name: str, from_client: bool) -> None:
    opcode, payload = SINGLE[name]
    assert_passes(bench.open(), from_client, frame(opcode, payload, key(from_client)))


@pytest.mark.parametrize("mask", [b"\x00\x00\x00\x00", b"\xff\xff\xff\xff", b"\x01\x00\x00\x80"])
def test_masking_key_is_kept(bench: Bench, mask: bytes) -> None:
    assert_passes(bench.open(), FROM_CLIENT, frame(TEXT, b"with its own key", mask))


SIZES = [1, 124, 125, 126, 127, 1000, 16383, 65535, 65536, 65537, 1 << 20]


@WAYS
def test_sizes(bench: Bench, from_client: bool) -> None:
    """Around every step of the length field, and of common buffers."""
    pair = bench.open()
    source = random.Random(6455)  # bytes that no two sizes share
    for size in SIZES:
        assert_passes(pair, from_client, frame(BINARY, source.randbytes(size), key(from_client)))


@WAYS
def test_sixteen_mebibytes(bench: Bench, from_client: bool) -> None:
    payload = random.Random(from_client).randbytes(16 << 20)
    assert_passes(bench.open(), from_client, frame(BINARY, payload, key(from_client)))


@WAYS
@pytest.mark.parametrize("size", [0, 5, 126, 300])
def test_one_byte_at_a_time(bench: Bench, from_client: bool, size: int) -> None:
    data = b"".join(
        frame(opcode, bytes([n]) * (size if opcode < CLOSE else min(size, 125)), key(from_client))
        for n, opcode in enumerate((TEXT, PING, BINARY, PONG))
    )
    assert_passes(bench.open(), from_client, data, at_a_time=1)


@WAYS
@pytest.mark.parametrize("at_a_time", [2, 3, 13, 1460])
def test_pieces_that_ignore_frames(bench: Bench, from_client: bool, at_a_time: int) -> None:
    sizes = (0, 1, 125, 126, 5, 700, 2)
    data = b"".join(frame(BINARY, bytes([size % 256]) * size, key(from_client)) for size in sizes)
    assert_passes(bench.open(), from_client, data, at_a_time)


@WAYS
def test_many_frames_in_one_packet(bench: Bench, from_client: bool) -> None:
    data = b"".join(frame(TEXT, str(n).encode(), key(from_client)) for n in range(5000))
    assert_passes(bench.open(), from_client, data)


def fragments(mask: bytes | None, *between: bytes) -> bytes:
    """A text in four fragments, cut inside a character, one of them empty, with frames between the fragments."""
    text = "sn\u00f6w \u2603 man".encode()
    parts = [frame(TEXT, text[:3], mask, first=0), frame(CONTINUATION, b"", mask, first=0)]
    parts += [frame(CONTINUATION, text[3:7], mask, first=0), frame(CONTINUATION, text[7:], mask)]
    filled = itertools.zip_longest(parts, between, fillvalue=b"")
    return b"".join(itertools.chain.from_iterable(filled))


@WAYS
@pytest.mark.parametrize("at_a_time", [None, 1])
def test_fragmented_message(bench: Bench, from_client: bool, at_a_time: int | None) -> None:
    assert_passes(bench.open(), from_client, fragments(key(from_client)), at_a_time)


@WAYS
@pytest.mark.parametrize("at_a_time", [None, 1])
def test_control_frames_between_fragments(bench: Bench, from_client: bool, at_a_time: int | None) -> None:
    """RFC 6455 section 5.4: they may come there, and stay there."""
    mask = key(from_client)
    between = [frame(PING, b"1", mask), frame(PONG, b"2", mask), frame(PING, b"p" * 125, mask)]
    assert_passes(bench.open(), from_client, fragments(mask, *between), at_a_time)


@WAYS
def test_a_thousand_fragments(bench: Bench, from_client: bool) -> None:
    mask = key(from_client)
    middle = b"".join(frame(CONTINUATION, b"x", mask, first=0) for _ in range(1000))
    data = frame(BINARY, b"x", mask, first=0) + middle + frame(CONTINUATION, b"x", mask)
    assert_passes(bench.open(), from_client, data)


def test_ping_is_answered_end_to_end(bench: Bench) -> None:
    """The other end answers, not the proxy: the pong that comes is the one that was sent."""
    pair = bench.open()
    ping, pong = frame(PING, b"token", MASK), frame(PONG, b"token")
    pair.client.send(ping)
    assert pair.upstream.read(len(ping)) == ping
    assert pair.client.is_silent(0.2)
    pair.upstream.send(pong)
    assert pair.client.read(len(pong)) == pong
    ping, pong = frame(PING, b"other way"), frame(PONG, b"other way", MASK)
    pair.upstream.send(ping)
    assert pair.client.read(len(ping)) == ping
    assert pair.upstream.is_silent(0.2)
    pair.client.send(pong)
    assert pair.upstream.read(len(pong)) == pong


def test_both_ways_at_once(bench: Bench) -> None:
    pair = bench.open()
    up = b"".join(frame(BINARY, bytes([n]) * 65536, MASK) for n in range(64))
    down = b"".join(frame(BINARY, bytes([n]) * 65536) for n in range(64))
    sending = [pair.client.send_aside(up), pair.upstream.send_aside(down)]
    with ThreadPoolExecutor(1) as reading:
        at_upstream = reading.submit(pair.upstream.read, len(up))
        assert pair.client.read(len(down)) == down
        assert at_upstream.result(LIMIT_S) == up
    for thread in sending:
        thread.join()


def test_compressed_frames(bench: Bench) -> None:
    """RFC 7692: with the extension agreed on, RSV1 passes as it is, payload compressed."""
    offer = "Sec-WebSocket-Extensions: permessage-deflate"
    pair = bench.open(lines=[offer], answer_lines=[offer])
    payload = b"\xf2\x48\xcd\xc9\xc9\x07\x00"
    for from_client in (FROM_CLIENT, FROM_UPSTREAM):
        mask = key(from_client)
        assert_passes(pair, from_client, frame(TEXT, payload, mask, first=0xC))
        split = frame(TEXT, payload[:3], mask, first=0x4) + frame(CONTINUATION, payload[3:], mask)
        assert_passes(pair, from_client, split)


def test_idle_websocket_stays_open(bench: Bench) -> None:
    pair = bench.open()
    assert pair.client.is_silent(1.0)
    assert pair.upstream.is_silent(0.5)
    assert_passes(pair, FROM_CLIENT, frame(TEXT, b"still here", MASK))
    assert_passes(pair, FROM_UPSTREAM, frame(TEXT, b"so am i"))


def read_up_to_data(wire: Wire, mask: bytes | None) -> tuple[list[bytes], bytes]:
    """The payloads of the proxy's own pings, each answered, up to the first data frame; and that frame's payload."""
    pings: list[bytes] = []
    while (came := wire.read_frame()).opcode == PING:
        pings.append(came.payload)
        assert len(pings) < 30, "only pings come"
        wire.send(frame(PONG, came.payload, mask))
    return pings, came.payload


@pytest.mark.promise
def test_pings_of_the_proxy_stay_between_two(bench: Bench) -> None:
    """It pings both sides when they are silent, and swallows the answers: no side sees a pong it did not ask for."""
    pair = bench.open("/pinged")
    for wire, mask in ((pair.client, MASK), (pair.upstream, None)):
        for _ in range(3):
            ping = wire.read_frame()
            assert ping.opcode == PING
            assert ping.masked == (wire is pair.upstream)
            wire.send(frame(PONG, ping.payload, mask))
    pair.client.send(frame(TEXT, b"up", MASK))
    pair.upstream.send(frame(TEXT, b"down"))
    assert read_up_to_data(pair.upstream, None)[1] == b"up"
    assert read_up_to_data(pair.client, MASK)[1] == b"down"


@pytest.mark.promise
@WAYS
def test_pings_of_the_proxy_never_cut_a_frame(bench: Bench, from_client: bool) -> None:
    """A frame that stands half-sent for long is whole at the other end; a fragmented message may have pings inside."""
    pair = bench.open("/pinged")
    sender, receiver = pair.sides(from_client)
    mask = key(from_client)
    sent = frame(BINARY, b"a" * 50, mask, first=0) + frame(CONTINUATION, b"b" * 50, mask)
    sender.send(sent[:30])
    assert sender.read_frame().opcode == PING
    sender.send(sent[30:])
    raw = b""
    while len(raw) < len(sent):
        came = receiver.read_frame()
        if came.opcode != PING:
            raw += came.raw
    assert raw == sent
