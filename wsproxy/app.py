"""Assembly: a Config becomes listeners, routes, backends and checkers; start, drain, stop.

Builds objects and holds no logic of its own about requests, health or processes.
"""

from __future__ import annotations

import logging
import random
import secrets
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

import anyio
from anyio.abc import TaskGroup, TaskStatus

from wsproxy.administration import Administration
from wsproxy.balancing.algorithms import make_policy
from wsproxy.balancing.policy import Policy
from wsproxy.caching import Caching
from wsproxy.config.diff import Plan, make_plan
from wsproxy.config.model import (
    AdminSettings,
    Config,
    FrontendSettings,
    GroupSettings,
    LogSettings,
    TcpSettings,
)
from wsproxy.frontend.frontend import Frontend
from wsproxy.frontend.tcp import TcpFrontend
from wsproxy.guards import Guards
from wsproxy.logbook import Logbook
from wsproxy.net.deadlines import Deadlines
from wsproxy.net.listen import ListenError, open_sockets
from wsproxy.net.systemd import InheritedSockets, ServiceManager
from wsproxy.net.tls import TlsIdentities
from wsproxy.observe.access import AccessLog
from wsproxy.reload import Reload, ReloadError, read_aside
from wsproxy.remembering import Remembering
from wsproxy.routes import RouteMaker
from wsproxy.running import RunningGroup
from wsproxy.signals import OBEYED, Stop, StopSignals

if TYPE_CHECKING:
    from wsproxy.admin.control import Control
    from wsproxy.supervisor.takeover import Handover

MANAGED_START_S = 15.0
"""How long accepting waits for managed servers to answer, so that the first request after a start finds them."""

_logger = logging.getLogger("wsproxy")


class BindError(Exception):
    """Some sockets could not be opened; `failures` are (frontend or admin, reason)."""

    def __init__(self, failures: list[tuple[FrontendSettings | AdminSettings, str]]) -> None:
        super().__init__("; ".join(reason for _, reason in failures))
        self.failures = failures


class Application:
    """Everything one process runs for one Config.

    frontend_by_name, routes, groups: as they are now. retired: frontends whose place another has taken, until their
    last connection ends. read: reads the configuration anew for a reload. ready: whether new clients are welcome, which
    ends `drain_delay` before they are turned away. sticky_secret: signs cookies where a route has no secret of its own;
    b"" for one that nobody knows. replaces_another: whether a proxy that runs is to leave once this one serves.
    reloading: held meanwhile. handover: to a successor, None for none; successor: its process, once it serves.
    What one of several processes does otherwise is in `supervisor`.
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
        self.logbook = Logbook(config.log)
        self.guards = Guards(self, config.overload)
        self.remembering = Remembering()
        self.groups = {settings.name: self.make_group(settings) for settings in config.groups}
        self.caching = Caching(config.cache)
        self.route_maker = RouteMaker(
            self.groups, self.deadlines, self.rng, self.guards, self.caching, self.remembering, self.sticky_secret
        )
        drain_s = self.shutdown_timeout_s / 2
        self.routes = {settings.name: self.route_maker.make(settings, drain_s) for settings in config.routes}
        self.frontend_by_name = {settings.name: self.make_frontend(settings) for settings in config.frontends}
        self.tcp_by_name = {settings.name: self.make_tcp(settings) for settings in config.tcp}
        self.retired: list[Frontend | TcpFrontend] = []
        self.ready = False
        self._read = read
        self.manager = manager or ServiceManager()
        self._inherited = inherited or InheritedSockets()
        self.replaces_another = self._inherited.are_in_use
        self.reloading = anyio.Lock()
        self._services: TaskGroup | None = None
        self._listeners: TaskGroup | None = None
        self.handover: Handover | None = None
        self.successor: int | None = None
        self.administration = Administration(self)

    # What a reload makes as well.

    def make_frontend(self, settings: FrontendSettings) -> Frontend:
        """A frontend that does not listen yet. Raises TlsError, ErrorPageError for files that cannot be used."""
        identities = TlsIdentities(settings.certificates) if settings.certificates else None
        return Frontend(settings, self.routes.values(), self.deadlines, self.logbook.access, identities)

    def make_tcp(self, settings: TcpSettings) -> TcpFrontend:
        """A TCP listener that does not listen yet, of a group that is there. Raises TlsError."""
        group = self.groups[settings.group].group
        certificates = settings.listener.certificates
        identities = TlsIdentities(certificates) if certificates else None
        frontend = TcpFrontend(settings, group, self.make_policy(settings.algorithm), self.deadlines, identities)
        frontend.access, frontend.overload = self.logbook.access, self.guards.overload
        return frontend

    def make_policy(self, algorithm: str) -> Policy:
        """A policy of its own for each who chooses."""
        return make_policy(algorithm, self.rng)

    def make_group(self, settings: GroupSettings) -> RunningGroup:
        """A group that does not run yet."""
        running = RunningGroup(settings, self.deadlines, self.rng)
        running.drain_timeout_s = self.shutdown_timeout_s
        return running

    def make_control(self) -> Control:
        """What operators may ask."""
        from wsproxy.control import ApplicationControl  # only where there are some: see `administration`

        return ApplicationControl(self, self.administration.figures)

    def start_group(self, settings: GroupSettings) -> RunningGroup:
        """Make a group and run it."""
        running = self.make_group(settings)
        self.services.start_soon(running.run)
        return running

    def open_listener(self, settings: FrontendSettings) -> list[socket.socket]:
        """The sockets of a frontend: inherited ones, else opened now. Raises ListenError."""
        inherited = self._inherited.take(settings.name, settings.host, settings.port)
        return inherited or open_sockets(settings.host, settings.port)

    def open_admin(self, settings: AdminSettings) -> list[socket.socket]:
        """The same for the admin listener."""
        return self._inherited.take("admin", settings.host, settings.port) or open_sockets(settings.host, settings.port)

    def start_frontend(self, frontend: Frontend | TcpFrontend, sockets: list[socket.socket]) -> None:
        """Accept on listening sockets."""
        if self._listeners is None:
            raise RuntimeError("the application is not running")
        frontend.sockets = sockets  # before it runs: others ask for its port
        self._listeners.start_soon(frontend.run, sockets)

    def listening_sockets(self) -> dict[str, list[socket.socket]]:
        """The sockets of each listener, by the name of its section."""
        found = {frontend.settings.name: frontend.sockets for frontend in self.listeners}
        return {**found, "admin": self.administration.sockets}

    @property
    def frontends(self) -> list[Frontend]:
        """Those that accept connections, in the order of the configuration."""
        return list(self.frontend_by_name.values())

    @property
    def listeners(self) -> list[Frontend | TcpFrontend]:
        """Everything that accepts clients, in the order of `Config.listeners`."""
        return [*self.frontends, *self.tcp_by_name.values()]

    @property
    def is_listening(self) -> bool:
        """Whether connections are accepted, or have been."""
        return self._listeners is not None

    @property
    def services(self) -> TaskGroup:
        """What runs below the listeners, and ends after them."""
        if self._services is None:
            raise RuntimeError("the application is not running")
        return self._services

    @property
    def shutdown_timeout_s(self) -> float:
        """The longest that a frontend gives to what is in flight."""
        return max(settings.shutdown_timeout_s for settings in self.config.listeners)

    # Its life.

    async def run(self, *, task_status: TaskStatus[list[str]] = anyio.TASK_STATUS_IGNORED) -> None:
        """Serve until SIGTERM or SIGINT, then drain. Raises BindError before anything is started.

        SIGHUP reloads; SIGUSR1 has the access log go on in a new file; SIGUSR2 starts a successor.

        `task_status` is given the addresses as `host:port` once connections are accepted.
        """
        bound = self.bind()
        with anyio.open_signal_receiver(*OBEYED) as signals:
            await self.serve(bound, StopSignals(signals, self), task_status)
        self.route_maker.close()
        self.say("stopped")

    async def serve(
        self, bound: list[list[socket.socket]], stop: Stop, task_status: TaskStatus[list[str]]
    ) -> None:
        """Serve on the sockets that each frontend has, until a signal says to stop."""
        addresses = [f"{host}:{port}" for sockets in bound for host, port in (s.getsockname()[:2] for s in sockets)]
        async with anyio.create_task_group() as self._services:
            self._services.start_soon(self.deadlines.run)
            self._services.start_soon(self.manager.run)
            self.logbook.start(self._services)
            self._services.start_soon(self.guards.run)
            self._services.start_soon(self.remembering.run)
            if not self.replaces_another:
                self._services.start_soon(self.administration.run)
            self._services.start_soon(self.caching.run)
            for running in self.groups.values():
                self._services.start_soon(running.run)
            if await self._comes_up(stop.wait):
                if self.replaces_another:  # until now that one answers operators and probes, who want one that serves
                    self._services.start_soon(self.administration.run)
                async with anyio.create_task_group() as self._listeners:
                    for frontend, sockets in zip(self.listeners, bound, strict=True):
                        self.start_frontend(frontend, sockets)
                    self.say("listening on %s", ", ".join(addresses))
                    self.ready = True
                    self.manager.ready(self._status, self._listening_sockets)
                    task_status.started(addresses)
                    if self.handover is not None:
                        self._services.start_soon(self.handover.run)
                    await stop.wait(reloads=True)
                    await self.say_goodbye(stop.wait)
                    await self.drain(self._listeners, stop.wait)
            else:
                _close(bound)
            self._services.cancel_scope.cancel()

    def use_log(self, settings: LogSettings, access: AccessLog | None) -> None:
        """Take over other settings of what is written, with the access log that was prepared for them."""
        self.logbook.use(settings, access)
        for frontend in (*self.listeners, *self.retired):
            frontend.access = access

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
                if self.handover is not None and self.handover.heir is not None:
                    raise ReloadError(f"process {self.handover.heir} is taking over, with the file as it has found it")
                with self.administration.figures.counting_reload():
                    change = Reload(self, await read_aside(self._read))
                    await self.carry_out(change)
            finally:
                self.manager.ready(self._status, self._listening_sockets)
            return change.plan

    async def carry_out(self, change: Reload) -> None:
        """Do what a reload wants, whole or not at all. Raises ReloadError when nothing was changed."""
        change.prepare()
        await change.commit()

    def bind(self) -> list[list[socket.socket]]:
        """Open every listener; the sockets of each frontend. Raises BindError, with nothing left open."""
        bound: list[list[socket.socket]] = []
        failures: list[tuple[FrontendSettings | AdminSettings, str]] = []
        for settings in self.config.listeners:
            try:
                bound.append(self.open_listener(settings))
            except ListenError as error:
                failures.append((settings, str(error)))
        try:
            self.administration.bind()
        except ListenError as error:
            failures += [] if self.config.admin is None else [(self.config.admin, str(error))]
        if failures:
            _close(bound)
            self.administration.close()
            raise BindError(failures)
        for frontend, sockets in zip(self.listeners, bound, strict=True):
            frontend.sockets = sockets
        self.manager.forget(self._inherited.close())
        self.point_redirects()
        return bound

    def point_redirects(self) -> None:
        """Redirects lead to the first frontend with a certificate, at the port that it really has."""
        secure = (frontend for frontend in self.frontends if frontend.settings.certificates)
        https_port = next((frontend.sockets[0].getsockname()[1] for frontend in secure), None)
        for frontend in self.frontends:
            frontend.https_port = https_port if frontend.settings.redirect_https else None

    async def come_up(self) -> None:
        """Wait for what clients need besides this process: managed servers, for a time."""
        with anyio.move_on_after(MANAGED_START_S):
            for running in self.groups.values():
                await running.ready.wait()

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

    def reopen_logs(self) -> None:
        """Write to new files: the old ones have been renamed."""
        self.logbook.reopen()

    def say(self, message: str, *arguments: object) -> None:
        """Log what concerns the proxy as a whole."""
        _logger.info(message, *arguments)

    def warn(self, message: str, *arguments: object) -> None:
        """The same for what somebody should look into."""
        _logger.warning(message, *arguments)

    @property
    def _listening_sockets(self) -> Iterator[socket.socket]:
        return (each for frontend in self.listeners for each in frontend.sockets if each.fileno() >= 0)

    @property
    def _status(self) -> str:
        return f"serving {len(self.routes)} routes of {self.config.source}"

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

    async def drain(self, listeners: TaskGroup, next_signal: Callable[[], Awaitable[object]]) -> None:
        """Let what is in flight end; at the deadline or at a second signal end it."""
        timeout_s = self.shutdown_timeout_s
        self.say("stopping: finishing what is in flight within %g s", timeout_s)
        frontends = [*self.listeners, *self.retired]
        for frontend in frontends:
            if self.successor is None:
                frontend.stop()
            else:
                frontend.hand_over()
        async with anyio.create_task_group() as waiting:
            waiting.start_soon(self._give_up_on_signal, next_signal, waiting)
            with anyio.move_on_after(timeout_s):
                for frontend in frontends:
                    await frontend.ended.wait()
            waiting.cancel_scope.cancel()
        left = sum(frontend.connections for frontend in frontends)
        if left:
            _logger.warning("%d connections did not end in time and are cut", left)
            for frontend in frontends:
                frontend.abort()
            listeners.cancel_scope.cancel()

    async def _give_up_on_signal(self, next_signal: Callable[[], Awaitable[object]], waiting: TaskGroup) -> None:
        with suppress(StopAsyncIteration):
            await next_signal()
            _logger.warning("second signal: ending at once")
            waiting.cancel_scope.cancel()


def _close(bound: list[list[socket.socket]]) -> None:
    for sockets in bound:
        for listening in sockets:
            listening.close()
