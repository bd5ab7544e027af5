"""How a response comes to the client through a filter, which sees its body without framing: compression, cache.

Knows upstream connections and the filter's protocol. The body is taken out of the server's framing and put into the
client's piece by piece, so memory stays flat; the client's backpressure reaches the server as without a filter.
"""

from __future__ import annotations

from time import perf_counter

from anyio import BrokenResourceError, EndOfStream

from wsproxy.backend.connection import TruncatedError, UpstreamConnection
from wsproxy.exchange import Exchange, ResponseFilter
from wsproxy.http.chunked import LAST_CHUNK, ChunkedDecoder, encode_chunk
from wsproxy.http.codec import encode_response
from wsproxy.http.messages import CHUNKED, UNTIL_CLOSE, MalformedBodyError, MalformedResponseError, ResponseHead


async def relay_filtered(
    connection: UpstreamConnection, response: ResponseHead, exchange: Exchange, through: ResponseFilter
) -> None:
    """Send a final response to the client, whole, as `through` would have it; trailers are dropped.

    Clears `connection.reusable` and `exchange.keep_alive` where the message rules a further use of a connection out.
    Raises ClientGoneError; MalformedResponseError, or TruncatedError once the head has been sent.
    """
    if not response.keep_alive or response.length == UNTIL_CLOSE:
        connection.reusable = False
    shown = through.begin(response)
    body = _Body(connection, response, exchange.route.body_timeout_s)
    try:
        if shown is None:
            while data := await body.read():
                through.feed(data)
            through.end()
        else:
            await _send(connection, body, shown, exchange, through)
    except BaseException:
        through.abort()
        raise


async def _send(
    connection: UpstreamConnection, body: _Body, shown: ResponseHead, exchange: Exchange, through: ResponseFilter
) -> None:
    """The head that is shown, with as much of the body as is there already, then the rest as it comes."""
    minor_version = exchange.head.minor_version
    chunked = shown.length < 0 and minor_version > 0
    if shown.length < 0 and not chunked:
        exchange.keep_alive = False  # HTTP/1.0 knows no chunks: the end of the connection ends the body
    date = b"" if shown.has_date else connection.date_line
    out = encode_response(shown, chunked, not exchange.keep_alive, minor_version, date)
    exchange.response = shown
    exchange.first_byte_at = perf_counter()
    try:
        while data := await body.read():
            if payload := through.feed(data):
                out += encode_chunk(payload) if chunked else payload
            if out:
                exchange.answered = True
                await connection.send(exchange, out)
                out = b""
    except MalformedResponseError as error:
        if not exchange.answered:
            raise
        raise TruncatedError(str(error)) from None
    if payload := through.end():
        out += encode_chunk(payload) if chunked else payload
    if chunked:
        out += LAST_CHUNK
    exchange.answered = True
    if out:
        await connection.send(exchange, out)


class _Body:
    """The body of a response without its framing."""

    def __init__(self, connection: UpstreamConnection, response: ResponseHead, silence_s: float) -> None:
        self._connection = connection
        self._silence_s = silence_s
        self._until_close = response.length == UNTIL_CLOSE
        self._missing = response.length
        self._decoder = ChunkedDecoder() if response.length == CHUNKED else None
        self._buffered = connection.stream.take()
        self._ended = False

    async def read(self) -> bytes:
        """The next piece, b"" at the end. Raises MalformedResponseError for broken framing, TruncatedError."""
        while not self._ended:
            data = self._buffered or await self._receive()
            self._buffered = b""
            if data:
                data = self._unframe(data)
            if data:
                return data
        return b""

    async def _receive(self) -> bytes:
        """b"" where there is nothing more to come."""
        if self._missing == 0:
            self._ended = True
            return b""
        connection = self._connection
        connection.rearm(self._silence_s)
        try:
            return connection.stream.take() or await connection.stream.receive()
        except EndOfStream:
            if not self._until_close:
                raise TruncatedError("the end of the body is missing") from None
            self._ended = True
            return b""
        except BrokenResourceError:
            raise TruncatedError("the connection was reset") from None

    def _unframe(self, data: bytes) -> bytes:
        if self._decoder is not None:
            try:
                data = self._decoder.feed(data)
            except MalformedBodyError as error:
                raise MalformedResponseError(str(error)) from None
            self._ended = self._decoder.complete
            extra = bool(self._decoder.leftover)
        elif self._until_close:
            return data
        else:
            extra = len(data) > self._missing
            data = data[: self._missing]
            self._missing -= len(data)
            self._ended = self._missing == 0
        if extra:
            self._connection.reusable = False  # bytes that belong to no response
        return data
