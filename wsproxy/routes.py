"""Assembly: the settings of a route become a route, at start and at reload.

Builds objects; what each of them does to a request is its own business. A feature of routes is fitted in `equip`.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import TYPE_CHECKING

from wsproxy.backend.group import Group
from wsproxy.balancing.affinity import Affinity
from wsproxy.balancing.algorithms import make_policy
from wsproxy.caching import Caching
from wsproxy.config.model import RouteSettings
from wsproxy.frontend import fixed_answers
from wsproxy.frontend.compression import Compression
from wsproxy.frontend.relays import Relays
from wsproxy.frontend.route import Route
from wsproxy.frontend.route_edits import answer_edits, preparation
from wsproxy.guards import Guards
from wsproxy.net.deadlines import Deadlines
from wsproxy.remembering import Remembering
from wsproxy.static.reading import make_threads
from wsproxy.static.site import StaticSite

if TYPE_CHECKING:
    from wsproxy.running import RunningGroup


class RouteMaker:
    """Makes routes. groups: those there are at the moment. secret: signs cookies, and outlives reloads."""

    def __init__(
        self,
        groups: Mapping[str, RunningGroup],
        deadlines: Deadlines,
        rng: random.Random,
        guards: Guards,
        caching: Caching,
        remembering: Remembering,
        secret: bytes,
    ) -> None:
        self._groups = groups
        self._deadlines = deadlines
        self._rng = rng
        self._guards = guards
        self._caching = caching
        self._remembering = remembering
        self._secret = secret
        self._nobody = Group("", (), deadlines)
        self._file_threads = make_threads()

    def make(self, settings: RouteSettings, drain_s: float) -> Route:
        """A route to a group that is there; its WebSockets drain within that time."""
        group = self.group_of(settings)
        relays: Relays | None = None
        if settings.kind == "websocket":
            relays = Relays(settings, group, self._deadlines, self._rng, drain_s)
        route = Route(settings, group, make_policy(settings.algorithm, self._rng), relays)
        self._equip(route)
        return route

    def change(self, route: Route, settings: RouteSettings) -> None:
        """Have a route go by other settings that lead to the same group."""
        if route.settings.algorithm != settings.algorithm:
            route.policy = make_policy(settings.algorithm, self._rng)
        route.use(settings)
        self._equip(route)

    def group_of(self, settings: RouteSettings) -> Group:
        """The group that a route leads to: one without servers for a route that answers by itself."""
        return self._groups[settings.group].group if settings.group else self._nobody

    def close(self) -> None:
        """No more requests come."""
        self._file_threads.shutdown(wait=False, cancel_futures=True)

    def _equip(self, route: Route) -> None:
        """Give a route what its settings ask for besides a group, in place of what it has."""
        settings = route.settings
        edits = [*answer_edits(settings, route.group)]
        if settings.compression is not None:
            edits.append(Compression(settings.compression))  # last: it goes by what all others have said
        route.edit(preparation(settings), edits)
        route.bind_clients(self._affinity(settings))
        self._guards.guard(route)
        route.handler = fixed_answers.handler(settings, self._deadlines)
        if settings.static is not None:
            site = StaticSite(settings.static, settings.path_prefix, self._deadlines, self._file_threads)
            route.handler = site.answer
        self._caching.bind(route)
        self._remembering.bind(route)

    def _affinity(self, settings: RouteSettings) -> Affinity | None:
        if not Affinity.is_needed(settings):
            return None
        return Affinity(settings, self._secret, self._groups[settings.group].group.named_sessions)
