"""Brings an answer's bytes to the client: what is in memory and what is in a file, with the client's backpressure.

Knows the client's stream through the exchange. Large plain answers bypass the transport (`DirectSocket`); TLS, filtered
answers and everything behind unsent bytes are read and written. Either way one piece is in memory at a time.
"""

from __future__ import annotations

import errno
import os
from asyncio import sleep
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter
from typing import Final

from anyio import BrokenResourceError

from wsproxy.exchange import Exchange, ResponseFilter
from wsproxy.http.chunked import LAST_CHUNK, encode_chunk
from wsproxy.http.ranges import Part
from wsproxy.net.deadlines import NEVER, Deadlines
from wsproxy.net.direct import DirectSocket
from wsproxy.static.answers import Piece
from wsproxy.static.reading import Reading

COPIED_BYTES: Final = 64 * 1024
"""A piece that is read and written: as much as a stream holds unsent before it pauses."""
DIRECT_BYTES: Final = 512 * 1024
"""A piece that the kernel sends, for which the loop is held about 0.1 ms; a socket's buffer seldom takes more."""

_NOT_THIS_WAY: Final = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP})  # a file system without sendfile


class CutShortError(Exception):
    """The file ended, or could not be read any more, before all that was promised of it had been sent."""


class Sending:
    """One answer on its way. deadline: when a client that takes nothing has been waited for long enough."""

    def __init__(self, exchange: Exchange, reading: Reading | None, deadlines: Deadlines) -> None:
        self.deadline = NEVER
        self._exchange = exchange
        self._client = exchange.client
        self._reading = reading
        self._deadlines = deadlines
        self._direct: DirectSocket | None = None
        self._unsent_bytes = 0

    async def send(self, head: bytes, pieces: Sequence[Piece]) -> None:
        """Send a head and a body. Raises BrokenResourceError (the client left), CutShortError."""
        with self._held():
            if self._reading is not None:
                self._direct = DirectSocket.try_open(self._client)
            if self._direct is not None and self._reading is not None:
                self._reading.close_too(self._direct.close)
            await self._write(head)
            for piece in pieces:
                if self._direct is not None and isinstance(piece, Part):
                    await self._send_part(self._direct, piece)
                else:
                    async for data in self._read(piece):
                        await self._write(data)

    async def send_filtered(self, head: bytes, pieces: Sequence[Piece], through: ResponseFilter, chunked: bool) -> None:
        """The same through a filter, which has made the head already."""
        with self._held():
            try:
                await self._write(head)
                for piece in pieces:
                    async for data in self._read(piece):
                        if out := through.feed(data):
                            await self._write(encode_chunk(out) if chunked else out)
                        await sleep(0)  # a filter works: let others have their turn
                out = through.end()
                if out and chunked:
                    out = encode_chunk(out)
                await self._write(out + LAST_CHUNK if chunked else out)
            except BaseException:
                through.abort()
                raise

    @contextmanager
    def _held(self) -> Iterator[None]:
        exchange = self._exchange
        exchange.answered = True
        exchange.first_byte_at = perf_counter()
        exchange.holder = self
        self._deadlines.watch(self)
        try:
            yield
        finally:
            exchange.holder = None
            self._deadlines.forget(self)

    # Deadlines, and those who have had enough.

    def expire(self) -> None:
        """A client that takes little is waited for; one that took nothing since it was last looked at is not."""
        self.deadline = NEVER
        if self._direct is None and self._client.unsent_bytes < self._unsent_bytes:
            self._expect_client()
        else:
            self._client.abort()
            self._wake()

    def let_go(self, exchange: Exchange) -> None:  # noqa: ARG002 - it holds one
        """The exchange was abandoned."""
        self._client.abort()
        self._wake()

    def _wake(self) -> None:
        if self._direct is not None:
            self._direct.wake()

    def _expect_client(self) -> None:
        self._unsent_bytes = self._client.unsent_bytes
        self.deadline = self._deadlines.after(self._client.stall_timeout_s)

    # Bytes.

    async def _write(self, data: bytes) -> None:
        if self._direct is not None:
            await self._write_directly(self._direct, data)
            return
        self._client.write(data)
        self._exchange.answered_bytes += len(data)
        if self._client.write_paused:
            self._expect_client()
            await self._client.drain()
            self.deadline = NEVER

    async def _write_directly(self, direct: DirectSocket, data: bytes) -> None:
        while data:
            sent = direct.try_write(data)
            self._exchange.answered_bytes += sent
            data = data[sent:]
            if data:
                await self._writable(direct)

    async def _writable(self, direct: DirectSocket) -> None:
        self._expect_client()
        await direct.writable()
        self.deadline = NEVER

    async def _send_part(self, direct: DirectSocket, part: Part) -> None:
        offset = part.start
        while offset < part.end:
            offset += await self._send_directly(direct, offset, min(part.end - offset, DIRECT_BYTES))
            await sleep(0)  # a quick client on this machine would keep the loop for itself
            if self._client.closed:
                raise BrokenResourceError

    async def _send_directly(self, direct: DirectSocket, offset: int, count: int) -> int:
        """How much of `count` bytes the socket has taken; 0 after it has been waited for."""
        reading = self._reading
        if reading is None:
            raise CutShortError
        try:
            if reading.is_in_memory(offset, count):
                sent = os.sendfile(direct.fd, reading.file.fd, offset, count)
            else:
                sent = await reading.run(lambda: os.sendfile(direct.fd, reading.file.fd, offset, count))
        except BlockingIOError:
            await self._writable(direct)
            return 0
        except ConnectionError:
            raise BrokenResourceError from None
        except OSError as error:
            if error.errno not in _NOT_THIS_WAY:
                raise CutShortError from None
            data = await self._next(reading, offset, min(count, COPIED_BYTES))
            await self._write(data)
            return len(data)
        if not sent:
            raise CutShortError
        self._exchange.answered_bytes += sent
        return sent

    async def _read(self, piece: Piece) -> AsyncIterator[bytes]:
        """The bytes of a piece, no more than COPIED_BYTES at a time. Raises CutShortError."""
        if isinstance(piece, bytes):
            for start in range(0, len(piece), COPIED_BYTES):
                yield piece[start : start + COPIED_BYTES]
        elif (reading := self._reading) is not None:
            offset = piece.start
            while offset < piece.end:
                data = await self._next(reading, offset, min(piece.end - offset, COPIED_BYTES))
                offset += len(data)
                yield data

    async def _next(self, reading: Reading, offset: int, count: int) -> bytes:
        """One byte at least. Raises CutShortError."""
        try:
            data = await reading.read(offset, count)
        except OSError:
            raise CutShortError from None
        if not data:
            raise CutShortError
        return data
