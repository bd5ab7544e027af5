"""Assembly: the routes of an application by name: made of their settings, changed by a reload, let go.

Builds objects; what each of them does to a request is its own business. A feature of routes is fitted in `_equip`.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping

import anyio

from wsproxy.backend.group import Group
from wsproxy.balancing.affinity import Affinity
from wsproxy.balancing.algorithms import make_policy
from wsproxy.caching import Caching
from wsproxy.config.model import Config, RouteSettings
from wsproxy.frontend import fixed_answers
from wsproxy.frontend.compression import Compression
from wsproxy.frontend.relays import Relays
from wsproxy.frontend.route import Route
from wsproxy.frontend.route_edits import answer_edits, preparation
from wsproxy.groups import Groups
from wsproxy.guards import Guards
from wsproxy.listeners import Listeners
from wsproxy.net.deadlines import Deadlines
from wsproxy.remembering import Remembering
from wsproxy.static.reading import make_threads
from wsproxy.static.site import StaticSite
from wsproxy.ws.control import SERVICE_RESTART


class Routes(Mapping[str, Route]):
    """Those that requests are led to now, and what they share.

    secret: signs cookies, and outlives reloads. guards, caching, remembering: what limits the routes, what answers for
    them, and who else knows their sessions.
    """

    def __init__(
        self,
        config: Config,
        groups: Groups,
        listeners: Listeners,
        deadlines: Deadlines,
        rng: random.Random,
        secret: bytes,
    ) -> None:
        self._by_name: dict[str, Route] = {}
        self._groups = groups
        self._deadlines = deadlines
        self._rng = rng
        self._secret = secret
        self._nobody = Group("", (), deadlines)
        self._file_threads = make_threads()
        self.guards = Guards(config.overload, listeners, self, groups)
        self.caching = Caching(config.cache)
        self.remembering = Remembering()

    def __getitem__(self, name: str) -> Route:
        return self._by_name[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)

    def __len__(self) -> int:
        return len(self._by_name)

    def add(self, settings: RouteSettings, drain_s: float) -> None:
        """Have a route to a group that is there; its WebSockets drain within that time."""
        self._by_name[settings.name] = self._make(settings, drain_s)

    async def run(self) -> None:
        """Do what routes need besides requests, until cancelled."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.guards.run)
            tasks.start_soon(self.remembering.run)
            tasks.start_soon(self.caching.run)

    def close(self) -> None:
        """No more requests come."""
        self._file_threads.shutdown(wait=False, cancel_futures=True)

    # A reload.

    def change(self, config: Config, drain_s: float, cache_changed: bool) -> None:
        """Become the routes of another configuration, whose groups are there; lets those go that it does not have."""
        self.guards.use(config.overload)
        before, self._by_name = self._by_name, {}
        if cache_changed:
            self.caching.use(config.cache)
        for settings in config.routes:
            route = before.pop(settings.name, None)
            if route is None or route.group is not self._group_of(settings):
                old, route = route, self._make(settings, drain_s)
                if old is not None:
                    before[settings.name] = old
                    route.go_on_from(old)
            elif route.settings != settings:
                self._change(route, settings)
            elif cache_changed:
                self.caching.bind(route)
            self.guards.guard(route)
            self._by_name[settings.name] = route
        self.guards.settle()
        self.remembering.settle(self._by_name.values())
        self.caching.settle(self._by_name.values())
        for route in before.values():
            _let_go(route)

    def _change(self, route: Route, settings: RouteSettings) -> None:
        """Have a route go by other settings that lead to the same group."""
        if route.settings.algorithm != settings.algorithm:
            route.policy = make_policy(settings.algorithm, self._rng)
        route.use(settings)
        self._equip(route)

    # One route.

    def _make(self, settings: RouteSettings, drain_s: float) -> Route:
        group = self._group_of(settings)
        relays: Relays | None = None
        if settings.kind == "websocket":
            relays = Relays(settings, group, self._deadlines, self._rng, drain_s)
        route = Route(settings, group, make_policy(settings.algorithm, self._rng), relays)
        self._equip(route)
        return route

    def _group_of(self, settings: RouteSettings) -> Group:
        """The group that a route leads to: one without servers for a route that answers by itself."""
        return self._groups[settings.group].group if settings.group else self._nobody

    def _equip(self, route: Route) -> None:
        """Give a route what its settings ask for besides a group, in place of what it has."""
        settings = route.settings
        edits = [*answer_edits(settings, route.group)]
        if settings.compression is not None:
            edits.append(Compression(settings.compression))  # last: it goes by what all others have said
        route.edit(preparation(settings), edits)
        route.bind_clients(self._affinity(settings))
        self.guards.guard(route)
        route.handler = fixed_answers.handler(settings, self._deadlines)
        if settings.static is not None:
            site = StaticSite(settings.static, settings.path_prefix, self._deadlines, self._file_threads)
            route.handler = site.answer
        self.caching.bind(route)
        self.remembering.bind(route)

    def _affinity(self, settings: RouteSettings) -> Affinity | None:
        if not Affinity.is_needed(settings):
            return None
        return Affinity(settings, self._secret, self._groups[settings.group].group.named_sessions)


def _let_go(route: Route) -> None:
    """A route is removed, or leads to other servers: its WebSockets are asked to come again."""
    if route.relays is not None:
        route.relays.drain(tuple(route.relays.open), SERVICE_RESTART)
        route.relays.retire()
