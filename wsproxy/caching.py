"""Assembly: the cache of an application, and the routes that answer from it; what a reload makes of both.

Builds objects and holds no logic about what is kept.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING

import anyio

from wsproxy.cache.cache import Cache
from wsproxy.cache.redis_store import RedisStore
from wsproxy.cache.route_cache import CacheRules, RouteCache
from wsproxy.cache.store import MemoryStore, Store
from wsproxy.cache.totals import CacheTotals
from wsproxy.config.cache_settings import CacheSettings
from wsproxy.frontend.forward import forward
from wsproxy.frontend.route import Route
from wsproxy.net.redis_link import RedisLink

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

_logger = logging.getLogger("wsproxy.cache")


class Caching:
    """The cache that the routes with `cache = yes` share. cache: None while there is no such route."""

    def __init__(self, settings: CacheSettings) -> None:
        self._settings = settings
        self.cache: Cache | None = None
        self._totals = CacheTotals()
        self._link: RedisLink | None = None
        self._tasks: TaskGroup | None = None
        self._life = anyio.CancelScope()
        self._has_siblings = False

    def bind(self, route: Route) -> None:
        """Have a route answer from the cache, or not, as its settings say."""
        settings = route.settings
        route.at_once = None
        if not settings.cache:
            return
        cache = self.cache or self._begin()
        rules = CacheRules(settings.name, (settings.cache_control or "").encode("ascii"))
        cached: RouteCache[Route] = RouteCache(rules, cache, forward)
        route.handler, route.at_once = cached.answer, cached.at_once

    def tell_siblings(self) -> None:
        """Other processes keep answers of the same URLs: remember what changes until somebody takes it to them."""
        self._has_siblings = True
        if self.cache is not None:
            self.cache.take_changes()

    @property
    def is_kept_here(self) -> bool:
        """Whether answers are kept in this process, where no other sees them."""
        return self.cache is not None and self.cache.memory is not None

    @property
    def links(self) -> list[RedisLink]:
        """The way to the Redis server that answers are kept in, if they are."""
        return [] if self._link is None or self.cache is None else [self._link]

    async def run(self) -> None:
        """Do what the cache does besides answering, until cancelled."""
        async with anyio.create_task_group() as self._tasks:
            if self.cache is not None:
                self._tasks.start_soon(self._live, self.cache)
            await anyio.sleep_forever()

    def use(self, settings: CacheSettings) -> None:
        """Take over other settings: what is kept stays, unless it is kept elsewhere now. Bind all routes afterwards."""
        moved = (settings.store, settings.redis_url) != (self._settings.store, self._settings.redis_url)
        self._settings = settings
        if self.cache is None:
            return
        if moved:
            self._leave(self.cache)
            self._begin()
        else:
            self.cache.use(settings)

    def settle(self, routes: Iterable[Route]) -> None:
        """All routes are bound: let go what those keep in memory that use it no more, and the cache with the last."""
        names = {route.settings.name for route in routes if route.settings.cache}
        if self.cache is not None and names:
            self.cache.keep_only(names)
        elif self.cache is not None:
            self._leave(self.cache)
            self.cache = None

    def _leave(self, cache: Cache) -> None:
        """It is needed no more; what it has counted goes on with the next."""
        self._life.cancel()
        self._totals.evicted += cache.store.evicted
        self._totals.faults += cache.store.faults

    def _begin(self) -> Cache:
        self._life = anyio.CancelScope()
        self.cache = cache = Cache(self._settings, self._make_store())
        cache.totals = self._totals
        if self._has_siblings:
            cache.take_changes()
        if self._tasks is not None:
            self._tasks.start_soon(self._live, cache)
        return cache

    def _make_store(self) -> Store:
        settings = self._settings
        if settings.store != "redis" or settings.redis_url is None:
            self._link = None
            return MemoryStore(settings.max_size_bytes)
        store = RedisStore(settings.redis_url, settings.redis_timeout_s)
        self._link = store.link
        return store

    async def _live(self, cache: Cache) -> None:
        with self._life:
            await cache.run()
