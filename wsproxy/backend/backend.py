"""A backend: one upstream server with its bounded queue, its worker pool and its state.

Knows its pool and what its relays hold; not which group it belongs to or whether it is healthy.
"""

from __future__ import annotations

import asyncio
from collections import deque

from wsproxy.backend.pool import WorkerPool
from wsproxy.config.model import Address, ServerSettings
from wsproxy.exchange import Exchange
from wsproxy.net.deadlines import Deadlines


class Backend:
    """One upstream server.

    position: its place in the configuration. leases: long-lived relays that hold a connection to it outside the pool.
    up: the last verdict of its health checks. enabled: an operator lets it have work. leaving: its relays are to go.
    gone: after `close`, nothing of it is left in use.
    """

    def __init__(
        self, settings: ServerSettings, position: int, deadlines: Deadlines, waiting: deque[Exchange]
    ) -> None:
        self.settings = settings
        self.position = position
        self.leases = 0
        self.up = True
        self.enabled = True
        self.leaving = False
        self.gone = asyncio.Event()
        self._running = False
        self.pool = WorkerPool(settings, deadlines, waiting)
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
        return self.up and self.enabled and not self.leaving

    @property
    def weight(self) -> int:
        """Its share beside the others'."""
        return self.settings.weight

    @property
    def load(self) -> int:
        """What it has in hand: exchanges carried and queued, and leases. Policies ask every backend at each pick."""
        return self.pool.in_flight + self.leases

    @property
    def is_spare(self) -> bool:
        """Whether it is asked only when no other is healthy."""
        return self.settings.backup or not self.settings.weight

    def acquire_lease(self) -> None:
        """A relay begins to hold a connection."""
        self.leases += 1

    def release_lease(self) -> None:
        """A relay has ended."""
        self.leases -= 1
        self._see_whether_gone()

    def use(self, settings: ServerSettings, position: int) -> None:
        """Take over other settings of the same server, in place."""
        self.settings = settings
        self.position = position
        self.pool.use(settings)

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
        self.pool.close()
