"""The relay under any frames in any chunking: it keeps every byte, injects only at boundaries, swallows only its own.

Judged by a parser that shares nothing with ours: the sans-I/O core of `websockets`.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.protocol import CLIENT, SERVER, Protocol
from websockets.streams import StreamReader
from websockets.utils import apply_mask

from wsproxy.ws.control import GOING_AWAY, SERVICE_RESTART
from wsproxy.ws.relay import RelayState

MARKER = b"\x07mark\x00\x00\x01"
KEY = b"\x11\x22\x33\x44"
SIZES = st.one_of(st.integers(0, 20), st.sampled_from([124, 125, 126, 127, 128, 300, 65535, 65536]))


def mask() -> bytes:
    return KEY


@dataclass(frozen=True)
class Piece:
    """One frame of a script: opcode, final, size of its payload (a pong of our own when it carries the marker)."""

    opcode: int
    final: bool
    payload: bytes

    @property
    def is_our_pong(self) -> bool:
        return self.opcode == Opcode.PONG and self.payload == MARKER

    def encode(self, masked: bool) -> bytes:
        """The frame on the wire, with a key that is the same every time: a failing example must fail again."""
        plain = Frame(Opcode(self.opcode), self.payload, self.final).serialize(mask=False)
        if not masked:
            return plain
        head = plain[: len(plain) - len(self.payload)]
        return head[:1] + bytes([head[1] | 0x80]) + head[2:] + KEY + apply_mask(self.payload, KEY)


def _payload(size: int) -> bytes:
    return (b"payload%d " % size * (size // 8 + 1))[:size]


CONTROL = st.builds(
    Piece,
    st.sampled_from([Opcode.PING, Opcode.PONG]),
    st.just(True),
    st.one_of(st.integers(0, 125).map(_payload), st.just(MARKER)),
)


@st.composite
def messages(draw: st.DrawFn) -> list[Piece]:
    """One message, perhaps in fragments with control frames between, and control frames around it."""
    pieces = draw(st.lists(CONTROL, max_size=1))
    count = draw(st.integers(1, 3))
    for index in range(count):
        opcode = draw(st.sampled_from([Opcode.TEXT, Opcode.BINARY])) if index == 0 else Opcode.CONT
        pieces.append(Piece(opcode, index == count - 1, _payload(draw(SIZES))))
        pieces += draw(st.lists(CONTROL, max_size=1))
    return pieces


SCRIPTS = st.lists(messages(), min_size=1, max_size=4).map(lambda parts: [piece for part in parts for piece in part])


@st.composite
def chunked(draw: st.DrawFn, data: bytes) -> list[bytes]:
    """The bytes in pieces, cut anywhere, often within a few bytes of each other."""
    cuts = draw(st.lists(st.one_of(st.integers(0, len(data)), st.integers(0, min(len(data), 200))), max_size=12))
    edges = [0, *sorted(cuts), len(data)]
    return [data[a:b] for a, b in pairwise(edges)]


def parsed(stream: bytes, masked: bool) -> list[Frame]:
    """The frames of a stream, by an independent parser that refuses whatever RFC 6455 section 5.2 refuses."""
    reader = StreamReader()
    reader.feed_data(stream)
    frames = []
    while len(reader.buffer):
        parsing = Frame.parse(reader.read_exact, mask=masked)
        try:
            next(parsing)
        except StopIteration as finished:
            frames.append(finished.value)
        else:
            raise AssertionError("the stream ends inside a frame")
    return frames


def accepted(stream: bytes, masked: bool) -> bool:
    """Whether a whole endpoint has nothing to say against the stream (it refuses a Close inside a message, too)."""
    peer = Protocol(SERVER if masked else CLIENT, max_size=None)
    peer.receive_data(stream)
    return peer.parser_exc is None


def at_message_boundaries(frames: list[Frame]) -> Iterator[bool]:
    """For each frame, whether it begins where no message is open."""
    is_open = False
    for frame in frames:
        yield not is_open
        if frame.opcode not in (Opcode.PING, Opcode.PONG, Opcode.CLOSE):
            is_open = not frame.fin


@given(st.data(), SCRIPTS, st.booleans(), st.sampled_from([None, 1 << 20]))
def test_everything_passes_when_nothing_is_injected(
    data: st.DataObject, script: list[Piece], masked: bool, limit: int | None
) -> None:
    stream = b"".join(piece.encode(masked) for piece in script)
    stream += Piece(Opcode.CLOSE, True, b"\x0f\xa0bye").encode(masked)
    state = RelayState(mask, limit)
    feed, scanner = (state.from_client, state.client) if masked else (state.from_upstream, state.upstream)
    chunks = data.draw(chunked(stream))
    passed = [feed(chunk) for chunk in chunks]
    assert b"".join(passed) == stream
    if limit is None:
        assert all(given is taken for given, taken in zip(chunks, passed, strict=True))
    assert scanner.at_message_boundary
    assert scanner.frames == len(script) + 1
    assert scanner.messages == sum(piece.final and piece.opcode < 8 for piece in script)
    assert scanner.data_bytes == sum(len(piece.payload) for piece in script if piece.opcode < 8)
    assert (scanner.close_code, state.closed_by) == (4000, "client" if masked else "upstream")


@given(st.data(), SCRIPTS, st.booleans())
def test_only_the_pongs_of_our_own_pings_are_taken_out(data: st.DataObject, script: list[Piece], masked: bool) -> None:
    encoded = [piece.encode(masked) for piece in script]
    ours = [piece.is_our_pong for piece in script]
    state = RelayState(mask)
    feed, scanner = (state.from_client, state.client) if masked else (state.from_upstream, state.upstream)
    assert (state.ping_client if masked else state.ping_upstream)(MARKER)
    passed = b"".join(map(feed, data.draw(chunked(b"".join(encoded)))))
    assert passed == b"".join(frame for frame, own in zip(encoded, ours, strict=True) if not own)
    assert scanner.pongs_swallowed == sum(ours)


@given(st.data(), SCRIPTS, st.booleans())
def test_pings_of_ours_stand_between_frames(data: st.DataObject, script: list[Piece], masked: bool) -> None:
    stream = b"".join(piece.encode(masked) for piece in script)
    state = RelayState(mask)
    feed, ping = (state.from_client, state.ping_upstream) if masked else (state.from_upstream, state.ping_client)
    out = b"".join(part for chunk in data.draw(chunked(stream)) for part in (feed(chunk), ping(b"ours")))
    assert accepted(out, masked)
    frames = [frame for frame in parsed(out, masked) if (frame.opcode, frame.data) != (Opcode.PING, b"ours")]
    assert [(frame.opcode, frame.fin, bytes(frame.data)) for frame in frames] == [
        (piece.opcode, piece.final, piece.payload) for piece in script
    ]


@given(st.data(), SCRIPTS, st.booleans(), st.booleans(), st.booleans())
def test_a_close_of_ours_ends_a_direction_once_and_at_a_boundary(
    data: st.DataObject, script: list[Piece], masked: bool, forced: bool, ends_with_close: bool
) -> None:
    theirs = Piece(Opcode.CLOSE, True, b"\x03\xe8").encode(masked) if ends_with_close else b""
    stream = b"".join(piece.encode(masked) for piece in script) + theirs
    chunks = data.draw(chunked(stream))
    begin = data.draw(st.integers(0, len(chunks)))
    force = data.draw(st.integers(begin, len(chunks))) if forced else None
    pinged = data.draw(st.booleans())
    state = RelayState(mask)
    if pinged:
        state.ping_client(MARKER), state.ping_upstream(MARKER)
    feed = state.from_client if masked else state.from_upstream
    out = b""
    for index, chunk in enumerate([*chunks, b""]):
        if index == begin:
            out += state.begin_close(SERVICE_RESTART, GOING_AWAY, "leaving")[masked]
        if index == force:
            out += state.force_close()[masked]
        out += feed(chunk)
    frames = parsed(out, masked)
    closes = [index for index, frame in enumerate(frames) if frame.opcode is Opcode.CLOSE]
    assert closes == [len(frames) - 1], "exactly one Close, and nothing behind it"
    own = (GOING_AWAY if masked else SERVICE_RESTART).to_bytes(2, "big") + b"leaving"
    theirs_needs = len(theirs) if pinged else 1  # looking for our pongs, the scanner holds a control frame until whole
    theirs_first = bool(theirs) and sum(map(len, chunks[:begin])) >= len(stream) - len(theirs) + theirs_needs
    assert bytes(frames[-1].data) == (b"\x03\xe8" if theirs_first else own)
    if not forced:
        assert list(at_message_boundaries(frames))[-1]
        assert accepted(out, masked)
    expected = [(p.opcode, p.payload) for p in script if not (pinged and p.is_our_pong)]
    assert [(f.opcode, bytes(f.data)) for f in frames[:-1]] == expected[: len(frames) - 1]


@settings(deadline=None)
@given(st.data(), SCRIPTS, st.booleans())
def test_a_lost_side_gets_a_close_only_between_frames(data: st.DataObject, script: list[Piece], masked: bool) -> None:
    stream = b"".join(piece.encode(masked) for piece in script)
    kept = data.draw(st.integers(0, len(stream)))
    state = RelayState(mask)
    feed, lost = (state.from_client, state.client_lost) if masked else (state.from_upstream, state.upstream_lost)
    passed = b"".join(map(feed, data.draw(chunked(stream[:kept]))))
    added = lost()
    edges = {0}
    for piece in script:
        edges.add(max(edges) + len(piece.encode(masked)))
    assert passed == stream[:kept]
    assert bool(added) == (kept in edges)
    if added:
        assert [frame.opcode for frame in parsed(passed + added, masked)][-1] is Opcode.CLOSE


def test_a_hundred_thousand_messages_pass_byte_for_byte() -> None:
    rng = random.Random(20)
    sizes = [0, 1, 17, 100, 125, 126, 127, 400]
    sent = 0
    for masked in (True, False):
        state = RelayState(mask)
        feed = state.from_client if masked else state.from_upstream
        pool = [Piece(Opcode.BINARY, True, rng.randbytes(size)).encode(masked) for size in sizes]
        pool += [Piece(Opcode.BINARY, True, rng.randbytes(size)).encode(masked) for size in (65535, 65536)]
        while sent < (50_000 if masked else 100_000):
            batch = rng.choices(pool, weights=[100] * len(sizes) + [1, 1], k=500)
            stream = b"".join(batch)
            at = 0
            passed = []
            while at < len(stream):
                step = rng.choice((1, 3, 40, 130, 1000))
                passed.append(feed(stream[at : at + step]))
                at += step
            assert b"".join(passed) == stream
            sent += len(batch)
        assert state.client.messages + state.upstream.messages == 50_000
