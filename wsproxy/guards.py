"""Assembly: what guards the routes of one application: their rate limits, and the budget of the process.

Knows the application's frontends, routes and groups; decides nothing about a request.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import anyio

from wsproxy.frontend.admission import Gate
from wsproxy.frontend.frontend import Frontend
from wsproxy.frontend.overload import Overload
from wsproxy.limiting.gates import Gates

if TYPE_CHECKING:
    from wsproxy.app import Application
    from wsproxy.config.budget_settings import OverloadSettings
    from wsproxy.frontend.route import Route


class Guards:
    """The gates of all routes."""

    def __init__(self, app: Application, settings: OverloadSettings) -> None:
        self._app = app
        self._gates = Gates()
        self.overload = Overload(settings, self)

    def use(self, settings: OverloadSettings) -> None:
        """Take over another budget; every route is to be guarded anew."""
        self.overload.use(settings)

    def guard(self, route: Route) -> None:
        """Give a route the gate that its settings and the budget ask for; what it has counted stays."""
        old = None if route.gate is None else route.gate.limits
        limits = self._gates.gate(route.settings, old)
        overload = self.overload if self.overload.is_on else None
        route.gate = None if limits is None and overload is None else Gate(limits, overload)

    def settle(self) -> None:
        """Every route is guarded: leave what none of them counts on any more."""
        self._gates.settle(route.settings for route in self.every_route)

    async def run(self) -> None:
        """Watch the load and the shared counts until cancelled."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._gates.run)
            tasks.start_soon(self.overload.run)

    # What the load is made of.

    @property
    def every_frontend(self) -> Iterable[Frontend]:
        """Those with sessions, among them those whose place another has taken."""
        return [each for each in (*self._app.frontends, *self._app.retired) if isinstance(each, Frontend)]

    @property
    def connections(self) -> int:
        """Those of clients, of TCP listeners too; not of those who have their last answer and are only to read it.

        Else of many who come at once nobody would find room: each would still count those turned away before.
        """
        there = sum(each.connections for each in (*self._app.listeners, *self._app.retired))
        return there - sum(len(each.ending) for each in self.every_frontend)

    @property
    def every_route(self) -> Iterable[Route]:
        """Those that requests are led to."""
        return self._app.routes.values()

    @property
    def upstream_bytes(self) -> int:
        """What the connections of workers hold."""
        backends = (each for running in self._app.groups.values() for each in running.group.backends.values())
        return sum(backend.pool.buffered_bytes for backend in backends)
