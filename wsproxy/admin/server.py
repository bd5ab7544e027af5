"""A small HTTP/1.1 and WebSocket server on the proxy's own streams and codec, for people and scripts, not for load.

Knows connections and messages, nothing of what is asked. Everything has a limit: connections, heads, bodies, silence.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

from anyio import BrokenResourceError, EndOfStream

from wsproxy.admin.messages import Answer, RefusalError, Request, Upgrade
from wsproxy.http.chunked import ChunkedDecoder
from wsproxy.http.codec import read_request_head
from wsproxy.http.messages import (
    CHUNKED,
    UPGRADE_LINES,
    HeadLimits,
    MalformedBodyError,
    MalformedRequestError,
    RequestHead,
    field_values,
)
from wsproxy.http.replies import CONTINUE_100
from wsproxy.net.listen import Listener
from wsproxy.net.stream import Stream
from wsproxy.ws.handshake import accept_value, check_request
from wsproxy.ws.server import ServerEnd

if TYPE_CHECKING:
    import socket

CONNECTIONS: Final = 128
"""A few people with a few pages each, a scraper or two; more is somebody's mistake."""

BODY_BYTES: Final = 64 * 1024
"""The longest request is a list of names."""

REQUEST_TIMEOUT_S: Final = 10.0
"""From the first wait to the last byte of a request: as frontends give to a head."""

IDLE_TIMEOUT_S: Final = 75.0
"""As frontends have it between two requests; browsers keep connections for a minute."""

SEND_TIMEOUT_S: Final = 10.0
"""A caller that reads nothing for so long has gone."""

_LIMITS: Final = HeadLimits()
_logger = logging.getLogger("wsproxy.admin")

Handle = Callable[[Request], Awaitable[Answer | Upgrade]]


class AdminServer:
    """Serves one listener; `handle` answers every request that can be read, and never raises but RefusalError."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle
        self._listener: Listener | None = None
        self._is_closing = False
        self._waiting: set[Stream] = set()  # for a request
        self._channels: set[_Channel] = set()

    async def run(self, sockets: list[socket.socket]) -> None:
        """Serve on listening `sockets` until `close`, then until the last connection has ended."""
        self._listener = Listener("admin", sockets, self._serve, CONNECTIONS)
        await self._listener.run()

    def close(self) -> None:
        """Accept nobody any more, and let everybody go in order: after the answer that is under way."""
        self._is_closing = True
        if self._listener is not None:
            self._listener.close()
        for stream in tuple(self._waiting):
            stream.close()
        self.close_channels()

    def close_channels(self) -> None:
        """Have all WebSockets go, with a Close; their pages may come again, if the rules let them."""
        for channel in tuple(self._channels):
            channel.begin_close()

    async def _serve(self, stream: Stream) -> None:
        try:
            while await self._serve_one(stream):
                pass
        except (EndOfStream, BrokenResourceError, TimeoutError):
            return
        finally:
            self._waiting.discard(stream)

    async def _serve_one(self, stream: Stream) -> bool:
        """One request; True when another may follow."""
        async with asyncio.timeout(IDLE_TIMEOUT_S):
            if not stream.buffer:
                self._waiting.add(stream)
                await stream.more()
                self._waiting.discard(stream)
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                head = await _read_head(stream)
                request = Request(head, await _read_body(stream, head), stream.peer)
        except (MalformedRequestError, RefusalError) as error:
            await _send(stream, Answer.refusal(RefusalError(error.status, str(error))).encoded(True, False))
            stream.shut_down_writing()
            return False
        try:
            answer = await self._handle(request)
        except RefusalError as error:
            answer = Answer.refusal(error)
        except Exception:  # a bug in one answer must not end the listener
            _logger.exception("internal error in %s %s", request.method, request.path)
            answer = Answer.json({"error": "internal error"}, 500)
        if isinstance(answer, Upgrade):
            await self._talk(stream, request, answer)
            return False
        close = self._is_closing or not head.keep_alive
        await _send(stream, answer.encoded(close, head_only=head.method == b"HEAD"))
        return not close

    async def _talk(self, stream: Stream, request: Request, upgrade: Upgrade) -> None:
        """Do the handshake, then let `upgrade` talk."""
        refusal = check_request(request.head)
        if refusal is not None:
            fields = {"Sec-WebSocket-Version": "13"} if refusal.status == 426 else {}
            answer = Answer.refusal(RefusalError(refusal.status, refusal.message, fields))
            await _send(stream, answer.encoded(True, False))
            return
        (key,) = field_values(request.head.fields, b"Sec-WebSocket-Key")
        accept = b"Sec-WebSocket-Accept: %b\r\n\r\n" % accept_value(key)
        await _send(stream, b"HTTP/1.1 101 Switching Protocols\r\n" + UPGRADE_LINES + accept)
        channel = _Channel(stream)
        self._channels.add(channel)
        try:
            await upgrade.talk(channel)
            await channel.close()
        finally:
            self._channels.discard(channel)


async def _read_head(stream: Stream) -> RequestHead:
    """Raises MalformedRequestError."""
    while (parsed := read_request_head(stream.buffer, _LIMITS)) is None:
        await stream.more()
    head, size = parsed
    stream.consume(size)
    return head


async def _read_body(stream: Stream, head: RequestHead) -> bytes:
    """Raises RefusalError."""
    if head.length > BODY_BYTES:
        raise RefusalError(413, "the body is too large")
    if head.length and head.expect_continue and not stream.buffer:
        stream.write(CONTINUE_100)
    if head.length != CHUNKED:
        while len(stream.buffer) < head.length:
            await stream.more()
        body = stream.buffer[: head.length]
        stream.consume(head.length)
        return body
    decoder = ChunkedDecoder()
    body = b""
    while not decoder.complete:
        if not stream.buffer:
            await stream.more()
        try:
            body += decoder.feed(stream.take())
        except MalformedBodyError as error:
            raise RefusalError(400, str(error)) from None
        if len(body) > BODY_BYTES:
            raise RefusalError(413, "the body is too large")
    stream.buffer = decoder.leftover + stream.buffer
    return body


async def _send(stream: Stream, data: bytes) -> None:
    """Raises BrokenResourceError, TimeoutError."""
    stream.write(data)
    if stream.write_paused:
        async with asyncio.timeout(SEND_TIMEOUT_S):
            await stream.drain()


class _Channel:
    """A `Channel` over a stream."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._end = ServerEnd()
        self._messages: list[str] = []

    def begin_close(self) -> None:
        """Send a Close; whoever does not answer it in time is cut."""
        self._end.close()
        if not self._stream.closed:
            self._stream.write(self._end.to_send())
            self._stream.loop.call_later(SEND_TIMEOUT_S, self._stream.abort)

    async def send(self, text: str) -> None:
        self._end.send(text)
        await self._flush()

    async def receive(self) -> str | None:
        while not self._messages:
            if self._end.is_over:
                return None
            try:
                self._messages += self._end.receive(await self._stream.receive())
                await self._flush()
            except (EndOfStream, BrokenResourceError):
                return None
        return self._messages.pop(0)

    async def close(self) -> None:
        self._end.close()
        await self._flush()

    async def _flush(self) -> None:
        if data := self._end.to_send():
            await _send(self._stream, data)
