"""Assembly: one application: a Config becomes what serves it; start, reload, drain, stop.

Joins objects and holds no logic of its own about requests, health or processes.
"""

from __future__ import annotations

import logging
import random
import secrets
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, Protocol

import anyio
from anyio.abc import TaskGroup, TaskStatus

from wsproxy.administration import Administration
from wsproxy.config.diff import Plan, make_plan
from wsproxy.config.group_settings import GroupSettings
from wsproxy.config.model import AdminSettings, Config, FrontendSettings
from wsproxy.figures import Figures
from wsproxy.groups import Groups
from wsproxy.listeners import Listeners, shutdown_timeout_s
from wsproxy.logbook import Logbook
from wsproxy.net.deadlines import Deadlines
from wsproxy.net.listen import ListenError
from wsproxy.net.systemd import InheritedSockets, ServiceManager
from wsproxy.observe.snapshot import Phase
from wsproxy.reload import Changeable, Reload, ReloadError, read_aside
from wsproxy.routes import Routes
from wsproxy.running import RunningGroup
from wsproxy.signals import OBEYED, Stop, StopSignals

if TYPE_CHECKING:
    import socket

    from wsproxy.admin.control import Control

MANAGED_START_S: Final = 15.0
"""How long accepting waits for managed servers to answer, so that the first request after a start finds them."""

_logger = logging.getLogger("wsproxy")


class BindError(Exception):
    """Some sockets could not be opened; `failures` are (frontend or admin, reason)."""

    def __init__(self, failures: list[tuple[FrontendSettings | AdminSettings, str]]) -> None:
        super().__init__("; ".join(reason for _, reason in failures))
        self.failures = failures


class Handover(Protocol):
    """Who hands the listeners over to a successor. heir: the process that is coming up in our place."""

    @property
    def heir(self) -> int | None: ...

    async def run(self) -> None:
        """Wait for one, once the application serves."""
        ...

    def upgrade(self) -> None:
        """Start one."""
        ...

    async def take_over_changes(self) -> None:
        """Have servers be as operators have left them with the proxy that we take over from, before we serve."""
        ...


class Application:
    """Everything one process runs for one Config.

    config, groups, routes: as they are now. read: reads the configuration anew for a reload. ready: whether new clients
    are welcome, which ends `drain_delay` before they are turned away. sticky_secret: signs cookies where a route has
    no secret of its own; b"" for one that nobody knows. replaces_another: whether a proxy that runs is to leave once
    this one serves. reloading: held meanwhile. handover: to a successor, None for none; successor: its process, once it
    serves. What one of several processes does otherwise is in `supervisor`.
    """

    def __init__(
        self,
        config: Config,
        read: Callable[[], Config] | None = None,
        manager: ServiceManager | None = None,
        inherited: InheritedSockets | None = None,
        sticky_secret: bytes = b"",
    ) -> None:
        self.config = config
        self.deadlines = Deadlines()
        self.rng = random.Random()
        self.sticky_secret = sticky_secret or secrets.token_bytes(32)
        self.manager = manager or ServiceManager()
        self.handover: Handover | None = None
        self.successor: int | None = None
        self.ready = False
        self._read = read
        self.reloading = anyio.Lock()
        self._services: TaskGroup | None = None
        inherited = inherited or InheritedSockets()
        self.replaces_another = inherited.are_in_use
        self.logbook = Logbook(config.log)
        self.groups = Groups(self.make_group)
        self.listeners = self.make_listeners(inherited)
        self.routes = Routes(config, self.groups, self.listeners, self.deadlines, self.rng, self.sticky_secret)
        self.figures = Figures(self.listeners, self.routes, self.groups, self.logbook, lambda: self.phase)
        self.administration = Administration(config.admin, self._open_admin, self.make_control)
        self._changeable = Changeable(self.groups, self.routes, self.listeners, self.logbook, self.administration)
        self._fill(config)

    def _fill(self, config: Config) -> None:
        for group in config.groups:
            self.groups.add(group)
        for route in config.routes:
            self.routes.add(route, self.shutdown_timeout_s / 2)
        for frontend in config.frontends:
            self.listeners.add_frontend(frontend, self.routes.values())
        for tcp in config.tcp:
            self.listeners.add_tcp(tcp, self.groups[tcp.group].group, self.routes.guards.overload)

    # What another kind of application makes otherwise.

    def make_group(self, settings: GroupSettings) -> RunningGroup:
        """A group that does not run yet."""
        running = RunningGroup(settings, self.deadlines, self.rng)
        running.drain_timeout_s = self.shutdown_timeout_s
        return running

    def make_listeners(self, inherited: InheritedSockets) -> Listeners:
        """What accepts clients; there is nothing in it yet."""
        return Listeners(self.deadlines, self.rng, self.logbook, inherited)

    def make_control(self) -> Control:
        """What operators may ask."""
        from wsproxy.control import ApplicationControl  # only where there are some: see `administration`
        from wsproxy.sessions import Sessions

        sessions = Sessions(self.routes, self.deadlines)
        return ApplicationControl(self, self.figures, self.groups, sessions, self.routes.caching)

    def _open_admin(self, settings: AdminSettings) -> list[socket.socket]:
        return self.listeners.open("admin", settings.host, settings.port)

    # What it is like.

    @property
    def phase(self) -> Phase:
        """Where in its life it is."""
        if self.ready:
            return "running"
        return "stopping" if self.listeners.have_started else "starting"

    @property
    def heir(self) -> int | None:
        """The process that is coming up in our place, if there is one."""
        return None if self.handover is None else self.handover.heir

    @property
    def services(self) -> TaskGroup:
        """What runs below the listeners, and ends after them."""
        if self._services is None:
            raise RuntimeError("the application is not running")
        return self._services

    @property
    def shutdown_timeout_s(self) -> float:
        """The longest that a frontend gives to what is in flight."""
        return shutdown_timeout_s(self.config)

    def listening_sockets(self) -> dict[str, list[socket.socket]]:
        """The sockets of each listener, by the name of its section."""
        return {**self.listeners.sockets, "admin": self.administration.sockets}

    # Its life.

    async def run(self, *, task_status: TaskStatus[list[str]] = anyio.TASK_STATUS_IGNORED) -> None:
        """Serve until SIGTERM or SIGINT, then drain. Raises BindError before anything is started.

        SIGHUP reloads; SIGUSR1 has the access log go on in a new file; SIGUSR2 starts a successor.

        `task_status` is given the addresses as `host:port` once connections are accepted.
        """
        self.bind()
        with anyio.open_signal_receiver(*OBEYED) as signals:
            await self.serve(StopSignals(signals, self), task_status)
        self.routes.close()
        self.say("stopped")

    def bind(self) -> None:
        """Open every listener. Raises BindError, with nothing left open."""
        failures: list[tuple[FrontendSettings | AdminSettings, str]] = [*self.listeners.bind()]
        try:
            self.administration.bind()
        except ListenError as error:
            failures += [] if self.config.admin is None else [(self.config.admin, str(error))]
        if failures:
            self.listeners.close()
            self.administration.close()
            raise BindError(failures)
        self.manager.forget(self.listeners.close_inherited())
        self.listeners.point_redirects()

    async def serve(self, stop: Stop, task_status: TaskStatus[list[str]]) -> None:
        """Serve on the sockets that were opened, until it is time to stop."""
        addresses = [f"{host}:{port}" for host, port in (s.getsockname()[:2] for s in self.listeners.reachable)]
        async with anyio.create_task_group() as self._services:
            self._start_services(self._services)
            if await self._comes_up(stop.wait):
                if self.replaces_another:  # until now that one answers operators and probes, who want one that serves
                    self._services.start_soon(self.administration.run)
                async with self.listeners.serving():
                    self.say("listening on %s", ", ".join(addresses))
                    self.ready = True
                    self._say_ready()
                    task_status.started(addresses)
                    if self.handover is not None:
                        self._services.start_soon(self.handover.run)
                    await stop.wait(reloads=True)
                    await self.say_goodbye(stop.wait)
                    await self.drain(stop.wait)
            else:
                self.listeners.close()
            self._services.cancel_scope.cancel()

    def _start_services(self, services: TaskGroup) -> None:
        services.start_soon(self.deadlines.run)
        services.start_soon(self.manager.run)
        self.logbook.start(services)
        services.start_soon(self.figures.lag.run)
        if not self.replaces_another:
            services.start_soon(self.administration.run)
        services.start_soon(self.routes.run)
        services.start_soon(self.groups.run)

    async def come_up(self) -> None:
        """Wait for what clients need besides this process: managed servers, for a time."""
        with anyio.move_on_after(MANAGED_START_S):
            await self.groups.until_ready()
        if self.handover is not None:
            await self.handover.take_over_changes()

    async def _comes_up(self, next_signal: Callable[[], Awaitable[object]]) -> bool:
        """Wait until clients can be served; False when a signal came first."""
        up = True

        async def give_up() -> None:
            nonlocal up
            await next_signal()
            up = False
            _logger.info("stopping before it was up")
            waiting.cancel_scope.cancel()

        async with anyio.create_task_group() as waiting:
            waiting.start_soon(give_up)
            await self.come_up()
            waiting.cancel_scope.cancel()
        return up

    async def say_goodbye(self, next_signal: Callable[[], Awaitable[object]]) -> None:
        """Be no longer ready, and go on for `drain_delay`, so that those who send clients here learn it first."""
        self.ready = False
        if self.successor is not None:  # who sends clients here goes on doing so
            return
        delay_s = max(settings.drain_delay_s or 0.0 for settings in self.config.listeners)
        self.manager.stopping(f"stopping within {delay_s + self.shutdown_timeout_s:g} s")
        if delay_s:
            _logger.info("stopping: not ready any more, but accepting for %g s", delay_s)
            with anyio.move_on_after(delay_s):
                await next_signal()

    async def drain(self, next_signal: Callable[[], Awaitable[object]]) -> None:
        """Let what is in flight end; at the deadline or at a second signal end it."""
        self.say("stopping: finishing what is in flight within %g s", self.shutdown_timeout_s)
        await self.listeners.drain(self.shutdown_timeout_s, self.successor is not None, next_signal)

    # Another configuration.

    async def reload(self, dry_run: bool = False) -> Plan:
        """Take over the configuration as it is now, or only say what that would change.

        Raises ConfigError, ReloadError: then nothing has changed. Certificates are read anew in any case.
        """
        if self._read is None:
            raise ReloadError("this configuration came from no file")
        async with self.reloading:
            if dry_run:
                return make_plan(self.config, await read_aside(self._read))
            self.manager.reloading()
            try:
                if self.heir is not None:
                    raise ReloadError(f"process {self.heir} is taking over, with the file as it has found it")
                with self.figures.reloads.counting():
                    change = self.make_reload(await read_aside(self._read))
                    await self.carry_out(change)
            finally:
                self._say_ready()
            return change.plan

    def make_reload(self, config: Config) -> Reload:
        """What leads from the configuration in force to another one."""
        return Reload(self._changeable, self.config, config)

    async def carry_out(self, change: Reload) -> None:
        """Do what a reload wants, whole or not at all. Raises ReloadError when nothing was changed."""
        change.prepare()
        await self.commit(change)

    async def commit(self, change: Reload) -> None:
        """Do what a reload has prepared."""
        for line in change.plan.lines():
            self.say("reload: %s", line)
        for key in change.unheeded:
            self.warn("'%s' has changed: that takes a restart, or an upgrade (SIGUSR2)", key)
        await change.commit()
        self.config = change.new

    # What it is told, and says.

    def upgrade(self) -> None:
        """Start a successor."""
        if self.handover is None or not self.ready:
            _logger.warning("SIGUSR2: no successor can be started now")
        else:
            self.handover.upgrade()

    def reopen_logs(self) -> None:
        """Write to new files: the old ones have been renamed."""
        self.logbook.reopen()

    def say(self, message: str, *arguments: object) -> None:
        """Log what concerns the proxy as a whole."""
        _logger.info(message, *arguments)

    def warn(self, message: str, *arguments: object) -> None:
        """The same for what somebody should look into."""
        _logger.warning(message, *arguments)

    def _say_ready(self) -> None:
        status = f"serving {len(self.routes)} routes of {self.config.source}"
        self.manager.ready(status, self.listeners.reachable)
