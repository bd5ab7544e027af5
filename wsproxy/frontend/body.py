"""The body of a client's request, pulled by the worker that carries the exchange.

Knows the client's stream, framing and limits; not where the bytes go.
"""

from __future__ import annotations

from typing import Final, Protocol

from wsproxy.errors import BODY_TIMEOUT, BODY_TOO_LARGE, bad_body
from wsproxy.exchange import BodyError
from wsproxy.http.chunked import ChunkedDecoder
from wsproxy.http.messages import CHUNKED, MalformedBodyError, MalformedRequestError, RequestHead
from wsproxy.net.stream import ReadTimeoutError, Stream
from wsproxy.protection.retry import IDEMPOTENT

REPLAY_BYTES: Final = 64 * 1024
"""A body up to this size is kept, so that a safe request can be sent to another backend."""


class Watch(Protocol):
    """Who ends a read that lasts too long."""

    def expect_body(self) -> None:
        """The client's next bytes are waited for from now on."""
        ...

    def expect_nothing(self) -> None:
        """They came."""
        ...


def body_of(head: RequestHead, stream: Stream, limit_bytes: int | None, watch: Watch) -> ClientBody:
    """The body that a head announces. Raises MalformedRequestError(413) when it says by itself that it is too large."""
    if limit_bytes is not None and head.length > limit_bytes:
        raise MalformedRequestError(BODY_TOO_LARGE.status, BODY_TOO_LARGE.message)
    return ClientBody(stream, head.length, limit_bytes, head.method in IDEMPOTENT, watch)


class ClientBody:
    """Reads one body from the client's stream and leaves what follows it there.

    complete: all of it has been read. read_bytes: how much of it came so far, without chunk framing.
    """

    __slots__ = (
        "_decoder",
        "_kept",
        "_limit_bytes",
        "_missing",
        "_replay",
        "_stream",
        "_watch",
        "_whole",
        "read_bytes",
    )

    def __init__(self, stream: Stream, length: int, limit_bytes: int | None, keep: bool, watch: Watch) -> None:
        self._stream = stream
        self._decoder = ChunkedDecoder() if length == CHUNKED else None
        self._missing = length
        self._limit_bytes = limit_bytes
        self._watch = watch
        self._whole = False
        self._kept: list[bytes] | None = [] if keep else None
        self._replay: list[bytes] = []
        self.read_bytes = 0

    @property
    def complete(self) -> bool:
        """Whether there is nothing left to be read, from the client or from what was kept."""
        return self._whole and not self._replay

    @property
    def drained(self) -> bool:
        """Whether the client's stream stands behind the body."""
        return self._whole

    @property
    def replayable(self) -> bool:
        """Nothing was read yet, or all that was read is still kept."""
        return self._kept is not None or self.read_bytes == 0

    @property
    def kept_bytes(self) -> int:
        """How much of it is kept for another attempt."""
        return 0 if self._kept is None else self.read_bytes

    @property
    def trailers(self) -> bytes:
        """The trailer fields that may be forwarded, once all of it has been read."""
        return b"" if self._decoder is None else self._decoder.trailers

    def rewind(self) -> None:
        """Begin anew with what was kept."""
        self._replay = list(self._kept or ())

    def take_buffered(self) -> bytes:
        """What is there already, maybe b"". Raises BodyError."""
        replayed = b"".join(self._replay)
        self._replay = []
        if self._whole or not self._stream.buffer:
            return replayed
        return replayed + self._decode()

    async def read(self) -> bytes:
        """The next piece, b"" only at the end. Raises BodyError, EndOfStream, BrokenResourceError."""
        piece = self.take_buffered()
        while not piece and not self._whole:
            self._watch.expect_body()
            try:
                await self._stream.more()
            except ReadTimeoutError:
                raise BodyError(BODY_TIMEOUT) from None
            finally:
                self._watch.expect_nothing()
            piece = self._decode()
        return piece

    def _decode(self) -> bytes:
        stream = self._stream
        data = stream.take()
        if self._decoder is None:
            if len(data) > self._missing:
                stream.buffer = data[self._missing :]
                data = data[: self._missing]
            self._missing -= len(data)
            self._whole = self._missing == 0
        else:
            try:
                data = self._decoder.feed(data)
            except MalformedBodyError as error:
                raise BodyError(bad_body(400, str(error))) from None
            if self._decoder.complete:
                self._whole = True
                stream.buffer = self._decoder.leftover + stream.buffer
        self.read_bytes += len(data)
        if self._limit_bytes is not None and self.read_bytes > self._limit_bytes:
            raise BodyError(BODY_TOO_LARGE)
        if self._kept is not None:
            if self.read_bytes > REPLAY_BYTES:
                self._kept = None
            elif data:
                self._kept.append(data)
        return data
