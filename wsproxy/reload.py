"""Assembly: a running application takes over another configuration without losing a connection.

Carries out a `config.diff.Plan`. All that can fail (sockets, certificates) is done in `prepare`; from then on nothing
does, so a reload happens whole or not at all, in all of several processes. What does not change keeps its object; who
is served goes on being served.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import anyio
from anyio.lowlevel import checkpoint

from wsproxy.config.diff import Plan, make_plan, needs_new_listener
from wsproxy.config.model import Config, FrontendSettings
from wsproxy.frontend.frontend import Frontend
from wsproxy.frontend.own_answers import ErrorPageError
from wsproxy.frontend.route import Route
from wsproxy.net.listen import ListenError
from wsproxy.net.tls import TlsError, TlsIdentities, client_context
from wsproxy.running import RunningGroup
from wsproxy.ws.control import SERVICE_RESTART

if TYPE_CHECKING:
    import socket

    from wsproxy.app import Application

READING_SLICE_S: Final = 0.0005
"""How long a file that is read keeps the interpreter from the traffic at a time. A request that comes meanwhile waits
for it some four times; with Python's 5 ms, that was 20 ms."""


class ReloadError(Exception):
    """The new configuration cannot be run, and the old one goes on; str() has a line for each reason."""


class Reload:
    """One reload of an application that runs. sockets: those of the frontends that will listen anew, once prepared."""

    def __init__(self, app: Application, config: Config) -> None:
        self._app = app
        self._new = config
        self._old_settings = {settings.name: settings for settings in app.config.listeners}
        self.sockets: dict[str, list[socket.socket]] = {}
        self._frontends: dict[str, Frontend] = {}
        self._admin_sockets: list[socket.socket] | None = None
        self._access = app.logbook.access
        self.plan: Plan = make_plan(app.config, config)

    # What can fail.

    def prepare(self) -> None:
        """Open what has to be opened, and make the frontends that take the place of others, or are new.

        Raises ReloadError, and has changed nothing then.
        """
        problems: list[str] = []
        frontends = self._frontends
        for settings in self._new.listeners:
            old = self._old_settings.get(settings.name)
            if old is not None and not needs_new_listener(old, settings):
                continue
            try:
                self.sockets[settings.name] = self._open(settings)
                if settings in self._new.frontends:
                    frontends[settings.name] = self._app.make_frontend(settings)
                elif settings.certificates:
                    TlsIdentities(settings.certificates)  # whether they can be used: its group may not be there yet
            except (ListenError, TlsError, ErrorPageError, OSError) as error:
                problems.append(f"{settings.place}: {error}")
        problems += self._prepare_for_operators()
        if not problems:
            problems = self._renew_certificates()
        if problems:
            self.abandon()
            raise ReloadError("\n".join(problems))

    def abandon(self) -> None:
        """Nothing comes of it after all."""
        for sockets in (*self.sockets.values(), self._admin_sockets or ()):
            for listening in sockets:
                listening.close()
        self._app.logbook.discard(self._access)

    def _prepare_for_operators(self) -> list[str]:
        """Open the admin listener and the access log, where they change; what is wrong with them."""
        problems: list[str] = []
        admin, log = self._new.admin, self._new.log
        try:
            self._admin_sockets = self._app.administration.prepared(admin)
        except ListenError as error:
            problems.append(f"{'' if admin is None else admin.place}: {error}")
        try:
            self._access = self._app.logbook.prepared(log)
        except OSError as error:
            problems.append(f"{log.access_place}: {log.access} cannot be written: {error.strerror}")
        return problems

    def _renew_certificates(self) -> list[str]:
        """Read the certificates of listeners that stay again; what is wrong with them."""
        problems: list[str] = []
        client_context.cache_clear()  # and the authorities that servers are checked against, at their next dial
        for frontend in self._app.listeners:
            if frontend.identities is not None and frontend.settings.name not in self.sockets:
                try:
                    frontend.identities.reload()
                except TlsError as error:
                    problems.append(f"{error.place}: {error}")
        return problems

    def _open(self, settings: FrontendSettings) -> list[socket.socket]:
        """The sockets of a frontend; those that one has at this address go on, with who waits in their backlog."""
        for frontend in self._app.listeners:
            old = frontend.settings
            is_free = not settings.port and old.name != settings.name  # any free port, and not that of another
            if (old.host, old.port) == (settings.host, settings.port) and not is_free:
                return [listening.dup() for listening in frontend.sockets]
        return self._app.open_listener(settings)

    # What cannot.

    async def commit(self) -> None:
        """Carry out what was prepared."""
        for line in self.plan.lines():
            self._app.say("reload: %s", line)
        self._warn()
        retiring = await self._change_groups()
        self._change_routes()
        self._change_frontends(self._frontends)
        self._change_tcp()
        for running in retiring:
            await checkpoint()
            self._app.services.start_soon(running.retire, self._app.shutdown_timeout_s)
        self._app.config = self._new
        self._app.use_log(self._new.log, self._access)
        self._app.administration.use(self._new.admin, self._admin_sockets)

    def _warn(self) -> None:
        """Say what only another process can take over."""
        for key in ("processes", "takeover_socket"):
            if getattr(self._new, key) != getattr(self._app.config, key):
                self._app.warn("'%s' has changed: that takes a restart, or an upgrade (SIGUSR2)", key)

    async def _change_groups(self) -> list[RunningGroup]:
        """Start, change and replace groups; returns those that nobody needs any more."""
        app = self._app
        retiring = [app.groups.pop(name) for name in self.plan.groups.removed]
        for settings in self._new.groups:
            running = app.groups.get(settings.name)
            if running is not None and not running.is_replaced_by(settings):
                if running.settings != settings:
                    await running.use(settings)
                continue
            if running is not None:
                retiring.append(running)
            app.groups[settings.name] = app.start_group(settings)
            await checkpoint()  # hundreds of them take longer than a request should wait
        return retiring

    def _change_routes(self) -> None:
        app = self._app
        app.guards.use(self._new.overload)
        before, app.routes = app.routes, {}
        if self.plan.cache_changed:
            app.caching.use(self._new.cache)
        for settings in self._new.routes:
            route = before.pop(settings.name, None)
            group = app.route_maker.group_of(settings)
            if route is None or route.group is not group:
                old, route = route, app.route_maker.make(settings, app.shutdown_timeout_s / 2)
                if old is not None:
                    before[settings.name] = old
                    route.gate = old.gate  # with what it has counted
            elif route.settings != settings:
                app.route_maker.change(route, settings)
            elif self.plan.cache_changed:
                app.caching.bind(route)
            app.guards.guard(route)
            app.routes[settings.name] = route
        app.guards.settle()
        app.remembering.settle(app.routes.values())
        app.caching.settle(app.routes.values())
        for route in before.values():
            self._let_go(route)

    def _let_go(self, route: Route) -> None:
        """A route is removed, or leads to other servers: its WebSockets are asked to come again."""
        if route.relays is not None:
            route.relays.drain(tuple(route.relays.open), SERVICE_RESTART)
            route.relays.retire()

    def _change_frontends(self, frontends: dict[str, Frontend]) -> None:
        """New listeners open before old ones close."""
        app = self._app
        before, app.frontend_by_name = app.frontend_by_name, {}
        routes = tuple(app.routes.values())
        for settings in self._new.frontends:
            frontend = frontends.get(settings.name)
            if frontend is None:
                frontend = before.pop(settings.name)
                frontend.use(settings)
            else:
                app.start_frontend(frontend, self.sockets[settings.name])
            frontend.use_routes(routes)
            app.frontend_by_name[settings.name] = frontend
        app.point_redirects()
        app.retired = [frontend for frontend in app.retired if not frontend.ended.is_set()]
        for frontend in before.values():
            frontend.use_routes(routes)  # for the requests that its connections still send
            frontend.retire()
            app.retired.append(frontend)

    def _change_tcp(self) -> None:
        """The same for the `[tcp:NAME]` sections, which choose servers themselves."""
        app = self._app
        before, app.tcp_by_name = app.tcp_by_name, {}
        for settings in self._new.tcp:
            sockets = self.sockets.get(settings.name)
            if sockets is None:
                frontend = before.pop(settings.name)
                group = app.groups[settings.group].group
                if frontend.tcp != settings or frontend.group is not group:
                    frontend.use(settings, group, app.make_policy(settings.algorithm))
            else:
                frontend = app.make_tcp(settings)
                app.start_frontend(frontend, sockets)
            app.tcp_by_name[settings.name] = frontend
        for frontend in before.values():
            frontend.retire()
            app.retired.append(frontend)


async def read_aside(read: Callable[[], Config]) -> Config:
    """Read in a thread: hundreds of routes take a tenth of a second, for which traffic must not stand still."""
    usual_s = sys.getswitchinterval()
    sys.setswitchinterval(READING_SLICE_S)
    try:
        return await anyio.to_thread.run_sync(read)
    finally:
        sys.setswitchinterval(usual_s)
