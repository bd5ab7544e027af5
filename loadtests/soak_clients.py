"""The clients of a soak: requests on kept connections and WebSockets, at a steady rate, that miss nothing.

Knows what goes over the wire, and counts. A client does what good clients do: it opens a new connection where an answer
says `Connection: close`, and comes again where a WebSocket is closed with a code. It does not retry: whatever else ends
a request or a WebSocket is lost, and said with its reason.
"""

from __future__ import annotations

import asyncio
import os
import random
from base64 import b64encode
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from time import perf_counter

from loadtests.frames import BINARY, CLOSE, encode_frame

ANSWER_LIMIT_S = 10.0  # far above any answer here: whoever waits longer has been forgotten
COME_AGAIN_S = 1.0  # at most, by chance: a thousand clients that were closed do not come in one moment
BODY_BYTES = 70  # of the origin's /70


@dataclass
class Tally:
    """What became of it all. lost: by reason. excused: the same while something was killed. closes: by code."""

    requests: int = 0
    messages: int = 0
    connections: int = 0
    opened: int = 0
    closes: Counter[int] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)
    excused: Counter[str] = field(default_factory=Counter)
    slowest_s: float = 0.0
    excuse_until: float = 0.0

    def lose(self, reason: str) -> None:
        """Something was not answered."""
        counter = self.excused if perf_counter() < self.excuse_until else self.lost
        counter[reason] += 1

    def took(self, seconds: float) -> None:
        """An answer has come."""
        self.slowest_s = max(self.slowest_s, seconds)


class HttpClient:
    """One kept connection, with a request every `interval_s`."""

    def __init__(self, port: int, tally: Tally, interval_s: float) -> None:
        self._port = port
        self._tally = tally
        self._interval_s = interval_s

    async def run(self) -> None:
        """Ask until cancelled."""
        await asyncio.sleep(random.random() * self._interval_s)
        while True:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            except OSError as error:
                self._tally.lose(f"connect: {error.strerror}")
                await asyncio.sleep(self._interval_s)
                continue
            self._tally.connections += 1
            try:
                while await self._ask(reader, writer):  # noqa: ASYNC110 - it is the pace, not a wait
                    await asyncio.sleep(self._interval_s)
            finally:
                writer.close()

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request; whether the connection may be used again."""
        began = perf_counter()
        try:
            async with asyncio.timeout(ANSWER_LIMIT_S):
                writer.write(b"GET /70 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                if not head.startswith(b"http/1.1 200 "):
                    self._tally.lose(f"status {head[9:12].decode('ascii', 'replace')}")
                    return False
                await reader.readexactly(BODY_BYTES)
        except asyncio.IncompleteReadError as error:
            self._tally.lose("an answer cut short" if error.partial else "a connection closed on a request")
            return False
        except (OSError, TimeoutError) as error:
            self._tally.lose(f"request: {type(error).__name__}")
            return False
        self._tally.requests += 1
        self._tally.took(perf_counter() - began)
        return b"\r\nconnection: close\r\n" not in head


class WebSocketClient:
    """One WebSocket that sends a message every `interval_s` and wants it back; closed, it comes again."""

    def __init__(self, port: int, tally: Tally, interval_s: float) -> None:
        self._port = port
        self._tally = tally
        self._interval_s = interval_s

    async def run(self) -> None:
        """Talk until cancelled."""
        while True:
            await asyncio.sleep(random.random() * COME_AGAIN_S)
            writer: asyncio.StreamWriter | None = None
            try:
                reader, writer = await self._open()
                await self._talk(reader, writer)
            except asyncio.IncompleteReadError:
                self._tally.lose("a WebSocket that ended without a Close")
            except (OSError, TimeoutError) as error:
                self._tally.lose(f"WebSocket: {type(error).__name__}")
            finally:
                if writer is not None:
                    writer.close()

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        async with asyncio.timeout(ANSWER_LIMIT_S):
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            key = b64encode(os.urandom(16))
            writer.write(
                b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + key + b"\r\n\r\n"
            )
            head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 101 "):
            writer.close()
            raise ConnectionRefusedError(head[9:12].decode("ascii", "replace"))
        self._tally.opened += 1
        return reader, writer

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Until it is closed."""
        waiting: dict[bytes, float] = {}
        next_at = perf_counter() + random.random() * self._interval_s
        while True:
            try:
                async with asyncio.timeout(max(next_at - perf_counter(), 0.001)):
                    opcode, payload = await _receive(reader)
            except TimeoutError:
                if any(perf_counter() - sent > ANSWER_LIMIT_S for sent in waiting.values()):
                    raise
                payload = os.urandom(32)
                waiting[payload] = perf_counter()
                writer.write(encode_frame(BINARY, payload, masked=True))
                next_at = perf_counter() + self._interval_s
                continue
            if opcode == CLOSE:
                self._tally.closes[int.from_bytes(payload[:2])] += 1
                with suppress(OSError):
                    writer.write(encode_frame(CLOSE, payload, masked=True))
                return
            if opcode == BINARY:
                self._tally.messages += 1
                self._tally.took(perf_counter() - waiting.pop(payload))


async def _receive(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """The next frame of a server, which are all short here. Loses nothing when it is cancelled between two frames."""
    first, size = await reader.readexactly(2)
    return first & 0x0F, await reader.readexactly(size)
