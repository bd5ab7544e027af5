"""A worker: a task of a backend's pool that owns one persistent upstream connection and carries one exchange at a time.

Knows its pool as where exchanges come from. Every failure becomes a `Failure` here, where whose fault it was is still
known; a worker survives all of them.
"""

from __future__ import annotations

import asyncio
import logging
from time import perf_counter
from typing import Final

from anyio import BrokenResourceError, EndOfStream

from wsproxy.backend.blame import blamed, lost
from wsproxy.backend.connection import ClientGoneError, TruncatedError, UpstreamConnection
from wsproxy.backend.filtered import relay_filtered
from wsproxy.backend.interim import pass_interim
from wsproxy.backend.upload import Upload
from wsproxy.backend.worker_home import WorkerHome
from wsproxy.errors import (
    CLIENT_LEFT,
    INTERNAL,
    NO_DESCRIPTORS,
    STOPPING,
    Failure,
    Retry,
    bad_answer,
    connect_failed,
    refused_answer,
)
from wsproxy.exchange import BODY, CONNECT, HEAD, BodyError, Exchange
from wsproxy.http.messages import MalformedResponseError, ResponseHead
from wsproxy.net.dial import DialError, OutOfDescriptorsError
from wsproxy.protection.retry import IDEMPOTENT, is_safe

_logger = logging.getLogger("wsproxy.backend")

KEPT_AFTER: Final = 2
"""A server that ends its connections behind an answer has done so after so many; before that, its end may be in the
socket already, and is waited for before another exchange is begun."""


class Worker:
    """Carries exchanges until its pool lets it go.

    A usual exchange is carried while the worker's task sleeps: its head is sent at once, and its answer, if it is there
    whole with the first bytes, is passed on as these come: waking the task would cost 1 us, twice. Whatever is not as
    usual is left to the task, at the point where it stands.

    busy_since: the time of the last sweep when it took the exchange it holds; idle_since: likewise when it put it down.
    given: what its task is to carry when it has its turn; a task that is cancelled before leaves that to the pool.
    """

    __slots__ = (
        "_answer",
        "_begun",
        "_connection",
        "_home",
        "_wake",
        "_watched_at",
        "busy_since",
        "given",
        "idle_since",
    )

    def __init__(self, home: WorkerHome[Worker], exchange: Exchange | None = None) -> None:
        self._home = home
        self.given = exchange
        self._connection: UpstreamConnection | None = None
        self.busy_since = 0.0
        self.idle_since = 0.0
        self._wake: asyncio.Future[None] | None = None  # while the task sleeps
        self._watched_at = 0.0
        self._begun = False  # the exchange that the task is woken with has been sent
        self._answer: ResponseHead | None = None  # and the head of its answer has been read

    @property
    def buffered_bytes(self) -> int:
        """What its connection holds."""
        return 0 if self._connection is None else self._connection.stream.buffered_bytes

    async def run(self) -> None:
        """Carry what it is given (nothing: begin idle) and all that follows."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                if self.given is not None:
                    await self._carry(self.given)
                self._wake = wake = loop.create_future()
                self._go_on()
                await wake
                if self.given is None:
                    self._home.left(self)
                    return
        finally:
            under_way = None if self._connection is None else self._connection.exchange
            self._drop()
            if under_way is not None:  # cancelled
                self.given = None
                self._end(under_way, STOPPING)

    def _go_on(self) -> None:
        """Take what waits, or be idle until something comes."""
        if self._wake is None or self._wake.done():  # cancelled just now
            return
        exchange = self._home.next_exchange(self)
        if exchange is None:
            self._home.put_down(self)
        elif not self._begins_at_once(exchange):
            self.wake(exchange)

    def take(self, exchange: Exchange) -> None:
        """Carry `exchange`; only while the task sleeps."""
        exchange.holder = None
        if not self._begins_at_once(exchange):
            self.wake(exchange)

    def wake(self, exchange: Exchange | None) -> None:
        """Have the task carry an exchange, or leave for None."""
        wake, self._wake = self._wake, None
        self.given = exchange
        if wake is not None and not wake.done():
            wake.set_result(None)

    # The usual exchange.

    def _begins_at_once(self, exchange: Exchange) -> bool:
        """Send the head of a request that has no body, and could be sent again, over the connection that is there."""
        connection = self._connection
        if (
            connection is None
            or exchange.body is not None
            or exchange.head.method not in IDEMPOTENT
            or not connection.is_fresh()
            or exchange.abandoned is not None
        ):
            return False
        self._start(exchange)
        try:
            self._send_head(connection, exchange)
        except BrokenResourceError:
            self._hand_over(exchange, None)
        except Exception:  # as in `_carry`
            _logger.exception("%s: internal error", self._home.name)
            self._end(exchange, INTERNAL)
            self._go_on()
        else:
            connection.stream.on_data = self._heard
        return True

    def _heard(self) -> None:
        """The server has answered, or ended the connection. One function, as each line runs for every request."""
        connection = self._connection
        if connection is None or (exchange := connection.exchange) is None:
            return
        connection.stream.on_data = None
        response: ResponseHead | None = None
        failure: Failure | None = None
        try:
            response = connection.try_read_head(exchange.head.method)
            if response is None or not 200 <= response.status < 500:
                self._hand_over(exchange, response)
                return
            if exchange.stages is not None:
                exchange.stages.enter(BODY)
            if exchange.edits:
                response = exchange.edited(response)
            if exchange.filter is not None or not connection.try_relay(response, exchange):
                self._hand_over(exchange, response)
                return
            self._settle(connection, response)
        except MalformedResponseError:  # the task will meet it again
            self._hand_over(exchange, None)
            return
        except ClientGoneError:
            failure = CLIENT_LEFT
        except Exception:  # as in `_carry`
            _logger.exception("%s: internal error", self._home.name)
            failure = INTERNAL
        self._end(exchange, failure)
        if connection.served > KEPT_AFTER:
            self._go_on()
        else:
            exchange.client.loop.call_soon(self._go_on)

    def _hand_over(self, exchange: Exchange, response: ResponseHead | None) -> None:
        """Let the task go on with what was begun; the head of its answer has been read, and edited if it may pass."""
        self._begun = True
        self._answer = response
        self.wake(exchange)

    def _start(self, exchange: Exchange) -> None:
        """An attempt begins."""
        exchange.attempts += 1
        exchange.backend_name = self._home.name
        if exchange.offered_at:
            self._home.totals.queue_wait.record(exchange.client.loop.time() - exchange.offered_at)
        self._watched_at = perf_counter() if self._home.guard.watching else 0.0

    def _end(self, exchange: Exchange, failure: Failure | None) -> None:
        """It is over."""
        exchange.holder = None
        if failure is None:
            if self._watched_at:
                self._home.guard.answered(exchange, self._watched_at)
            exchange.finish()
        else:
            failure = exchange.abandoned or failure
            self._drop_unless_idle()
            self._home.totals.add_failure(failure)
            self._home.guard.failed(failure, self._watched_at, self._home.exchanges)
            exchange.fail(failure)

    # Any exchange.

    @property
    def is_connected(self) -> bool:
        """Whether it holds a connection that is open."""
        return self._connection is not None and not self._connection.stream.closed

    def _drop(self) -> None:
        if (connection := self._connection) is not None:
            self._connection = None
            connection.close()

    async def _carry(self, exchange: Exchange) -> None:
        """One attempt at `exchange`, which is finished or failed at the end, whatever happens."""
        failure: Failure | None = STOPPING  # what a cancelled worker leaves behind
        begun, response = self._begun, self._answer
        # Whatever becomes of this attempt, the next has an answer of its own.
        self._begun, self._answer, self.given = False, None, None
        if not begun:
            self._start(exchange)
        try:
            connection = self._connection
            if exchange.abandoned is not None:
                failure = exchange.abandoned
            elif connection is not None and (begun or self._may_carry(connection, exchange)):
                failure = await self._over(connection, exchange, True, begun, response)
                if failure is not None and failure.retry is Retry.FRESH and exchange.abandoned is None:
                    failure = await self._once_more(connection, exchange, failure)
            else:
                self._drop()
                failure = await self._anew(exchange)
        except Exception:  # a bug in here costs one exchange, not a worker and its place in the pool
            _logger.exception("%s: internal error", self._home.name)
            failure = INTERNAL
        finally:
            self._end(exchange, failure)

    def _drop_unless_idle(self) -> None:
        """After a failure only a connection that the exchange never touched is kept."""
        if self._connection is not None and self._connection.exchange is not None:
            self._drop()

    def _may_carry(self, connection: UpstreamConnection, exchange: Exchange) -> bool:
        """Whether an exchange may go over the connection that is there."""
        # Without a body and idempotent it can be sent again, if the server ends the connection just now.
        usual = exchange.body is None and exchange.head.method in IDEMPOTENT
        return connection.is_fresh() and (usual or self._may_carry_once(connection))

    async def _once_more(self, connection: UpstreamConnection, exchange: Exchange, failure: Failure) -> Failure | None:
        """The server closed a connection that we were about to use: the same on a new one, if that is safe."""
        connection.was_ended()
        if not is_safe(exchange):
            return failure
        self._home.totals.stale += 1
        exchange.rewind()
        self._drop()
        return await self._anew(exchange)

    async def _anew(self, exchange: Exchange) -> Failure | None:
        """The attempt over a new connection."""
        if exchange.stages is not None:
            exchange.stages.enter(CONNECT)
        try:
            connection = await self._home.connect(exchange.route)
        except OutOfDescriptorsError:
            return NO_DESCRIPTORS
        except DialError as error:
            return connect_failed(str(error), error.timed_out)
        self._connection = connection
        if exchange.abandoned:
            connection.rest(None)
            connection.served = 0
            return exchange.abandoned
        return await self._over(connection, exchange, False)

    def _may_carry_once(self, connection: UpstreamConnection) -> bool:
        """Whether a request that may not be sent again can go over it; one that goes on trial is no longer ours."""
        if connection.may_carry_once():
            return True
        if self._home.try_out(connection):
            self._connection = None
        return False

    def _send_head(self, connection: UpstreamConnection, exchange: Exchange) -> Upload | None:
        """Send the request's head, and begin to send its body. Raises BrokenResourceError."""
        connection.exchange = exchange
        exchange.holder = connection
        if exchange.stages is not None:
            exchange.stages.enter(HEAD)
        head = self._home.authority.head_of(exchange)
        connection.rearm(exchange.route.response_timeout_s)
        if exchange.body is None:
            connection.stream.write(head)
            return None
        upload = Upload(connection, exchange, exchange.body)
        upload.start(head, self._home.tasks)
        return upload

    async def _over(
        self,
        connection: UpstreamConnection,
        exchange: Exchange,
        reused: bool,
        begun: bool = False,
        response: ResponseHead | None = None,
    ) -> Failure | None:
        """Send the request over `connection`, and its response to the client; if it was begun: see `_hand_over`."""
        stages = exchange.stages
        upload: Upload | None = None
        is_edited = response is not None and 200 <= response.status < 500  # by `_heard`
        try:
            if not begun:
                upload = self._send_head(connection, exchange)
            while response is None and (response := connection.try_read_head(exchange.head.method)) is None:
                await connection.stream.more()
            if not 200 <= response.status < 500:
                if response.status < 200:
                    response = await pass_interim(response, connection, exchange, upload)
                if response.status == 101:
                    self._detach(connection, exchange, response)
                    return None
                if response.status >= 500 and (failure := self._refused(response.status, exchange)) is not None:
                    return failure
            if stages is not None:
                stages.enter(BODY)
            if upload is not None and not upload.done and upload.is_cut_short(response):
                exchange.keep_alive = False  # say so in the head: the rest of the body is not read
            if exchange.edits and not is_edited:
                response = exchange.edited(response)
            if exchange.filter is not None:
                await relay_filtered(connection, response, exchange, exchange.filter)
            elif not connection.try_relay(response, exchange):
                await connection.relay(response, exchange)
        except (EndOfStream, BrokenResourceError):
            return lost(connection, exchange, upload, reused)
        except ClientGoneError:
            return CLIENT_LEFT
        except BodyError as error:
            return error.failure
        except (MalformedResponseError, TruncatedError) as error:
            return blamed(upload, connection, bad_answer(str(error)))
        finally:
            if upload is not None:
                await upload.stop()
        if upload is not None and not upload.done:
            exchange.keep_alive = False
            connection.reusable = False
        self._settle(connection, response)
        return None

    def _settle(self, connection: UpstreamConnection, response: ResponseHead) -> None:
        """The answer has been passed on whole."""
        if connection.reusable:
            connection.rest(response.keep_alive_timeout_s)
        else:
            if response.keep_alive and connection.stream.eof:
                connection.was_ended_at_once()
            self._drop()

    def _refused(self, status: int, exchange: Exchange) -> Failure | None:
        """What an error answer says of its server, and a failure if another one is asked instead of passing it on."""
        guard, route = self._home.guard, exchange.route
        guard.saw_status(status, self._home.exchanges)
        may_try = status in route.retry_statuses and len(exchange.tried) < route.retries and is_safe(exchange)
        return refused_answer(status) if may_try and guard.has_others(exchange.tried) else None

    def _detach(self, connection: UpstreamConnection, exchange: Exchange, response: ResponseHead) -> None:
        """The connection has become a WebSocket: it is no longer the pool's."""
        if exchange.stages is not None:
            exchange.stages.enter(BODY)
        self._connection = None
        exchange.response = response
        exchange.upstream = connection.detach()
