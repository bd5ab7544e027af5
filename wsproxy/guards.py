"""Assembly: what guards the routes of one application: their rate limits, and the budget of the process.

Knows what serves clients; decides nothing about a request.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import anyio

from wsproxy.config.budget_settings import OverloadSettings
from wsproxy.frontend.admission import Gate, Refusals
from wsproxy.frontend.frontend import Frontend
from wsproxy.frontend.overload import Overload
from wsproxy.frontend.relay import Relay
from wsproxy.frontend.route import Route
from wsproxy.groups import Groups
from wsproxy.limiting.gates import Gates
from wsproxy.limiting.together import CommonCounts
from wsproxy.listeners import Listeners
from wsproxy.net.redis_link import RedisLink


class Guards:
    """The gates of all routes."""

    def __init__(
        self, settings: OverloadSettings, listeners: Listeners, routes: Mapping[str, Route], groups: Groups
    ) -> None:
        self._listeners = listeners
        self._routes = routes
        self._groups = groups
        self._gates = Gates()
        self.overload = Overload(settings, self)

    def use(self, settings: OverloadSettings) -> None:
        """Take over another budget; every route is to be guarded anew."""
        self.overload.use(settings)

    def count_together(self, common: CommonCounts) -> None:
        """What is counted in memory is counted there from now on, with other processes."""
        self._gates.common = common
        for route in self._routes.values():
            self.guard(route)

    def guard(self, route: Route) -> None:
        """Give a route the gate that its settings and the budget ask for; what it has counted stays."""
        old = None if route.gate is None else route.gate.limits
        limits = self._gates.gate(route.settings, old)
        overload = self.overload if self.overload.is_on else None
        handshakes = None if route.relays is None else route.relays.totals.handshakes
        refusals = Refusals(route.settings.name, route.totals, handshakes)
        route.gate = None if limits is None and overload is None else Gate(limits, overload, refusals)

    @property
    def links(self) -> list[RedisLink]:
        """The ways to Redis servers that limits count on."""
        return self._gates.links

    def settle(self) -> None:
        """Every route is guarded: leave what none of them counts on any more."""
        self._gates.settle(route.settings for route in self._routes.values())

    async def run(self) -> None:
        """Watch the load and the shared counts until cancelled."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._gates.run)
            tasks.start_soon(self.overload.run)

    # What the load is made of.

    @property
    def _frontends(self) -> list[Frontend]:
        """Those with sessions, among them those whose place another has taken."""
        return [each for each in self._listeners.all if isinstance(each, Frontend)]

    @property
    def connections(self) -> int:
        """Those of clients, of TCP listeners too; not of those who have their last answer and are only to read it.

        Else of many who come at once nobody would find room: each would still count those turned away before.
        """
        return self._listeners.connections - sum(len(each.service.ending) for each in self._frontends)

    @property
    def handshakes(self) -> int:
        """WebSockets that are opening."""
        return sum(route.relays.opening for route in self._routes.values() if route.relays is not None)

    @property
    def relays(self) -> Iterable[Relay]:
        """Every WebSocket."""
        return (relay for frontend in self._frontends for relay in frontend.relays)

    @property
    def session_bytes(self) -> int:
        """What is held for HTTP clients."""
        return sum(session.buffered_bytes for frontend in self._frontends for session in frontend.service.sessions)

    @property
    def upstream_bytes(self) -> int:
        """What the connections of workers hold."""
        return sum(backend.pool.buffered_bytes for backend in self._groups.backends)
