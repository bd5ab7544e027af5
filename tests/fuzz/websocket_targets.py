"""What holds for any bytes on a relayed WebSocket, frames or not, judged by a walk over frame headers written anew."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Final

from tests.fuzz.http_targets import pieces_of
from wsproxy.ws.control import GOING_AWAY, SERVICE_RESTART
from wsproxy.ws.relay import RelayState

MARKER: Final = b"\x07mark"
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


@dataclass
class Walk:
    """Frames by RFC 6455 section 5.2.

    frames: (start, end, opcode, final, payload). rest: where an unfinished one begins.
    followed: no length beyond 2^63 came by, behind which nobody knows where frames begin.
    """

    data: bytes
    frames: list[tuple[int, int, int, bool, bytes]] = field(default_factory=list)
    rest: int = 0
    followed: bool = True

    def __post_init__(self) -> None:
        data, at = self.data, 0
        while at + 2 <= len(data):
            opcode, final = data[at] & 15, data[at] > 127
            length, mask, header = data[at + 1] & 127, data[at + 1] > 127, 2
            if length > 125:
                more = 2 if length == 126 else 8
                if at + 2 + more > len(data):
                    break
                length = int.from_bytes(data[at + 2 : at + 2 + more], "big")
                header += more
            key = data[at + header : at + header + 4] if mask else b""
            header += 4 * mask
            if length >= 1 << 63:
                self.followed = False
                break
            end = at + header + length
            if end > len(data):
                break
            payload = data[at + header : end]
            if mask:
                payload = bytes(byte ^ key[index % 4] for index, byte in enumerate(payload))
            self.frames.append((at, end, opcode, final, payload))
            at = end
        self.rest = at

    def is_boundary(self, at: int) -> bool:
        return at == 0 or any(end == at for _, end, *_ in self.frames)

    def may_be_closed(self, at: int) -> bool:
        """At the edge of a frame, with no fragmented message open, or just where their own Close was to come."""
        if not self.is_boundary(at):
            return False
        if any(start == at and opcode == CLOSE for start, _, opcode, *_ in self.frames):
            return True
        is_open = False
        for start, _, opcode, final, _ in self.frames:
            if start >= at:
                break
            if opcode < CLOSE:
                is_open = not final
        return not is_open


def _state() -> RelayState:
    return RelayState(lambda: b"\1\2\3\4")


def fuzz_frames(data: bytes) -> None:
    """One direction: every byte passes, for any cut, and the counters are those of the walk."""
    if not data:
        return
    from_client, raw = bool(data[0] & 1), data[1:]
    walk = Walk(raw)
    counted = []
    for pieces in ([raw], pieces_of(raw), [raw[at : at + 1] for at in range(len(raw))]):
        state = _state()
        scanner = state.client if from_client else state.upstream
        assert b"".join(map(scanner.feed, pieces)) == raw
        counted.append((scanner.close_seen, scanner.close_code, scanner.messages, scanner.texts, scanner.frames))
        if walk.followed:
            assert scanner.at_frame_boundary == (walk.rest == len(raw))
    if walk.followed and walk.rest == len(raw):
        assert counted[0] == counted[1] == counted[2]
        assert counted[0][4] == len(walk.frames)
        assert counted[0][2] == sum(final for _, _, opcode, final, _ in walk.frames if opcode < CLOSE)
        assert counted[0][0] == any(opcode == CLOSE for _, _, opcode, _, _ in walk.frames)


def fuzz_relay(data: bytes) -> None:
    """One direction with Pings of ours between, their pongs, and a Close at the end: only at edges, only once."""
    if len(data) < 2:
        return
    from_client, raw = bool(data[0] & 1), data[2:]
    rng = random.Random(data[1])
    walk = Walk(raw)
    state = _state()
    scanner = state.client if from_client else state.upstream
    inject = state.ping_upstream if from_client else state.ping_client
    answered = state.ping_client if from_client else state.ping_upstream
    expects_pong = rng.random() < 0.5
    if expects_pong:
        assert answered(MARKER)
    passed = b""
    pinged_at = []
    for piece in pieces_of(raw):
        passed += scanner.feed(piece)
        if rng.random() < 0.4 and inject(b"ours"):
            pinged_at.append(len(passed))
    if not walk.followed:
        return
    ours = {frame for frame in walk.frames if expects_pong and raw[frame[0]] == 0x80 | PONG and frame[4] == MARKER}
    kept = [frame for frame in walk.frames if frame not in ours]
    edges = set(accumulate((end - start for start, end, *_ in kept), initial=0))
    assert edges.issuperset(pinged_at)
    whole = b"".join(raw[start:end] for start, end, *_ in kept)
    assert passed.startswith(whole)
    assert raw[walk.rest :].startswith(passed[len(whole) :])
    assert scanner.pongs_swallowed == len(walk.frames) - len(kept)


def fuzz_closing(data: bytes) -> None:
    """A Close of ours at some moment: what passes is a prefix that ends between messages, and one Close behind it."""
    if len(data) < 2:
        return
    from_client, raw = bool(data[0] & 1), data[2:]
    rng = random.Random(data[1])
    pieces = pieces_of(raw)
    begin = rng.randint(0, len(pieces))
    walk = Walk(raw)
    if not walk.followed:
        return
    state = _state()
    scanner = state.client if from_client else state.upstream
    passed = b""
    close = b""
    for index, piece in enumerate([*pieces, b""]):
        if index == begin:
            had_close = scanner.close_passed
            close = state.begin_close(SERVICE_RESTART, GOING_AWAY)[from_client]
            if close or had_close:
                break
        passed += scanner.feed(piece)
    if close:
        assert raw.startswith(passed)
        assert walk.may_be_closed(len(passed))
        _check_close(close, from_client)
    elif scanner.close_passed and not raw.startswith(passed):
        _check_passed_then_closed(passed, raw, walk, from_client)
    else:
        assert raw.startswith(passed)


def _check_passed_then_closed(passed: bytes, raw: bytes, walk: Walk, from_client: bool) -> None:
    """Somewhere the stream is left for our Close."""
    size = 8 if from_client else 4
    _check_close(passed[-size:], from_client)
    kept = passed[:-size]
    assert raw.startswith(kept)
    assert walk.may_be_closed(len(kept))


def _check_close(frame: bytes, from_client: bool) -> None:
    (closing,) = Walk(frame).frames
    assert closing[2:4] == (CLOSE, True)
    assert (frame[1] > 127) == from_client
    assert len(closing[4]) in (0, 2)
