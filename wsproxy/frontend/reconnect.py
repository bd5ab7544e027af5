"""A relay whose client outlives its backend: when the backend goes, another takes over and the client sees no Close.

Knows the original handshake and the attempt loop. The client is not read meanwhile, so what it sends waits in its own
socket. What was written to the old backend and not handled there is lost; nothing is sent twice but the first messages
that the route wants replayed, which every new backend is told before anything else.
"""

from __future__ import annotations

import asyncio
import logging
import re
from typing import Final

from anyio import BrokenResourceError, EndOfStream

from wsproxy.backend.backend import Backend
from wsproxy.config.model import RouteSettings
from wsproxy.exchange import Exchange
from wsproxy.frontend.forward import forward
from wsproxy.frontend.pair import CLOSE_TIMEOUT_S
from wsproxy.frontend.relay import Relay
from wsproxy.frontend.route import Route
from wsproxy.http.messages import RequestHead, ResponseHead, field_values
from wsproxy.net.deadlines import NEVER
from wsproxy.net.stream import Stream
from wsproxy.ws.control import GOING_AWAY, SERVICE_RESTART, TRY_LATER
from wsproxy.ws.deflate import ExtensionError, begin_messages_empty, offer_only_deflate
from wsproxy.ws.frames import FrameScanner
from wsproxy.ws.handshake import check_response, mismatch
from wsproxy.ws.keepalive import KeepaliveState
from wsproxy.ws.replay import ReplayState

_logger = logging.getLogger("wsproxy.websocket")

PARTING_CODES: Final = frozenset({GOING_AWAY, SERVICE_RESTART, TRY_LATER})
"""The Closes by which a backend says that it goes, and not that the conversation is over."""

ANY_CODE: Final = range(65536)
"""Every Close there can be, an empty one counted as 0."""

PAUSE_S: Final = 0.2
"""Between two attempts of one session: a backend that restarts takes about a second."""

ANSWER_S: Final = 0.1
"""Between the last message to a backend that drains and our goodbye: servers answer a Close before all else, and what
they have not answered by then is lost. Most answer within a few milliseconds."""

ANSWER_LOOKS: Final = 10
"""So many times longer for one that does not even answer a ping: it is busy, and has not read the message yet."""

SETTLED_S: Final = 1.0
"""A backend that goes sooner than this was none to go to: the next attempt waits, so that no session spins."""

_PROTOCOL: Final = b"Sec-WebSocket-Protocol"
_resume_lines: Final = re.compile(rb"(?im)^x-wsproxy-resume: [^\r]*\r\n")


def prepare(head: RequestHead) -> None:
    """Make a handshake one that can be repeated: no extension but the one that can be carried to another backend."""
    head.fields = offer_only_deflate(_resume_lines.sub(b"", head.fields))


class DeafClient(Stream):
    """Stands in for the client while a backend is asked again: whatever it answers, the client sees nothing of it."""

    __slots__ = ()

    def write(self, data: bytes) -> None:
        """Drop it."""


class Resumption:
    """How to reach another backend for a session: the handshake it began with, and how often it was repeated.

    The response is made one that binds the client to compress each message by itself. Raises ExtensionError for one
    with an extension that cannot be carried on.
    """

    __slots__ = ("_deflate", "_fields", "_head", "_identity", "_preference", "_protocol", "_route", "_sent", "times")

    def __init__(self, exchange: Exchange, response: ResponseHead, route: Route) -> None:
        response.fields, self._deflate = begin_messages_empty(response.fields)
        self._head = exchange.head
        self._sent = exchange.sent
        self._fields = exchange.sent.fields
        self._identity = exchange.identity
        self._preference = exchange.preference
        self._protocol = field_values(response.fields, _PROTOCOL)
        self._route = route
        self.times = 0

    async def attempt(self, loop: asyncio.AbstractEventLoop) -> Exchange | None:
        """Shake hands with any backend: the upgraded exchange, or None if none would go on as the first one did."""
        self.times += 1
        self._sent.fields = self._fields + b"X-WSProxy-Resume: %d\r\n" % self.times
        settings: RouteSettings = self._route.settings
        exchange = Exchange(self._head, None, DeafClient(loop), settings, self._identity)
        exchange.sent = self._sent
        exchange.preference = self._preference
        try:
            await forward(exchange, self._route)
            if exchange.upstream is not None and self._goes_on(exchange):
                return exchange
        except BaseException:
            exchange.abandon()
            if exchange.upstream is not None:
                exchange.upstream.abort()
            raise
        if exchange.upstream is not None:
            exchange.upstream.abort()
        return None

    def _goes_on(self, exchange: Exchange) -> bool:
        response = exchange.response
        if response is None or check_response(response) or mismatch(exchange.head, response):
            return False
        try:
            _, deflate = begin_messages_empty(response.fields)
        except ExtensionError:
            return False
        return field_values(response.fields, _PROTOCOL) == self._protocol and deflate == self._deflate

    def backend_of(self, exchange: Exchange) -> Backend | None:
        """The backend that took over, if it has not been removed since."""
        return self._route.group.backends.get(exchange.backend_name)


class ReconnectingRelay(Relay):
    """One WebSocket pair whose upstream may change."""

    __slots__ = ("_first", "_has_parted", "_leaving", "_resumed_at", "_switch", "resumption")

    resumption: Resumption

    def begin(self, resumption: Resumption) -> None:
        """Say how to find another backend; before `run`."""
        self.resumption = resumption
        self._switch: asyncio.Future[bool] | None = None  # while the upstream changes: whether it could be
        self._leaving = False  # the backend is to be left, for it drains
        self._has_parted = False  # and has had our Close
        self._resumed_at = 0.0
        settings = self._terms.settings
        self._first = ReplayState(settings.replay_messages, settings.reconnect_buffer_bytes)
        self.state.upstream.parting_codes = PARTING_CODES

    async def run(self, tasks: asyncio.TaskGroup) -> None:
        """Relay until the client has ended, or no backend takes the session over."""
        self._owner.enter(self)
        sibling = tasks.create_task(self._from_client())
        try:
            await self._pump(self._upstream, self._client, self.state.upstream)
            while self._switch is not None:
                if not await self._change_upstream(self._switch):
                    break
                await self._pump(self._upstream, self._client, self.state.upstream)
            if not sibling.done():
                await asyncio.wait([sibling])
        finally:
            if self._switch is not None and not self._switch.done():
                self._switch.set_result(False)
            self._end_both()
            self._owner.leave(self)

    async def _from_client(self) -> None:
        """The client's direction, from one upstream to the next."""
        while True:
            switch = self._switch
            if switch is not None and not await switch:
                return
            upstream = self._upstream
            try:
                await self._pump_client(upstream)
            except (EndOfStream, BrokenResourceError):
                if not (upstream.closed and (self._switch is not None or self._may_resume())):
                    await super()._end(self._client, self._upstream, self.state.client)
                    return
                self._pause()  # what was just written is lost with the backend
            except Exception:  # a bug in one relay must not end the listener and all the others
                _logger.exception("internal error in a relay")
                self.abort()
                return

    async def _pump_client(self, upstream: Stream) -> None:
        """Carry the client's frames while this is the upstream. Raises EndOfStream, BrokenResourceError."""
        client, scanner = self._client, self.state.client
        while True:
            if not client.buffer:
                await client.more()
            if self._switch is not None or self._upstream is not upstream:
                return
            data = scanner.feed(client.take())
            if data:
                if not self._first.full:
                    self._first.feed(data)
                upstream.write(data)
                if upstream.write_paused:
                    await self._stall(client, upstream)
            else:
                self._swallowed(scanner)
            if scanner.ending:
                self._closing(scanner)
            elif self._leaving:
                self._leave_upstream()
            if self._rates is not None:
                await self._hold_to_rates(client, scanner)

    # The change.

    def drain(self, client_code: int) -> None:
        """A backend that goes is left without the client's noticing; a proxy that stops, or is replaced, closes."""
        if client_code == SERVICE_RESTART and not self.is_closing and not self.home.stopping:
            self._leaving = True
            self._leave_upstream()
        else:
            self.begin_close(client_code)

    def _leave_upstream(self) -> None:
        """As soon as neither side is inside a message the client is read no more; a little later we say goodbye."""
        if self._switch is None and self._may_resume() and not self._upstream.closed:
            self._pause()
            self._expire_in(CLOSE_TIMEOUT_S)
            expected = self.state.upstream.pongs_swallowed + self._ask_for_life()
            self._client.loop.call_later(ANSWER_S, self._part, self._upstream, expected, ANSWER_LOOKS)

    def _ask_for_life(self) -> bool:
        """Ping the backend, where the route pings at all; a peer may answer only the latest, so not over another's."""
        state, life = self.state, self._upstream_life
        if self._terms.settings.ping_interval_s is None or state.upstream_owes_pong():
            return False
        frame = state.ping_upstream(life.payload)
        self._ping(self._upstream, life, frame)
        return bool(frame)

    def _part(self, upstream: Stream, pongs: int, looks: int) -> None:
        """Say goodbye to this backend, if nothing has happened meanwhile, and it has read what it was sent."""
        is_due = self._switch is not None and upstream is self._upstream
        if not is_due or upstream.closed or self.is_closing:
            return
        if self.state.upstream.pongs_swallowed < pongs and looks > 1:
            self._client.loop.call_later(ANSWER_S, self._part, upstream, pongs, looks - 1)
        else:
            self._has_parted = True
            self.state.upstream.parting_codes = ANY_CODE  # whatever the answer to ours
            upstream.write(self.state.parting_close())

    def _pause(self) -> None:
        if self._switch is None:
            self._switch = self._client.loop.create_future()

    def _go_on(self) -> None:
        """The conversation is over before the backend could be left: the client is read again, for its Close."""
        if self._switch is not None:
            self._switch.set_result(True)
            self._switch = None

    def _may_resume(self) -> bool:
        gone = self._client.closed or self._client.eof
        return not gone and not self.home.stopping and self.state.may_resume()

    def _closing(self, scanner: FrameScanner) -> None:
        if self.state.upstream.parted and not self.is_closing:
            self._pause()
            if not self._has_parted and not self._upstream.closed:
                self._upstream.write(self.state.parting_close())
            self._upstream.close()
        else:
            if scanner.side == "upstream":
                self._go_on()
            super()._closing(scanner)

    async def _end(self, source: Stream, sink: Stream, scanner: FrameScanner) -> None:
        if scanner.side == "upstream" and self._may_resume():
            self._pause()
            source.close()
            return
        if self._switch is not None and not self._switch.done():
            self._switch.set_result(False)
            self._switch = None
        await super()._end(source, sink, scanner)

    def look(self, now: float) -> None:
        """As for any relay, and try again to leave a backend that was inside a message before."""
        if self._switch is not None:
            return
        if self._leaving:
            self._leave_upstream()
        super().look(now)

    def _expects_return(self) -> bool:
        return True  # it would have stayed, but for a message cut in two

    def expire(self) -> None:
        """As for any relay, but a backend that does not answer our goodbye is left all the same."""
        if self._switch is not None and not self.is_closing:
            self.deadline = NEVER
            self._upstream.abort()
        else:
            super().expire()

    async def _change_upstream(self, switch: asyncio.Future[bool]) -> bool:
        """Find another backend and go on with it; False when none was found in time: the client is told to go."""
        self._leaving = self._has_parted = False
        loop = self._client.loop
        exchange: Exchange | None = None
        try:
            async with asyncio.timeout(self._terms.settings.reconnect_timeout_s):
                if loop.time() - self._resumed_at < SETTLED_S:
                    await asyncio.sleep(SETTLED_S)
                while not self._is_over():
                    exchange = await self.resumption.attempt(loop)
                    if exchange is not None:
                        break
                    await asyncio.sleep(PAUSE_S)
        except TimeoutError:
            pass
        self._switch = None
        if exchange is None or exchange.upstream is None:
            if not self._client.closed and not self._client.eof:
                self.begin_close(SERVICE_RESTART)
            switch.set_result(True)  # the client's own task waits for its echo, or sees that it has left
            return False
        self._take_over(exchange, exchange.upstream)
        switch.set_result(True)
        return True

    def _is_over(self) -> bool:
        return self.is_closing or self._client.closed or self._client.eof

    def _take_over(self, exchange: Exchange, upstream: Stream) -> None:
        self._resumed_at = self._client.loop.time()
        self._upstream = upstream
        self.state.resume()
        self._upstream_life = KeepaliveState(self._terms.keepalive, self._terms.marker, self.home.deadlines.now)
        self.state.upstream.parting_codes = PARTING_CODES
        self.deadline = NEVER
        self._owner.moved(self, self.resumption.backend_of(exchange))
        if self.access_entry is not None:
            self.access_entry.backend = exchange.backend_name
        if self._first.messages and not upstream.closed:
            upstream.write(self._first.replay())
            self._terms.totals.replayed += self._first.messages
