"""A backend: one upstream server with its bounded queue, its worker pool and its state.

Knows its pool and what its relays hold; not which group it belongs to or whether it is healthy.
"""

from __future__ import annotations

import asyncio
from collections import deque
from time import perf_counter

from wsproxy.backend.guard import Guard
from wsproxy.backend.pool import WorkerPool
from wsproxy.backend.totals import Counted
from wsproxy.balancing.slow_start import parts_of, warm_parts
from wsproxy.config.group_settings import Address, ServerSettings
from wsproxy.config.watch_settings import WatchSettings
from wsproxy.exchange import Exchange
from wsproxy.net.deadlines import Deadlines


class Backend:
    """One upstream server.

    position: its place in the configuration. leases: long-lived relays that hold a connection to it outside the pool;
    tcp_connections: those among them that are no WebSockets.
    weight: its share beside the others', in parts. guard: what its requests say of it. was_chosen: at the last look it
    might be. warming_since: loop time when it came (back), until it has its whole share.
    up: the last verdict of its health checks. enabled: the file, or an operator, lets it have work. leaving: its relays
    are to go. gone: after `close`, nothing of it is left in use.
    """

    def __init__(
        self,
        settings: ServerSettings,
        position: int,
        deadlines: Deadlines,
        waiting: deque[Exchange],
        guard: Guard | None = None,
    ) -> None:
        self.settings = settings
        self.weight = parts_of(settings.weight)
        self.position = position
        self.leases = 0
        self.tcp_connections = 0
        self.up = True
        self.enabled = settings.enabled
        self.leaving = False
        self.gone = asyncio.Event()
        self._running = False
        self.was_chosen = True
        self.warming_since: float | None = None
        self.guard = guard or Guard(WatchSettings())
        self.pool = WorkerPool(settings, deadlines, waiting, self.guard)
        self.pool.reach_changed = self.see_offer
        self.offer = self.pool.offer  # one call less for each request

    @property
    def name(self) -> str:
        """What it is called in logs, metrics and cookies."""
        return self.settings.name

    @property
    def address(self) -> Address:
        """Where it listens."""
        return self.settings.address

    @property
    def may_be_chosen(self) -> bool:
        """Whether it may be given anything new."""
        return self.may_be_asked_at_last and not self.guard.ejected

    @property
    def may_be_asked_at_last(self) -> bool:
        """Whether it may be given something when no other is left."""
        return self.is_able and not self.guard.is_open

    @property
    def is_able(self) -> bool:
        """Whether neither its health checks nor an operator are against that."""
        return self.up and self.enabled and not self.leaving

    @property
    def load(self) -> int:
        """What it has in hand: exchanges carried and queued, and leases. Policies ask every backend at each pick."""
        return self.pool.in_flight + self.leases

    @property
    def latency_s(self) -> float | None:
        """How long its answers take of late; None while nobody knows or asks."""
        latency = self.guard.latency
        return None if latency is None else latency.value_s(perf_counter())

    @property
    def is_spare(self) -> bool:
        """Whether it is asked only when no other is healthy."""
        return self.settings.backup or not self.settings.weight

    def see_offer(self) -> None:
        """Take what is offered as the breaker and the pool's connections allow."""
        if self.pool.reach.is_lost or self.guard.is_open:
            self.offer = _refuse
        elif self.guard.is_half_open:
            self.offer = self._offer_trial
        else:
            self.offer = self.pool.offer
        self.pool.admit = self.offer

    def _offer_trial(self, exchange: Exchange) -> bool:
        breaker = self.guard.breaker
        if breaker is None or not breaker.may_try() or not self.pool.offer(exchange):
            return False
        breaker.give_trial()
        return True

    def acquire_lease(self) -> None:
        """A relay begins to hold a connection."""
        self.leases += 1

    def release_lease(self) -> None:
        """A relay has ended."""
        self.leases -= 1
        self._see_whether_gone()

    def warm(self, now: float, slow_start_s: float | None) -> None:
        """See how far it has warmed up, and so what its weight counts for."""
        age_s = None if self.warming_since is None or slow_start_s is None else now - self.warming_since
        if age_s is None or slow_start_s is None or age_s >= slow_start_s:
            self.warming_since = None
            self.weight = parts_of(self.settings.weight)
        else:
            self.weight = warm_parts(self.settings.weight, age_s, slow_start_s)

    def use(self, settings: ServerSettings, position: int) -> None:
        """Take over other settings of the same server, in place; of the weight `warm` makes a share."""
        self.settings = settings
        self.position = position
        self.pool.use(settings)

    def counted(self) -> Counted:
        """What it has counted so far."""
        pool, guard = self.pool, self.guard
        traffic = (pool.exchanges, pool.connections_opened, pool.grown, pool.shrunk)
        return Counted(pool.totals, *traffic, guard.ejections, guard.breaker_opened)

    def go_on_from(self, counted: Counted) -> None:
        """Count on from where another of this name was; before it has anything to do."""
        pool = self.pool
        pool.totals = counted.totals
        pool.exchanges, pool.connections_opened = counted.exchanges, counted.connections_opened
        pool.grown, pool.shrunk = counted.grown, counted.shrunk
        self.guard.go_on_from(counted.ejections, counted.breaker_opened)

    async def run(self) -> None:
        """Keep its pool until `close`, then until its last exchange has ended."""
        self._running = True
        try:
            await self.pool.run()
        finally:
            self._running = False
            self._see_whether_gone()

    def _see_whether_gone(self) -> None:
        if self.leaving and not self.leases and not self._running:
            self.gone.set()

    def close(self) -> None:
        """Take nothing new and finish what is there."""
        self.leaving = True
        self.guard.close()
        self.pool.close()


def _refuse(exchange: Exchange) -> bool:  # noqa: ARG001 - nothing is taken
    return False
