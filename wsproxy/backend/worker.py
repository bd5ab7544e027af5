"""A worker: a task of a backend's pool that owns one persistent upstream connection and carries one exchange at a time.

Knows its pool as where exchanges come from. Every failure becomes a `Failure` here, where whose fault it was is still
known; a worker survives all of them.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from time import perf_counter
from typing import Final, Protocol

from anyio import BrokenResourceError, EndOfStream

from wsproxy.backend.connection import ClientGoneError, TruncatedError, UpstreamConnection
from wsproxy.backend.filtered import relay_filtered
from wsproxy.backend.guard import Guard
from wsproxy.backend.totals import PoolTotals
from wsproxy.backend.upload import Upload
from wsproxy.config.model import RouteSettings
from wsproxy.errors import (
    CLIENT_LEFT,
    INTERNAL,
    NO_DESCRIPTORS,
    STOPPING,
    Failure,
    Retry,
    bad_answer,
    closed_early,
    connect_failed,
    no_answer,
    refused_answer,
)
from wsproxy.exchange import BODY, CONNECT, HEAD, BodyError, Exchange
from wsproxy.http.codec import encode_request, encode_response, with_host
from wsproxy.http.messages import MalformedResponseError, ResponseHead
from wsproxy.net.dial import DialError, OutOfDescriptorsError
from wsproxy.protection.retry import IDEMPOTENT, is_safe

_logger = logging.getLogger("wsproxy.backend")

INTERIM_LIMIT: Final = 64
"""Interim answers to one request: progress notes (102) of minutes are fewer, and a server may not send without end."""


def _ends_early(response: ResponseHead, upload: Upload, connection: UpstreamConnection) -> bool:
    """Whether an answer that came before the end of the request's body is an answer without the rest of it.

    A refusal is one, an answer that is there whole, and one that did not let the client begin. Any other may be made
    of the body while that comes.
    """
    is_whole = 0 <= response.length <= len(connection.stream.buffer)
    return response.status >= 300 or is_whole or upload.is_held


@dataclass(frozen=True, slots=True)
class Authority:
    """The Host a backend would have: it gets that if it `is_own` (written as a URL), or if the client sent none."""

    value: bytes
    is_own: bool
    base_path: bytes = b""  # of its URL: stands before every path that is asked for


class WorkerHome(Protocol):
    """What a worker asks of its pool."""

    name: str
    exchanges: int
    authority: Authority
    totals: PoolTotals
    guard: Guard

    @property
    def tasks(self) -> asyncio.TaskGroup:
        """Where uploads run."""
        ...

    async def connect(self, route: RouteSettings) -> UpstreamConnection:
        """A new connection, for an exchange of this route. Raises DialError."""
        ...

    def try_out(self, connection: UpstreamConnection) -> bool:
        """Take an idle connection to see whether the server keeps it; False when that is known, or being seen."""
        ...

    def next_exchange(self, worker: Worker) -> Exchange | None:
        """What waits in the queue, or None."""
        ...

    async def rest(self, worker: Worker) -> Exchange | None:
        """Wait idle for an exchange; None tells the worker to leave."""
        ...


class Worker:
    """Carries exchanges until its pool lets it go.

    busy_since: the time of the last sweep when it took the exchange it holds; idle_since: likewise when it put it down.
    """

    __slots__ = ("_connection", "_home", "busy_since", "idle_since", "wake")

    def __init__(self, home: WorkerHome) -> None:
        self._home = home
        self._connection: UpstreamConnection | None = None
        self.busy_since = 0.0
        self.idle_since = 0.0
        self.wake: asyncio.Future[Exchange | None] | None = None

    @property
    def buffered_bytes(self) -> int:
        """What its connection holds."""
        return 0 if self._connection is None else self._connection.stream.buffered_bytes

    async def run(self, exchange: Exchange | None) -> None:
        """Carry `exchange` (None: begin idle) and all that follow."""
        home = self._home
        try:
            while True:
                if exchange is not None:
                    await self._carry(exchange)
                    exchange = home.next_exchange(self)
                if exchange is None:
                    exchange = await home.rest(self)
                    if exchange is None:
                        return
        finally:
            self._drop()

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
        exchange.attempts += 1
        exchange.backend_name = self._home.name
        if exchange.offered_at:
            self._home.totals.queue_wait.record(exchange.client.loop.time() - exchange.offered_at)
        watched_at = perf_counter() if self._home.guard.watching else 0.0
        try:
            connection = self._connection
            if exchange.abandoned is not None:
                failure = exchange.abandoned
            elif connection is not None and self._may_carry(connection, exchange):
                failure = await self._over(connection, exchange, reused=True)
                if failure is not None and failure.retry is Retry.FRESH and exchange.abandoned is None:
                    failure = await self._once_more(connection, exchange, failure)
            else:
                self._drop()
                failure = await self._anew(exchange)
        except Exception:  # a bug in here costs one exchange, not a worker and its place in the pool
            _logger.exception("%s: internal error", self._home.name)
            failure = INTERNAL
        finally:
            exchange.holder = None
            if failure is None:
                if watched_at:
                    self._home.guard.answered(exchange, watched_at)
                exchange.finish()
            else:
                failure = exchange.abandoned or failure
                self._drop_unless_idle()
                self._home.totals.add_failure(failure)
                self._home.guard.failed(failure, watched_at, self._home.exchanges)
                exchange.fail(failure)

    def _drop_unless_idle(self) -> None:
        """After a failure only a connection that the exchange never touched is kept."""
        if self._connection is not None and self._connection.exchange is not None:
            self._drop()

    def _may_carry(self, connection: UpstreamConnection, exchange: Exchange) -> bool:
        """Whether an exchange may go over the connection that is there."""
        # Without a body and idempotent it can be sent again, if the server ends the connection just now.
        usual = exchange.body is None and exchange.head.method in IDEMPOTENT
        return connection.is_fresh() and (usual or self._may_carry_once(connection))

    async def _once_more(
        self, connection: UpstreamConnection, exchange: Exchange, failure: Failure
    ) -> Failure | None:
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
        return await self._over(connection, exchange, reused=False)

    def _may_carry_once(self, connection: UpstreamConnection) -> bool:
        """Whether a request that may not be sent again can go over it; one that goes on trial is no longer ours."""
        if connection.may_carry_once():
            return True
        if self._home.try_out(connection):
            self._connection = None
        return False

    async def _over(self, connection: UpstreamConnection, exchange: Exchange, reused: bool) -> Failure | None:
        """Send the request over `connection` and its response to the client."""
        connection.exchange = exchange
        exchange.holder = connection
        stages = exchange.stages
        if stages is not None:
            stages.enter(HEAD)
        upload: Upload | None = None
        try:
            head = self._encode(exchange)
            connection.rearm(exchange.route.response_timeout_s)
            if exchange.body is None:
                connection.stream.write(head)
            else:
                upload = Upload(connection, exchange, exchange.body)
                upload.start(head, self._home.tasks)
            method = exchange.head.method
            while (response := connection.try_read_head(method)) is None:
                await connection.stream.more()
            if not 200 <= response.status < 500:
                if response.status < 200:
                    response = await self._pass_interim(response, connection, exchange, upload)
                if response.status == 101:
                    self._detach(connection, exchange, response)
                    return None
                if response.status >= 500 and (failure := self._refused(response.status, exchange)) is not None:
                    return failure
            if stages is not None:
                stages.enter(BODY)
            if upload is not None and not upload.done and _ends_early(response, upload, connection):
                exchange.keep_alive = False  # say so in the head: the rest of the body is not read
            if exchange.edits:
                response = exchange.edited(response)
            if exchange.filter is not None:
                await relay_filtered(connection, response, exchange, exchange.filter)
            elif not connection.try_relay(response, exchange):
                await connection.relay(response, exchange)
        except (EndOfStream, BrokenResourceError):
            return self._lost(connection, exchange, upload, reused)
        except ClientGoneError:
            return CLIENT_LEFT
        except BodyError as error:
            return error.failure
        except (MalformedResponseError, TruncatedError) as error:
            return self._blamed(upload, connection, bad_answer(str(error)))
        finally:
            if upload is not None:
                await upload.stop()
        if upload is not None and not upload.done:
            exchange.keep_alive = False
            connection.reusable = False
        if connection.reusable:
            connection.rest(response.keep_alive_timeout_s)
        else:
            if response.keep_alive and connection.stream.eof:
                connection.was_ended_at_once()
            self._drop()
        return None

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

    def _encode(self, exchange: Exchange) -> bytes:
        """The request's head for this backend, which may want a Host of its own."""
        head = exchange.sent
        authority = self._home.authority
        own_host = not head.authority or (authority.is_own and not exchange.route.preserve_host)
        if not own_host and not authority.base_path:
            return encode_request(head, exchange.identity)
        fields, target = head.fields, head.target  # another attempt may go to a backend that gets the client's own
        if own_host:
            with_host(head, authority.value)
        if authority.base_path and target.startswith(b"/"):
            head.target = authority.base_path + target
        encoded = encode_request(head, exchange.identity)
        head.fields, head.target = fields, target
        return encoded

    def _lost(
        self, connection: UpstreamConnection, exchange: Exchange, upload: Upload | None, reused: bool
    ) -> Failure:
        """The upstream connection ended before a response head: why."""
        if connection.timed_out:
            failure = no_answer(exchange.route.response_timeout_s)
        elif connection.stream.buffer:
            failure = bad_answer("closed inside its head")
        else:
            failure = closed_early(reused)
        return self._blamed(upload, connection, failure)

    def _blamed(self, upload: Upload | None, connection: UpstreamConnection, failure: Failure) -> Failure:
        """`failure`, unless the request's body was the reason; a detail about the server goes to the log."""
        if upload is not None and upload.failure is not None:
            return upload.failure
        if connection.timed_out and failure.status == 502:
            return bad_answer("silent inside its answer")
        return failure

    async def _pass_interim(
        self, response: ResponseHead, connection: UpstreamConnection, exchange: Exchange, upload: Upload | None
    ) -> ResponseHead:
        """Forward interim responses to clients that know them, and return the final one or the 101.

        A 100 only to those that wait for one: to others it would say nothing, and not all of them expect it.
        """
        head = exchange.head
        passed = 0
        while response.status < 200 and response.status != 101:
            passed += 1
            if passed > INTERIM_LIMIT:
                raise MalformedResponseError("too many interim answers")
            wanted = head.minor_version > 0
            if response.status == 100:  # which we may have said in the server's place already
                wanted = wanted and upload is not None and head.expect_continue and not upload.continued
                if upload is not None:
                    upload.continued = upload.continued or wanted
                    upload.permit()
            if wanted:
                exchange.committed = True
                await connection.send(exchange, encode_response(response, False, False, 1))
            response = await connection.read_head(head.method)
        if response.status == 101 and not head.upgrade:
            raise MalformedResponseError("101 without an upgrade")
        return response
