"""The gates of all routes, and the Redis servers that some of them count on.

Knows the settings of routes; decides nothing about a request.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from wsproxy.limiting.gate import RouteGate
from wsproxy.limiting.shared import SharedBuckets
from wsproxy.limiting.together import CommonCounts
from wsproxy.net.redis_link import RedisLink
from wsproxy.net.services import ServicesByUrl

if TYPE_CHECKING:
    from wsproxy.config.model import RouteSettings


class Gates:
    """Makes gates. common: where several processes count together in memory; None for one process."""

    def __init__(self) -> None:
        self.common: CommonCounts | None = None
        self._stores = ServicesByUrl(SharedBuckets)

    @property
    def links(self) -> list[RedisLink]:
        """The ways to Redis servers that limits count on."""
        return [store.link for store in self._stores.all]

    def gate(self, settings: RouteSettings, old: RouteGate | None = None) -> RouteGate | None:
        """The gate of a route, which is the `old` one with other limits; None where nothing is limited."""
        limits = settings.rate_limit
        if not limits.limits:
            return None
        shared = None if limits.redis_url is None else self.store(limits.redis_url)
        if old is None:
            return RouteGate(settings.name, limits, shared, self.common)
        old.use(limits, shared, self.common)
        return old

    def store(self, url: str) -> SharedBuckets:
        """The buckets on the Redis server at `url`, which is connected to when it is first asked."""
        return self._stores.at(url)

    def settle(self, routes: Iterable[RouteSettings]) -> None:
        """All routes have their gates: leave the Redis servers that no limit counts on any more."""
        self._stores.keep_only(settings.rate_limit.redis_url for settings in routes)

    async def run(self) -> None:
        """Serve who asks until cancelled."""
        await self._stores.run()
