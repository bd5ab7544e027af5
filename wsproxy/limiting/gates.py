"""The gates of all routes, and the Redis servers that some of them count on.

Knows the settings of routes; decides nothing about a request.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import anyio

from wsproxy.limiting.gate import RouteGate
from wsproxy.limiting.shared import SharedBuckets

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

    from wsproxy.config.model import RouteSettings


class Gates:
    """Makes gates."""

    def __init__(self) -> None:
        self._stores: dict[str, SharedBuckets] = {}
        self._lives: dict[str, anyio.CancelScope] = {}
        self._tasks: TaskGroup | None = None

    def gate(self, settings: RouteSettings, old: RouteGate | None = None) -> RouteGate | None:
        """The gate of a route, which is the `old` one with other limits; None where nothing is limited."""
        limits = settings.rate_limit
        if not limits.limits:
            return None
        shared = None if limits.redis_url is None else self.store(limits.redis_url)
        if old is None:
            return RouteGate(settings.name, limits, shared)
        old.use(limits, shared)
        return old

    def store(self, url: str) -> SharedBuckets:
        """The buckets on the Redis server at `url`, which is connected to when it is first asked."""
        store = self._stores.get(url)
        if store is None:
            store = self._stores[url] = SharedBuckets(url)
            self._lives[url] = anyio.CancelScope()
            if self._tasks is not None:
                self._tasks.start_soon(self._live, store, self._lives[url])
        return store

    def settle(self, routes: Iterable[RouteSettings]) -> None:
        """All routes have their gates: leave the Redis servers that no limit counts on any more."""
        for url in self._stores.keys() - {settings.rate_limit.redis_url for settings in routes}:
            del self._stores[url]
            self._lives.pop(url).cancel()

    async def run(self) -> None:
        """Serve who asks until cancelled."""
        async with anyio.create_task_group() as self._tasks:
            for url, store in self._stores.items():
                self._tasks.start_soon(self._live, store, self._lives[url])
            await anyio.sleep_forever()

    async def _live(self, store: SharedBuckets, life: anyio.CancelScope) -> None:
        with life:
            await store.run()
