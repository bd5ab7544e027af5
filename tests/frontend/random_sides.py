"""The two sides of a session as they may be: clients that stop reading, servers that answer in every way at random.

What a client got is read by `answers_in`, which trusts none of it.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from tests.fakes import FakeTransport, UpstreamDialer
from wsproxy.net.dial import DialError
from wsproxy.net.stream import Stream

UNSENT_BYTES: Final = 300
"""Unsent bytes above which a transport asks for a pause: some answers are larger, most are not."""


class Wire(FakeTransport):
    """A transport whose peer may stop reading, and that fails as a real one does when it is lost."""

    def __init__(self, stream: Stream, on_write: Callable[[bytes], None] | None = None) -> None:
        self.is_read = True
        self._stream = stream
        super().__init__(stream, on_write)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self.closing:
            raise RuntimeError("the handler is closed")
        super().write(data)
        if not self.is_read:
            self.unsent_bytes += len(data)
            if self.unsent_bytes > UNSENT_BYTES and not self._stream.write_paused:
                self._stream.pause_writing()

    def set_reading(self, is_read: bool) -> None:
        """The peer stops taking what is written, or goes on."""
        self.is_read = is_read
        if is_read:
            self.unsent_bytes = 0
            if self._stream.write_paused:
                self._stream.resume_writing()


class Server(UpstreamDialer):
    """Answers what it was asked, which its answers show; `asked` holds what it still owes, by connection."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: dict[FakeTransport, tuple[bytes, bytes]] = {}
        self.rests: dict[FakeTransport, list[bytes]] = {}

    async def dial(self, timeout_s: float) -> Stream:
        await asyncio.sleep(0)
        if self.refusing:
            raise DialError("refused")
        stream = Stream(asyncio.get_running_loop())
        wire = Wire(stream, lambda data: self._got(wire, data))
        self.transports.append(wire)
        return stream

    def _got(self, wire: FakeTransport, data: bytes) -> None:
        if data.startswith((b"GET ", b"HEAD ", b"POST ")):
            assert wire not in self.asked, "a second request before the first was answered"
            method, target, _ = data.split(b" ", 2)
            self.asked[wire] = (method, target)

    def act(self, rng: random.Random) -> None:
        """Go on with an answer, or begin one."""
        self.asked = {wire: asked for wire, asked in self.asked.items() if not wire.closing}
        self.rests = {wire: rest for wire, rest in self.rests.items() if not wire.closing and rest}
        if self.rests and (not self.asked or rng.random() < 0.7):
            wire = rng.choice(list(self.rests))
            self._give(wire, self.rests[wire].pop(0))
        elif waiting := [wire for wire in self.asked if wire not in self.rests]:
            wire = rng.choice(waiting)
            method, target = self.asked[wire]
            kinds = ["whole"] * 6 + ["parts", "parts", "early", "chunked", "close", "until", "503", "large", "nonsense"]
            self._begin(wire, method, target, rng.choice([*kinds, "end", "lose"]), rng)

    def _begin(self, wire: FakeTransport, method: bytes, target: bytes, kind: str, rng: random.Random) -> None:
        if kind in ("end", "lose", "nonsense"):
            self._give(wire, {"end": b"end", "lose": b"lose", "nonsense": b"SSH-2.0\r\n\r\n"}[kind])
            return
        body = target * 50 if kind == "large" else target
        status = b"503 No" if kind == "503" else b"200 OK"
        length = b"Content-Length: %d\r\n" % len(body)
        if kind == "chunked":
            length, body = b"Transfer-Encoding: chunked\r\n", b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        if kind == "close":
            length += b"Connection: close\r\n"
        if kind == "until":
            length = b""
        out = b"HTTP/1.1 %b\r\nDate: Tue, 15 Nov 1994 08:12:31 GMT\r\n%b\r\n" % (status, length)
        out += b"" if method == b"HEAD" else body
        pieces = [b"HTTP/1.1 103 Early\r\n\r\n"] if kind == "early" else []
        cuts = sorted(rng.randrange(1, len(out)) for _ in range(2)) if kind in ("parts", "chunked") else []
        pieces += [out[a:b] for a, b in zip([0, *cuts], [*cuts, len(out)], strict=True) if a < b]
        pieces += [b"end"] if kind == "close" or (kind == "until" and method != b"HEAD") else []
        self.rests[wire] = pieces
        self._give(wire, pieces.pop(0))

    def _give(self, wire: FakeTransport, piece: bytes) -> None:
        if not self.rests.get(wire):
            self.asked.pop(wire, None)
        if piece == b"end":
            wire.end()
        elif piece == b"lose":
            wire.lose()
        else:
            wire.feed(piece)


@dataclass
class Answer:
    """What a client was answered. is_whole: with its end. is_last: the connection ends behind it, it says."""

    status: int
    body: bytes
    is_whole: bool
    is_last: bool


def answers_in(sent: bytes, methods: Iterator[bytes], is_ended: bool, is_reset: bool) -> Iterator[Answer]:
    """The final answers in what a client got."""
    while sent:
        head, found, rest = sent.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 "), head[:60]
        if not found:
            assert is_ended
            return
        status = int(head[9:12])
        if status < 200:
            sent = rest
            continue
        lines = head.lower().split(b"\r\n")[1:]
        fields = {name: value.strip() for name, _, value in (line.partition(b":") for line in lines)}
        is_last = fields.get(b"connection") == b"close"
        if next(methods) == b"HEAD" and status != 408:  # to a head that could not be read
            body, sent, is_whole = b"", rest, True
        elif b"content-length" in fields:
            length = int(fields[b"content-length"])
            body, sent, is_whole = rest[:length], rest[length:], len(rest) >= length
        elif fields.get(b"transfer-encoding") == b"chunked":
            body, sent, is_whole = unchunked(rest)
        else:
            body, sent, is_whole = rest, b"", is_ended and not is_reset
        yield Answer(status, body, is_whole, is_last)


def unchunked(data: bytes) -> tuple[bytes, bytes, bool]:
    body = b""
    while True:
        size, found, rest = data.partition(b"\r\n")
        if not found or len(rest) < int(size, 16) + 2:
            return body, b"", False
        count = int(size, 16)
        body, data = body + rest[:count], rest[count + 2 :]
        if not count:
            return body, data, True
