"""Assembly: the routes whose sessions are known to several instances, and the Redis servers that hold them."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING

from wsproxy.net.redis_link import RedisLink
from wsproxy.net.services import ServicesByUrl
from wsproxy.sharing.sessions import SharedSessions

if TYPE_CHECKING:
    from wsproxy.balancing.affinity import Preference
    from wsproxy.frontend.route import Route


class Remembering:
    """Joins groups, which know the sessions that their own servers have named here, with what others know."""

    def __init__(self) -> None:
        self._stores = ServicesByUrl(SharedSessions)

    @property
    def stores(self) -> list[SharedSessions]:
        """The servers that are needed now."""
        return self._stores.all

    @property
    def links(self) -> list[RedisLink]:
        """The ways to them."""
        return [store.link for store in self._stores.all]

    def bind(self, route: Route) -> None:
        """Have a route ask others for sessions that it does not know, and tell them of its own."""
        url = route.settings.sticky_redis
        if url is None:
            if route.recall is not None:
                route.recall = route.group.named_sessions.tell = None
            return
        store = self._stores.at(url)
        route.recall = partial(_recall, route, store)
        route.group.named_sessions.tell = partial(store.note, route.group.name)

    def settle(self, routes: Iterable[Route]) -> None:
        """All routes are bound: leave the servers that none of them needs any more."""
        self._stores.keep_only(route.settings.sticky_redis for route in routes)

    async def run(self) -> None:
        """Keep in touch until cancelled."""
        await self._stores.run()


async def _recall(route: Route, store: SharedSessions, preference: Preference, now: float) -> None:
    """Ask who named a session that nobody here has; remember it here as well."""
    if not preference.value or preference.named_by:
        return
    group = route.group
    backend = await store.backend_of(group.name, preference.value)
    if backend in group.backends:
        preference.named_by = backend
        group.named_sessions.remember(preference.value, backend, now)
