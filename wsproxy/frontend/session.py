"""A client connection's life: one request after another, each brought to its route, until one side has had enough.

Knows the client's stream and the service it came to; how a backend is found and spoken to is the route's business.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Final

from anyio import BrokenResourceError, EndOfStream

from wsproxy.errors import REQUEST_TIMEOUT
from wsproxy.exchange import Exchange, StageClock
from wsproxy.frontend.admission import Gate
from wsproxy.frontend.body import ClientBody, body_of
from wsproxy.frontend.direct_replies import After, DirectReplies
from wsproxy.frontend.forward import begin, see_through
from wsproxy.frontend.half_closed import abort_at_reset, waits_for_answer
from wsproxy.frontend.identity import ClientIdentity
from wsproxy.frontend.relay import Relay
from wsproxy.frontend.route import Route
from wsproxy.frontend.service import HttpService
from wsproxy.frontend.websocket import open_websocket
from wsproxy.http.messages import MalformedRequestError, RequestHead
from wsproxy.http.repeats import RequestReader
from wsproxy.http.via import has_passed, via_line
from wsproxy.net.deadlines import NEVER
from wsproxy.net.stream import ReadTimeoutError, Stream

ReadHead = Callable[[bytes], tuple[RequestHead, int] | None]

LINGER_BYTES: Final = 1024 * 1024
LINGER_S: Final = 2.0
"""What is still read of a client told to go away, so that it sees why and no reset: mostly an upload (9112 9.6)."""


class ClientSession:
    """One connection of a client.

    exchange: the request in flight, None between two. identity: whose it is. deadline: when the client's silence or the
    exchange has lasted too long.
    """

    __slots__ = (
        "_awaits_body",
        "_requests",
        "_service",
        "_stream",
        "_total_deadline",
        "deadline",
        "exchange",
        "identity",
    )

    def __init__(self, stream: Stream, service: HttpService) -> None:
        self._stream = stream
        self._service = service
        self._requests = 0
        self.identity = ClientIdentity(stream.peer, service)
        self.exchange: Exchange | None = None
        self.deadline = NEVER
        self._total_deadline = NEVER
        self._awaits_body = False

    async def run(self) -> Relay | None:
        """Serve requests until the connection ends, or has become a WebSocket: the relay that is to run then.

        Never raises for what a client or a backend does.
        """
        service = self._service
        stream = self._stream
        stream.on_hangup = self._hung_up
        stream.stall_timeout_s = service.settings.body_timeout_s
        deadlines = service.deadlines
        read = RequestReader(service.limits, service.known_lines).read
        keepalive_s, header_s = service.settings.keepalive_timeout_s, service.settings.header_timeout_s
        service.enter(self)
        known: RequestHead | None = None  # the last head, its route, and the table that led there
        routes = service.http_routes
        route: Route
        if stream.eof:
            self._hung_up()
        try:
            while True:
                head: RequestHead | None = None
                if stream.write_paused:  # whoever asks on and on and reads no answer gets no more of them
                    await stream.drain_or_abort()
                try:
                    self.deadline = deadlines.base + (keepalive_s if self._requests else header_s)
                    if not stream.buffer:
                        if service.stopping and not service.lingers:
                            return None
                        await stream.more()
                    parsed = read(stream.buffer) or await self._rest_of_head(read)
                    self.deadline = NEVER
                    head, size = parsed
                    stream.consume(size)
                    if head.max_forwards == 0:
                        if await self._answer_as_last_hop(head):
                            continue
                        return None
                    if head is not known or routes is not service.http_routes:  # a repeated one goes where it went
                        route = service.route(head)
                        known, routes = head, service.http_routes
                    self._requests += 1
                    if route.gate is None:
                        exchange = self._make_exchange(head, route)
                    else:
                        exchange = await self._ask_gate(head, route, route.gate)
                except MalformedRequestError as error:
                    if await self._refuse(error, head):
                        continue
                    return None
                if route.handler is not None:
                    if route.at_once is None or not route.at_once(exchange):
                        await route.handler(exchange, route)
                elif route.relays is None:
                    ended = begin(exchange, route)  # as `forward` does it, without a coroutine
                    if ended is not None:
                        await ended
                    if ended is None or exchange.failure is not None:
                        await see_through(exchange, route)
                elif (relay := await open_websocket(exchange, route, route.relays, service, self.identity)) is not None:
                    return relay
                exchange.ended_at = perf_counter()
                route.totals.record(exchange)
                if service.access is not None and exchange.failure is None:
                    service.access.record(exchange, self.identity.address(head))
                usual = exchange.failure is None and exchange.body is None and exchange.keep_alive
                if not usual and not await self._conclude(exchange):
                    return None
                self.exchange = None
        except (EndOfStream, BrokenResourceError, ReadTimeoutError):
            return None
        finally:
            self.deadline = NEVER
            stream.on_hangup = None  # or session and stream hold each other until the collector comes
            service.leave(self)

    @property
    def buffered_bytes(self) -> int:
        """What is held for it: in its stream, and of the request's body for another attempt."""
        body = None if self.exchange is None else self.exchange.body
        return self._stream.buffered_bytes + (0 if body is None else body.kept_bytes)

    # Deadlines.

    def expire(self) -> None:
        """The client has been silent for too long, or the exchange takes longer than `request_timeout`."""
        self.deadline = NEVER
        exchange = self.exchange
        if exchange is None or self._awaits_body or self._total_deadline > self._service.deadlines.now:
            self._stream.expire_read()
            return
        self._total_deadline = NEVER
        if exchange.answered and self._stream.write_paused:
            self._stream.abort()  # who waits for the client to read would not hear of the rest
        exchange.abandon(REQUEST_TIMEOUT)

    def expect_body(self) -> None:
        """The next bytes of a request body are waited for."""
        self._awaits_body = True
        self.deadline = min(
            self._service.deadlines.after(self._service.settings.body_timeout_s), self._total_deadline
        )

    def expect_nothing(self) -> None:
        """They came."""
        self._awaits_body = False
        self.deadline = self._total_deadline

    # Coming to an end.

    @property
    def is_idle(self) -> bool:
        """Nothing of a request is there or under way: its first byte is waited for, which has a deadline."""
        return self.exchange is None and not self._stream.buffer and self.deadline != NEVER

    def stop(self) -> None:
        """The proxy is stopping: an idle connection ends now, another after the answer in flight."""
        if self.exchange is not None:
            self.exchange.keep_alive = False
        elif self.is_idle:
            self._stream.close()

    def abort(self) -> None:
        """End the connection at once."""
        self._stream.abort()
        self._hung_up()

    def _hung_up(self) -> None:
        """The client left while an answer is under way: nobody is left to give it to.

        One that waits for the answer all the same is served as long as the connection is not lost as well.
        """
        stream = self._stream
        exchange = self.exchange
        if not stream.closed and (exchange is None or waits_for_answer(stream)):
            stream.on_hangup = self._hung_up
            abort_at_reset(stream, self._is_over)
        elif exchange is not None:
            stream.abort()
            exchange.abandon()

    def _is_over(self) -> bool:
        return self not in self._service.sessions

    # One request.

    async def _rest_of_head(self, read: ReadHead) -> tuple[RequestHead, int]:
        """Wait for the end of a head that has begun. Raises MalformedRequestError, EndOfStream and its kin."""
        service = self._service
        stream = self._stream
        # Never put off: on a new connection the wait for the first byte counts too.
        self.deadline = min(self.deadline, service.deadlines.after(service.settings.header_timeout_s))
        parsed = None
        while parsed is None:
            try:
                await stream.more()
            except ReadTimeoutError:
                raise MalformedRequestError(408, "the request head did not come in time") from None
            parsed = read(stream.buffer)
        return parsed

    def _make_exchange(self, head: RequestHead, route: Route) -> Exchange:
        """Raises MalformedRequestError(413) for a body that says by itself that it is too large."""
        service = self._service
        body: ClientBody | None = None
        if head.length:
            body = body_of(head, self._stream, service.settings.max_body_size_bytes, self)
        request_id, identity = self.identity.introduce(head)
        if service.via:
            if has_passed(head.fields, service.via):
                raise MalformedRequestError(508, "the request has come through here before")
            identity += via_line(head.minor_version, service.via)
        exchange = Exchange(head, body, self._stream, route.settings, identity)
        exchange.request_id = request_id
        exchange.edits = service.edits + route.edits
        if route.prepare is not None:
            route.prepare(exchange, self.identity.address(head), self.identity.scheme(head))
        if route.affinity is not None:
            address, is_secure = self.identity.address(head), service.scheme == "https"
            exchange.preference = route.affinity.preference(head, address, is_secure, service.deadlines.now)
        limit_s = route.settings.request_timeout_s
        self._total_deadline = NEVER if limit_s is None else service.deadlines.after(limit_s)
        self.deadline = self._total_deadline
        exchange.started_at = perf_counter()
        if service.access is not None:
            exchange.stages = StageClock(exchange.started_at)
        if service.stopping or self._requests >= service.settings.keepalive_requests:
            exchange.keep_alive = False
        self.exchange = exchange
        return exchange

    async def _ask_gate(self, head: RequestHead, route: Route, gate: Gate) -> Exchange:
        """As `_make_exchange`, if the gate lets it pass. Raises MalformedRequestError where it does not."""
        verdict = await gate.admit(head, self.identity.address(head), is_first=self._requests == 1)
        if self._stream.closed:  # meanwhile
            raise BrokenResourceError
        exchange = self._make_exchange(head, route)
        if verdict.lines:
            exchange.edits = (*exchange.edits, verdict.edit)
        return exchange

    async def _conclude(self, exchange: Exchange) -> bool:
        """After an attempt that needs a second look: answer for the backend that could not, end what must end.

        True when the connection may go on.
        """
        failure = exchange.failure
        if failure is not None:
            self.deadline = self._total_deadline = NEVER
            return await self._goes_on(self._replies.failed(exchange, failure))
        is_read = exchange.body is None or exchange.body.complete
        if is_read and exchange.keep_alive:
            return True
        if is_read and not self._stream.buffer:
            self._stream.close()
        else:
            await self._linger()
        return False

    # What is answered here.

    @property
    def _replies(self) -> DirectReplies:
        return DirectReplies(self._stream, self._service, self.identity)

    @property
    def _is_last(self) -> bool:
        """Whether the connection ends with the request in hand, whatever becomes of that."""
        return self._service.stopping or self._requests >= self._service.settings.keepalive_requests

    async def _refuse(self, error: MalformedRequestError, head: RequestHead | None) -> bool:
        """Answer a request that goes nowhere, and end the connection, unless it is only that nothing is there.

        True when the connection may go on.
        """
        if not error.route:  # which has counted it
            self._service.refused[error.status] += 1
            self._requests += 1
        return await self._goes_on(self._replies.refuse(error, head, self._is_last))

    async def _answer_as_last_hop(self, head: RequestHead) -> bool:
        """An OPTIONS or TRACE that may go no further; True when the connection may go on."""
        self._requests += 1
        return await self._goes_on(self._replies.last_hop(head, self._is_last))

    async def _goes_on(self, after: After) -> bool:
        if after is After.LINGERS:
            await self._linger()
        return after is After.NEXT

    async def _linger(self) -> None:
        """Close, but not before the client has had time to read our answer."""
        stream = self._stream
        self.exchange = None
        self._service.ending.add(self)
        stream.shut_down_writing()
        self.deadline = self._service.deadlines.after(LINGER_S)
        discarded = len(stream.take())
        while discarded < LINGER_BYTES:
            discarded += len(await stream.receive())
