"""A backend's worker pool and bounded queue: who carries the next exchange, and when workers come and go.

Knows workers, exchanges and time; not which backends there are besides. An exchange goes to an idle worker at once,
else into the queue; the decisions to grow and to shrink are those of `protection.pool_size`.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from time import perf_counter
from typing import Final

from wsproxy.backend.authority import Authority
from wsproxy.backend.connection import UpstreamConnection
from wsproxy.backend.guard import Guard
from wsproxy.backend.queue import BoundedQueue
from wsproxy.backend.reach import Reach
from wsproxy.backend.totals import PoolTotals
from wsproxy.backend.worker import Worker
from wsproxy.config.group_settings import Address, ServerSettings
from wsproxy.config.model import RouteSettings
from wsproxy.config.watch_settings import WatchSettings
from wsproxy.errors import CLIENT_LEFT, QUEUE_TIMEOUT, STOPPING, UNREACHABLE
from wsproxy.exchange import Exchange
from wsproxy.http.fast_codec import known_response_lines
from wsproxy.net.deadlines import NEVER, Deadlines
from wsproxy.net.dial import Dialer, DialError, OutOfDescriptorsError
from wsproxy.net.stream import Stream
from wsproxy.protection.persistence import PersistenceState
from wsproxy.protection.pool_size import HEAD_WAIT_S, should_grow, should_shrink

SAY_EVERY_S: Final = 60.0
"""A pool at its limit is worth a line, but not one for each request that waits."""

_logger = logging.getLogger("wsproxy.backend")


class WorkerPool:
    """The workers of one backend, and what waits for them.

    is_closing: `close` has been called. waiting: the exchanges of the whole group for which no backend had room; the
    pool takes from it whenever a slot of its queue becomes free, unless `takes_waiting` is off because its server is
    down; `admit` says which it takes. reach: whether the server can be reached; reach_changed is called when that has
    changed.
    """

    def __init__(
        self, settings: ServerSettings, deadlines: Deadlines, waiting: deque[Exchange], guard: Guard | None = None
    ) -> None:
        self.settings = settings
        self.guard = guard or Guard(WatchSettings())
        self.name = settings.name
        self._max_workers = settings.max_workers
        self.authority = _authority(settings.address)
        self.queue: BoundedQueue[Exchange] = BoundedQueue(settings.buffer_size)
        self.workers: set[Worker] = set()
        self.connections_opened = 0
        self.grown = 0
        self.shrunk = 0
        self.exchanges = 0
        self.totals = PoolTotals()
        self.deadline = NEVER
        self.takes_waiting = True
        self.admit: Callable[[Exchange], bool] = self.offer
        self.reach = Reach(settings.name, lambda timeout_s: self._dialer.dial(timeout_s), self._reach_changed)
        self.reach_changed: Callable[[], None] = self.fill
        self._idle: list[Worker] = []  # a stack: the one used last is used next, so that the others can leave
        self._deadlines = deadlines
        self._waiting = waiting
        self._dialer = Dialer(settings.address)
        self._loop = asyncio.get_running_loop()
        self._grow_timer: asyncio.TimerHandle | None = None
        self._closing = asyncio.Event()
        self.is_closing = False
        self._persistence = PersistenceState()
        self._known_lines = known_response_lines()
        self._trial: UpstreamConnection | None = None
        self._warned_at = self._limit_said_at = -SAY_EVERY_S
        self._tasks: asyncio.TaskGroup | None = None

    @property
    def tasks(self) -> asyncio.TaskGroup:
        """The group of the workers and their uploads; only while `run` runs."""
        if self._tasks is None:
            raise RuntimeError("the pool is not running")
        return self._tasks

    @property
    def idle(self) -> int:
        """How many workers wait for something to do."""
        return len(self._idle)

    @property
    def oldest_wait_s(self) -> float:
        """How long the first in the queue has waited."""
        return self.queue.head_age_s(self._loop.time())

    @property
    def buffered_bytes(self) -> int:
        """What its connections hold."""
        return sum(worker.buffered_bytes for worker in self.workers)

    @property
    def in_flight(self) -> int:
        """How many exchanges its workers carry and its queue holds."""
        return len(self.workers) - len(self._idle) + len(self.queue)

    async def run(self) -> None:
        """Keep the pool until `close`, then until its last worker has left."""
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                self._deadlines.watch(self)
                for _ in range(self.settings.min_workers):
                    self._start(None)
                self.fill()
                try:
                    await self._closing.wait()
                finally:
                    self.close()  # when cancelled: nothing may be handed to a worker that is gone
        finally:
            self._tasks = None
            self._deadlines.forget(self)
            if self._trial is not None:
                self._trial.close()
            self._end_what_is_left()

    def _end_what_is_left(self) -> None:
        """When cancelled: what waits, and what was given to workers whose turn has not come."""
        given = [worker.given for worker in self.workers if worker.given is not None]
        for exchange in (*self.queue, *given):
            exchange.fail(exchange.abandoned or STOPPING)
        self.queue.clear()
        self.workers.clear()

    def close(self) -> None:
        """Take nothing new; what is queued is still carried, then the workers leave."""
        self.is_closing = True
        self._closing.set()
        self.reach.close()
        for worker in self._idle:
            worker.wake(None)
        self._idle.clear()

    def use(self, settings: ServerSettings) -> None:
        """Take over other sizes and times, in place: what is queued, carried and connected stays."""
        self.settings = settings
        self._max_workers = settings.max_workers
        self.queue.size = settings.buffer_size
        if self._tasks is not None and not self.is_closing:
            for _ in range(settings.min_workers - len(self.workers)):
                self._start(None)
        self.deadline = 0.0  # the next sweep lets those go that are too many now
        self.fill()

    # What comes in.

    def offer(self, exchange: Exchange) -> bool:
        """Take `exchange` if a worker, a place in the queue, or room for one more worker is free. Never waits."""
        if self._idle:
            worker = self._idle.pop()
            worker.busy_since = self._deadlines.now
            self.exchanges += 1
            worker.take(exchange)
            return True
        if self._tasks is None or self.is_closing:
            return False
        queue = self.queue
        if len(self.workers) < self._max_workers:
            if (not self.workers or queue.is_full) and self._may_grow():
                first = queue.try_get()
                self._grow(first or exchange)
                if first is None:
                    return True
            if self._grow_timer is None:
                self._grow_timer = self._loop.call_later(HEAD_WAIT_S, self._look)
        if not queue.try_put(exchange):
            return False
        if exchange.offered_at == 0.0:
            exchange.start_clock(self._loop.time())
        exchange.holder = self
        if self.deadline == NEVER:
            self.deadline = 0.0  # looked at in every sweep while something waits
        return True

    def let_go(self, exchange: Exchange) -> None:
        """Nobody waits for a queued exchange any more: its slot is free at once."""
        self.queue.discard(exchange)
        exchange.fail(exchange.abandoned or CLIENT_LEFT)
        self.fill()

    def fill(self) -> None:
        """Move what waits for any backend of the group into free slots."""
        waiting, queue = self._waiting, self.queue
        position = 0
        while position < len(waiting) and not (
            len(queue) >= queue.size and not self._idle and len(self.workers) >= self._max_workers
        ):
            if not self.takes_waiting or self.is_closing:
                return
            exchange = waiting[position]
            if self.name in exchange.tried or (exchange.preference is not None and not _may_come(exchange, self.name)):
                position += 1  # it came back from here, or belongs elsewhere: it waits for another backend
            elif self.admit(exchange):
                del waiting[position]
            else:
                return

    # What a worker asks.

    def next_exchange(self, worker: Worker) -> Exchange | None:
        """The exchange that waited longest, or None; the slot it leaves goes to the first that waits for the group."""
        exchange = self.queue.try_get()
        if exchange is None:
            return None
        self.exchanges += 1
        exchange.holder = None
        worker.busy_since = self._deadlines.now
        if self._waiting:
            self.fill()
        return exchange

    def put_down(self, worker: Worker) -> None:
        """A worker has nothing to do: it is idle, or to leave."""
        if self.is_closing:
            worker.wake(None)
            return
        worker.idle_since = self._deadlines.now
        self._idle.append(worker)
        if self._waiting:
            self.fill()
        if len(self.workers) > self.settings.min_workers and self.deadline == NEVER:
            self.deadline = 0.0

    def left(self, worker: Worker) -> None:
        """A worker has left."""
        self.workers.discard(worker)

    async def connect(self, route: RouteSettings) -> UpstreamConnection:
        """Open a connection for a worker that has something for this route. Raises DialError."""
        self.reach.dialling()
        try:
            stream = await self.dial(route.connect_timeout_s)
        except DialError:
            self._judge_reach(route)
            raise
        return UpstreamConnection(stream, self._deadlines, self._persistence, self._known_lines)

    async def dial(self, timeout_s: float) -> Stream:
        """Open a connection that does not belong to the pool, but is counted with those that do. Raises DialError."""
        started_at = perf_counter()
        self.totals.dials += 1
        try:
            stream = await self._dialer.dial(timeout_s)
        except DialError as error:
            self.totals.connect_failures += 1
            if isinstance(error, OutOfDescriptorsError):
                self.reach.connected()  # the want is ours: there is no telling
            raise
        self.reach.connected()
        self.totals.connect.record(perf_counter() - started_at)
        self.connections_opened += 1
        return stream

    def try_out(self, connection: UpstreamConnection) -> bool:
        """Watch what the server does to an idle connection; one at a time, and only if that is not known yet."""
        trial = self._trial
        if (trial is not None and not trial.stream.closed) or not self._persistence.is_unknown(self._deadlines.now):
            return False
        self._trial = connection
        connection.begin_trial()
        return True

    def _judge_reach(self, route: RouteSettings) -> None:
        if not self.is_closing:
            self.reach.judge(route, any(worker.is_connected for worker in self.workers), self.tasks)

    def _reach_changed(self) -> None:
        """Who waits here for what cannot be reached is told; what waits for any server may come when it can."""
        self.reach_changed()
        while self.reach.is_lost and (exchange := self.queue.try_get()) is not None:
            exchange.holder = None
            exchange.backend_name = self.name
            exchange.fail(UNREACHABLE)
        self.fill()

    # How it grows and shrinks.

    def _may_grow(self) -> bool:
        queue = self.queue
        age_s = queue.head_age_s(self._loop.time())
        return should_grow(len(self.workers), self.settings.max_workers, len(queue) + 1, queue.size, age_s)

    def _look(self) -> None:
        """A timer, so that growth does not wait for the next arrival."""
        self._grow_timer = None
        queue = self.queue
        workers, limit = len(self.workers), self.settings.max_workers
        if not queue or workers >= limit:
            return
        age_s = queue.head_age_s(self._loop.time())
        if should_grow(workers, limit, len(queue), queue.size, age_s) and (first := queue.try_get()) is not None:
            self._grow(first)
            self.fill()
        if queue and len(self.workers) < limit:
            self._grow_timer = self._loop.call_later(HEAD_WAIT_S, self._look)

    def _grow(self, exchange: Exchange) -> None:
        self.grown += 1
        self.exchanges += 1
        self._start(exchange)
        if len(self.workers) == self._max_workers and self._deadlines.now - self._limit_said_at >= SAY_EVERY_S:
            self._limit_said_at = self._deadlines.now
            _logger.info("%s: pool at its limit of %d workers (max_workers)", self.name, self._max_workers)

    def _start(self, exchange: Exchange | None) -> None:
        worker = Worker(self, exchange)
        worker.busy_since = self._deadlines.now
        self.workers.add(worker)
        if exchange is not None:
            exchange.holder = None
        self.tasks.create_task(worker.run())

    def expire(self) -> None:
        """In every sweep while something waits or a worker may leave: fail what waited too long, let idle ones go."""
        now = self._deadlines.now
        for exchange in self.queue.expired(self._loop.time()):
            self.totals.queue_timeouts += 1
            exchange.fail(QUEUE_TIMEOUT)
            self.warn_if_held(now, exchange.route.queue_timeout_s)
        if self.queue:
            self._judge_reach(self.queue[0].route)
        if self._waiting:
            self.fill()
        idle, settings = self._idle, self.settings
        while idle:
            idle_s = now - idle[0].idle_since
            workers = len(self.workers)
            if workers <= self._max_workers and not should_shrink(  # more than that only after a reload
                workers, settings.min_workers, idle_s, settings.worker_timeout_s
            ):
                break
            worker = idle.pop(0)
            self.shrunk += 1
            self.workers.discard(worker)
            worker.wake(None)
        if not self.queue and not (idle and len(self.workers) > settings.min_workers):
            self.deadline = NEVER

    def warn_if_held(self, now: float, queue_timeout_s: float) -> None:
        """Say once in a while that requests time out while every worker is held, and which key would help."""
        limit = self._max_workers
        if self._idle or len(self.workers) < limit or now - self._warned_at < SAY_EVERY_S:
            return
        self._warned_at = now
        held = sum(1 for worker in self.workers if now - worker.busy_since >= queue_timeout_s)
        _logger.warning(
            "%s: requests waited %g s in vain: all %d workers are busy, %d of them with one long answer each "
            "(event stream, long poll): raise max_workers",
            self.name,
            queue_timeout_s,
            limit,
            held,
        )


def _may_come(exchange: Exchange, name: str) -> bool:
    preference = exchange.preference
    return preference is None or not preference.bound_to or preference.bound_to == name


def _authority(address: Address) -> Authority:
    own = address.authority or ("localhost" if address.unix_path else str(address))
    return Authority(own.encode("latin-1", "replace"), bool(address.authority), address.base_path.encode())
