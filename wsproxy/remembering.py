"""Assembly: the routes whose sessions are known to several instances, and the Redis servers that hold them."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING

import anyio

from wsproxy.sharing.sessions import SharedSessions

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

    from wsproxy.balancing.affinity import Preference
    from wsproxy.frontend.route import Route


class Remembering:
    """Joins groups, which know the sessions that their own servers have named here, with what others know."""

    def __init__(self) -> None:
        self._stores: dict[str, SharedSessions] = {}
        self._lives: dict[str, anyio.CancelScope] = {}
        self._tasks: TaskGroup | None = None

    def bind(self, route: Route) -> None:
        """Have a route ask others for sessions that it does not know, and tell them of its own."""
        url = route.settings.sticky_redis
        if url is None:
            if route.recall is not None:
                route.recall = route.group.named_sessions.tell = None
            return
        store = self._store(url)
        route.recall = partial(_recall, route, store)
        route.group.named_sessions.tell = partial(store.note, route.group.name)

    def settle(self, routes: Iterable[Route]) -> None:
        """All routes are bound: leave the servers that none of them needs any more."""
        for url in self._stores.keys() - {route.settings.sticky_redis for route in routes}:
            del self._stores[url]
            self._lives.pop(url).cancel()

    async def run(self) -> None:
        """Keep in touch until cancelled."""
        async with anyio.create_task_group() as self._tasks:
            for url, store in self._stores.items():
                self._tasks.start_soon(self._live, store, self._lives[url])
            await anyio.sleep_forever()

    def _store(self, url: str) -> SharedSessions:
        store = self._stores.get(url)
        if store is None:
            store = self._stores[url] = SharedSessions(url)
            self._lives[url] = anyio.CancelScope()
            if self._tasks is not None:
                self._tasks.start_soon(self._live, store, self._lives[url])
        return store

    async def _live(self, store: SharedSessions, life: anyio.CancelScope) -> None:
        with life:
            await store.run()


async def _recall(route: Route, store: SharedSessions, preference: Preference, now: float) -> None:
    """Ask who named a session that nobody here has; remember it here as well."""
    if not preference.value or preference.named_by:
        return
    group = route.group
    backend = await store.backend_of(group.name, preference.value)
    if backend in group.backends:
        preference.named_by = backend
        group.named_sessions.remember(preference.value, backend, now)
