"""What a worker asks of the pool it belongs to.

Knows exchanges and connections; nothing of how a pool is kept.
"""

from __future__ import annotations

import asyncio
from typing import Protocol, TypeVar

from wsproxy.backend.authority import Authority
from wsproxy.backend.connection import UpstreamConnection
from wsproxy.backend.guard import Guard
from wsproxy.backend.totals import PoolTotals
from wsproxy.config.model import RouteSettings
from wsproxy.exchange import Exchange

W = TypeVar("W", contravariant=True)


class WorkerHome(Protocol[W]):
    """A pool, as its workers, which are of type W, see it."""

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

    def next_exchange(self, worker: W) -> Exchange | None:
        """What waits in the queue, or None."""
        ...

    def put_down(self, worker: W) -> None:
        """A worker is idle: have it `take` the next exchange that comes, or woken with None, to leave."""
        ...

    def left(self, worker: W) -> None:
        """A worker has left."""
        ...
