"""A request body on its way upstream while the response may already be coming.

Knows the body through the exchange and the upstream stream; not who reads the response.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from anyio import BrokenResourceError, EndOfStream

from wsproxy.backend.connection import UpstreamConnection
from wsproxy.errors import INTERNAL, Failure
from wsproxy.exchange import BodyError, Exchange, RequestBody
from wsproxy.http.chunked import LAST_CHUNK, encode_chunk, encode_last_chunk
from wsproxy.http.codec import with_trailer
from wsproxy.http.messages import CHUNKED, ResponseHead
from wsproxy.http.replies import CONTINUE_100
from wsproxy.net.deadlines import NEVER

_logger = logging.getLogger("wsproxy.backend")

CONTINUE_AFTER_S: Final = 1.0
"""How long a server may keep silent on `Expect: 100-continue` before we answer 100 in its place."""


class Upload:
    """Sends one body. `failure` is set when the body, not the server, was the reason to stop."""

    __slots__ = ("_body", "_connection", "_exchange", "_permitted", "_task", "continued", "failure")

    def __init__(self, connection: UpstreamConnection, exchange: Exchange, body: RequestBody) -> None:
        self._connection = connection
        self._exchange = exchange
        self._body = body
        self._permitted: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self.continued = False  # a 100 went to the client
        self.failure: Failure | None = None

    def start(self, head: bytes, tasks: asyncio.TaskGroup) -> None:
        """Write `head` and what of the body is there; if that is not all, the rest follows in a task of its own.

        Raises BodyError, BrokenResourceError.
        """
        exchange = self._exchange
        if exchange.head.trailer and exchange.route.pass_trailers:
            head = with_trailer(head, exchange.head.trailer)
        piece = self._body.take_buffered()
        if exchange.head.expect_continue and not piece and not self._body.complete:  # else the client did not wait
            self._permitted = asyncio.get_running_loop().create_future()
            self._connection.stream.write(head)
        else:
            self._connection.stream.write(head + self._framed(piece))
            if self._body.complete:
                return
        self._task = tasks.create_task(self._run())

    @property
    def done(self) -> bool:
        """The whole body was sent."""
        return self._body.complete and (self._task is None or (self._task.done() and not self._task.cancelled()))

    @property
    def is_held(self) -> bool:
        """The client still waits to be asked for its body, which may never come then."""
        return self._permitted is not None and not self._permitted.done() and not self.continued

    def is_cut_short(self, response: ResponseHead) -> bool:
        """Whether an answer that came before the end of the body is an answer without the rest of it.

        A refusal is one, an answer that is there whole, and one that did not let the client begin. Any other may be
        made of the body while that comes.
        """
        is_whole = 0 <= response.length <= len(self._connection.stream.buffer)
        return response.status >= 300 or is_whole or self.is_held

    def permit(self) -> None:
        """The server wants the body (it answered 100)."""
        if self._permitted is not None and not self._permitted.done():
            self._permitted.set_result(None)

    async def stop(self) -> None:
        """End the upload, finished or not."""
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait([self._task])

    def _framed(self, piece: bytes) -> bytes:
        if self._exchange.head.length != CHUNKED:
            return piece
        framed = encode_chunk(piece)
        if not self._body.complete:
            return framed
        return framed + (encode_last_chunk(self._body.trailers) if self._exchange.route.pass_trailers else LAST_CHUNK)

    async def _run(self) -> None:
        stream = self._connection.stream
        try:
            if self._permitted is not None:
                await self._wait_for_permission(self._permitted)
            while not self._body.complete:
                piece = await self._next_piece()
                stream.write(self._framed(piece))
                if stream.write_paused:
                    await stream.drain()
        except BodyError as error:
            self.failure = error.failure
            stream.abort()
        except (EndOfStream, BrokenResourceError):
            if not stream.closed:  # so it was the client's side
                self._exchange.abandon()
        except Exception:  # a bug in here costs one exchange, not the task group of the whole pool
            _logger.exception("internal error in an upload")
            self.failure = INTERNAL
            stream.abort()

    async def _next_piece(self) -> bytes:
        """Read on; while it is the client who is waited for, `response_timeout` stands still: `body_timeout` runs.

        Once the response comes, the deadline belongs to who reads that.
        """
        connection, exchange = self._connection, self._exchange
        if not exchange.answered:
            connection.deadline = NEVER
        piece = await self._body.read()
        if not exchange.answered:
            connection.rearm(exchange.route.response_timeout_s)
        return piece

    async def _wait_for_permission(self, permitted: asyncio.Future[None]) -> None:
        await asyncio.wait([permitted], timeout=CONTINUE_AFTER_S)
        if not permitted.done() and not self.continued:
            self.continued = True
            self._exchange.committed = True
            self._exchange.client.write(CONTINUE_100)
