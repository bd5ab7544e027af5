"""A WebSocket pair after the 101: two relay tasks, one for each direction, over the pure relay state.

Knows both streams and the frontend's clock; which bytes pass, and which Close is due when, is `ws.relay`'s to say. No
queue stands between the two tasks: the awaited drain is the backpressure.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Final

from anyio import BrokenResourceError, EndOfStream

from wsproxy.backend.backend import Backend
from wsproxy.exchange import Exchange
from wsproxy.http.codec import encode_response
from wsproxy.http.replies import error_reply
from wsproxy.net.deadlines import NEVER
from wsproxy.net.stream import Stream
from wsproxy.ws.control import GOING_AWAY
from wsproxy.ws.frames import FrameScanner
from wsproxy.ws.handshake import check_response
from wsproxy.ws.relay import RelayState

if TYPE_CHECKING:
    from wsproxy.frontend.frontend import Frontend
    from wsproxy.frontend.route import Route
    from wsproxy.frontend.session import ClientSession

CLOSE_TIMEOUT_S: Final = 10.0
"""How long the echo of a Close is waited for (the value browsers and most libraries use)."""

END_TIMEOUT_S: Final = 1.0
"""How long the server may take to end TCP once both Closes have passed; it goes first (RFC 6455 section 7.1.1)."""


def _mask() -> bytes:
    return os.urandom(4)


class Relay:
    """One WebSocket pair.

    state: the pure half, with the counters. deadline: when a closing handshake has taken too long.
    """

    __slots__ = ("_backend", "_client", "_frontend", "_upstream", "deadline", "state")

    def __init__(self, client: Stream, upstream: Stream, backend: Backend | None, frontend: Frontend) -> None:
        self._client = client
        self._upstream = upstream
        self._backend = backend
        self._frontend = frontend
        self.state = RelayState(_mask)
        self.deadline = NEVER

    async def run(self) -> None:
        """Relay until both sides have ended. The caller's task is one of the two."""
        self._frontend.enter_relay(self)
        if self._backend is not None:
            self._backend.acquire_lease()
        sibling = self._frontend.tasks.create_task(self._from_client())
        try:
            await self._from_upstream()
            if not sibling.done():
                await asyncio.wait([sibling])
        finally:
            self._client.close()
            self._upstream.close()
            if self._backend is not None:
                self._backend.release_lease()
            self._frontend.leave_relay(self)

    async def _from_client(self) -> None:
        try:
            await self._pump(self._client, self._upstream, self.state.client)
        except (EndOfStream, BrokenResourceError):
            self._ended()

    async def _from_upstream(self) -> None:
        try:
            await self._pump(self._upstream, self._client, self.state.upstream)
        except (EndOfStream, BrokenResourceError):
            self._ended()

    async def _pump(self, source: Stream, sink: Stream, scanner: FrameScanner) -> None:
        feed, write = scanner.feed, sink.write
        while True:
            if not source.buffer:
                await source.more()
            out = feed(source.take())
            if out:
                write(out)
                if sink.write_paused:
                    await sink.drain()
            if scanner.close_seen:
                self._closing()

    def _ended(self) -> None:
        """A side was lost, or an orderly end has come to its TCP: tell the other, flush, end it too."""
        client, upstream = self._client, self._upstream
        if client.eof or client.closed:
            goodbye = self.state.client_lost()
            if goodbye and not upstream.closed:
                upstream.write(goodbye)
        elif upstream.eof or upstream.closed:
            goodbye = self.state.upstream_lost(self._backend is not None and self._backend.leaving)
            if goodbye and not client.closed:
                client.write(goodbye)
        client.close()
        upstream.close()

    def _closing(self) -> None:
        """A Close has passed: the rest of the closing handshake has its limits."""
        delay_s = END_TIMEOUT_S if self.state.finished else CLOSE_TIMEOUT_S
        self.deadline = min(self.deadline, self._frontend.deadlines.after(delay_s))

    def begin_close(self, client_code: int = GOING_AWAY, upstream_code: int = GOING_AWAY) -> None:
        """Close both sides from here, at the next message boundary of each."""
        self._send(*self.state.begin_close(client_code, upstream_code))
        self.deadline = min(self.deadline, self._frontend.deadlines.after(CLOSE_TIMEOUT_S))

    def _send(self, to_client: bytes, to_upstream: bytes) -> None:
        if to_client and not self._client.closed:
            self._client.write(to_client)
        if to_upstream and not self._upstream.closed:
            self._upstream.write(to_upstream)

    def expire(self) -> None:
        """The closing handshake has taken too long."""
        self.deadline = NEVER
        self._send(*self.state.force_close())
        self.abort()

    def abort(self) -> None:
        """End both sides; what is written is still flushed."""
        self._client.close()
        self._upstream.close()


async def run_websocket(exchange: Exchange, route: Route, session: ClientSession) -> None:
    """Relay what an upstream answered with 101, until it ends. Raises BrokenResourceError when the client is gone."""
    upstream, response = exchange.upstream, exchange.response
    if upstream is None or response is None:
        raise ValueError("the exchange was not upgraded")
    client = exchange.client
    frontend = session.frontend
    problem = check_response(exchange.head, response)
    if problem is not None:
        upstream.abort()
        frontend.warn(f"{route.settings.name} {exchange.backend_name}: bad handshake answer: {problem}")
        client.write(error_reply(502, "the backend sent an invalid answer", exchange.request_id.decode(), b"", True))
        return
    client.write(encode_response(response, False, False, 1))
    backend = route.group.backends.get(exchange.backend_name)
    relay = Relay(client, upstream, backend, frontend)
    del exchange, response
    await relay.run()

