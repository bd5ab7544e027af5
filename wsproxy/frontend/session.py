"""A client connection's life: one request after another, each brought to its route, until one side has had enough.

Knows the client's stream and the service it came to; how a backend is found and spoken to is the route's business.
"""

from __future__ import annotations

import asyncio
from time import perf_counter

from anyio import BrokenResourceError, EndOfStream

from wsproxy.errors import REQUEST_TIMEOUT
from wsproxy.exchange import Exchange
from wsproxy.frontend.admission import Gate
from wsproxy.frontend.direct_replies import After, DirectReplies
from wsproxy.frontend.forward import begin, forward, see_through
from wsproxy.frontend.half_closed import abort_at_reset, waits_for_answer
from wsproxy.frontend.incoming import Incoming
from wsproxy.frontend.lingering import LINGER_S, see_out
from wsproxy.frontend.relay import Relay
from wsproxy.frontend.route import Handler, Route
from wsproxy.frontend.service import HttpService
from wsproxy.frontend.websocket import open_websocket
from wsproxy.http.messages import MalformedRequestError, RequestHead
from wsproxy.net.deadlines import NEVER
from wsproxy.net.stream import ReadTimeoutError, Stream


class ClientSession:
    """One connection of a client.

    A usual request is served while the session's task sleeps: begun as its bytes come, counted as its answer ends.
    Waking the task would cost 1 us, twice. What is not as usual is left to the task, at the point where it stands.

    exchange: the request in flight, None between two. identity: whose it is. deadline: when the client's silence or the
    exchange has lasted too long.
    """

    __slots__ = (
        "_awaits_body",
        "_incoming",
        "_parsed",
        "_requests",
        "_rest",
        "_service",
        "_sleep",
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
        self._incoming = Incoming(stream, service)
        self._sleep: asyncio.Future[None] | None = None  # the task's, while callbacks serve a request
        self._parsed: tuple[RequestHead, int] | None = None  # a head that the task is woken for, still in the buffer
        self._rest: Handler | None = None  # what the task is to do for an exchange that was made while it slept
        self.identity = self._incoming.identity
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
        service.enter(self)
        if stream.eof:
            self._hung_up()
        try:
            while (exchange := await self._next()) is not None:
                if (relay := await self._serve(exchange)) is not None:
                    return relay
                self._count(exchange)
                usual = exchange.failure is None and exchange.body is None and exchange.keep_alive
                if not usual and not await self._conclude(exchange):
                    return None
                self.exchange = None
            return None
        except (EndOfStream, BrokenResourceError, ReadTimeoutError):
            return None
        finally:
            self.deadline = NEVER
            # Or they hold each other until the collector comes.
            self.exchange = stream.on_hangup = stream.on_data = None
            service.leave(self)

    async def _next(self) -> Exchange | None:
        """The next request, which may have been served while the task slept, but for `_rest`; None for no more."""
        service, stream = self._service, self._stream
        while True:
            if stream.write_paused:  # whoever asks on and on and reads no answer gets no more of them
                await stream.drain_or_abort()
            head: RequestHead | None = None
            try:
                self._begin_wait()
                if not stream.buffer:
                    if service.stopping and not service.lingers:
                        return None
                    stream.on_data = self._heard
                    await stream.more()
                    if self.exchange is not None:
                        return self.exchange
                parsed, self._parsed = self._parsed or self._incoming.read(stream.buffer), None
                if parsed is None:  # the limit is never put off: on a new connection the wait for the first byte counts
                    limit = service.deadlines.after(service.settings.header_timeout_s)
                    self.deadline = limit if self._requests else min(self.deadline, limit)
                    parsed = await self._incoming.rest_of_head()
                head, size = parsed
                self.deadline = NEVER
                stream.consume(size)
                if head.max_forwards != 0:
                    return await self._admit(head)
                if not await self._answer_as_last_hop(head):
                    return None
            except MalformedRequestError as error:
                if self._parsed is not None:  # it was refused while the task slept
                    (head, size), self._parsed, self.deadline = self._parsed, None, NEVER
                    stream.consume(size)
                if not await self._refuse(error, head):
                    return None

    def _begin_wait(self) -> None:
        """From now on the next head is waited for, which may take its time."""
        settings = self._service.settings
        limit_s = settings.keepalive_timeout_s if self._requests else settings.header_timeout_s
        self.deadline = self._service.deadlines.base + limit_s

    async def _admit(self, head: RequestHead) -> Exchange:
        """Raises MalformedRequestError for a request that goes nowhere."""
        route = self._incoming.route_of(head)
        if route.gate is None:
            exchange = self._make_exchange(head, route)
        else:
            exchange = await self._ask_gate(head, route, route.gate)
        self._rest = route.handler or forward if route.at_once is None else route.at_once(exchange)
        return exchange

    async def _serve(self, exchange: Exchange) -> Relay | None:
        """Do for a request what has not been done yet; the relay that it has become."""
        route = self._incoming.route
        rest, self._rest = self._rest, None
        if route.relays is not None:
            return await open_websocket(exchange, route, route.relays, self._service, self.identity)
        if rest is not None and (rest is see_through or exchange.abandoned is None):  # before it was the task's turn
            await rest(exchange, route)
        return None

    def _count(self, exchange: Exchange) -> None:
        """It is over, well or not."""
        exchange.ended_at = perf_counter()
        self._incoming.route.totals.record(exchange)
        access = self._service.access
        if access is not None and exchange.failure is None:
            access.record(exchange, self.identity.address(exchange.head))

    # The usual request.

    def _heard(self) -> None:
        """Something has come while the task sleeps: serve a usual request, or wake the task."""
        stream = self._stream
        stream.on_data = None
        self._sleep = stream.set_aside_reader()
        try:
            if not self._begins_at_once(stream):
                self._wake()
        except MalformedRequestError as error:  # the task is to meet it; its frames would hold it, and it them
            self._wake(error.with_traceback(None))
        except Exception as error:  # noqa: BLE001 - a bug: as if the task had met it
            self._wake(error)

    def _begins_at_once(self, stream: Stream) -> bool:
        """Begin a request that has no body, and nothing to wait for before a worker or the cache has it.

        One that is not begun stays in the buffer. Raises MalformedRequestError likewise.
        """
        sleep = self._sleep
        if sleep is None or sleep.done():  # cancelled, or told that it has waited long enough
            return False
        self._parsed = parsed = self._incoming.read(stream.buffer)
        if parsed is None:
            return False
        head, size = parsed
        if head.length or head.upgrade or head.max_forwards == 0:
            return False
        route = self._incoming.route_of(head)
        if route.gate is not None:
            return False
        exchange = self._make_exchange(head, route)
        self._parsed = None
        stream.consume(size)
        exchange.on_end = self._ended
        if route.handler is None:
            if begin(exchange, route) is not None:
                return True
            self._rest = see_through
        elif (rest := route.handler if route.at_once is None else route.at_once(exchange)) is not None:
            self._rest = rest
        else:
            self._ended()
            return True
        return False

    def _ended(self) -> None:
        """The request that was begun while the task sleeps has ended: wait for the next, or wake the task."""
        sleep, exchange, stream = self._sleep, self.exchange, self._stream
        if sleep is None or exchange is None:  # the task goes on with it
            return
        is_ready = not (stream.buffer or stream.eof or stream.closed or stream.write_paused or self._service.stopping)
        if not is_ready or not exchange.keep_alive or exchange.failure is not None or sleep.done():
            if exchange.failure is None:
                exchange.ended_at = perf_counter()  # or a client that leaves before the task's turn would undo it
            elif exchange.was_begun:  # whatever a reload has made of its route meanwhile
                self._rest = see_through
            self._wake()
            return
        try:
            self._count(exchange)
        except Exception as error:  # noqa: BLE001 - a bug: as if the task had met it
            self._wake(error)
            return
        self.exchange = self._sleep = None
        self._begin_wait()
        stream.put_back_reader(sleep)
        stream.on_data = self._heard

    def _wake(self, error: Exception | None = None) -> None:
        """Have the task go on from where things stand, or raise `error`."""
        sleep, self._sleep = self._sleep, None
        if sleep is not None and not sleep.done():
            if error is None:
                sleep.set_result(None)
            else:
                sleep.set_exception(error)

    @property
    def buffered_bytes(self) -> int:
        """What is held for it: in its stream, and of the request's body for another attempt."""
        body = None if self.exchange is None else self.exchange.body
        return self._stream.buffered_bytes + (0 if body is None else body.kept_bytes)

    # Deadlines.

    def expire(self) -> None:
        """The client has been silent for too long, or the exchange takes longer than `request_timeout`."""
        exchange = self.exchange
        if exchange is None or self._awaits_body or self._total_deadline > self._service.deadlines.now:
            if self._stream.expire_read():  # else it was heard just now: the next sweep ends it, if that was not enough
                self.deadline = NEVER
            return
        self.deadline = self._total_deadline = NEVER
        if exchange.answered and self._stream.write_paused:
            self._stream.abort()  # who waits for the client to read would not hear of the rest
        exchange.abandon(REQUEST_TIMEOUT)

    def expect_body(self) -> None:
        """The next bytes of a request body are waited for."""
        self._awaits_body = True
        self.deadline = min(self._service.deadlines.after(self._service.settings.body_timeout_s), self._total_deadline)

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

    def _make_exchange(self, head: RequestHead, route: Route) -> Exchange:
        """Raises MalformedRequestError, and has changed nothing then."""
        service = self._service
        exchange = self._incoming.exchange_of(head, route, self)
        self._requests += 1
        limit_s = route.settings.request_timeout_s
        self._total_deadline = NEVER if limit_s is None else service.deadlines.after(limit_s)
        self.deadline = self._total_deadline
        if service.stopping or self._requests >= service.settings.keepalive_requests:
            exchange.keep_alive = False
        self.exchange = exchange
        return exchange

    async def _ask_gate(self, head: RequestHead, route: Route, gate: Gate) -> Exchange:
        """As `_make_exchange`, if the gate lets it pass. Raises MalformedRequestError where it does not."""
        verdict = await gate.admit(head, self.identity.address(head), is_first=not self._requests)
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
        self._requests += 1
        if not error.route:  # which has counted it
            self._service.refused[error.status] += 1
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
        self.exchange = None
        self._service.ending.add(self)
        self.deadline = self._service.deadlines.after(LINGER_S)
        await see_out(self._stream)
