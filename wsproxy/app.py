"""Assembly: a Config becomes listeners, routes, backends and checkers; start, drain, stop.

Builds objects and holds no logic of its own about requests, health or processes.
"""

from __future__ import annotations

import logging
import random
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress

import anyio
from anyio.abc import TaskGroup, TaskStatus

from wsproxy.balancing.algorithms import make_policy
from wsproxy.config.model import Config, FrontendSettings, RouteSettings
from wsproxy.frontend.frontend import Frontend
from wsproxy.frontend.relays import Relays
from wsproxy.frontend.route import Route
from wsproxy.net.deadlines import Deadlines
from wsproxy.net.listen import ListenError, open_sockets
from wsproxy.net.tls import TlsIdentities
from wsproxy.observe.access import AccessLog
from wsproxy.running import RunningGroup

MANAGED_START_S = 15.0
"""How long accepting waits for managed servers to answer, so that the first request after a start finds them."""

_logger = logging.getLogger("wsproxy")


class BindError(Exception):
    """Some sockets could not be opened; `failures` are (frontend, reason)."""

    def __init__(self, failures: list[tuple[FrontendSettings, str]]) -> None:
        super().__init__("; ".join(reason for _, reason in failures))
        self.failures = failures


class Application:
    """Everything one process runs for one Config."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.deadlines = Deadlines()
        self.access: AccessLog | None = None
        if config.log.access != "off":
            out = sys.stdout if config.log.access == "stdout" else open(config.log.access, "a", encoding="utf-8")  # noqa: SIM115
            self.access = AccessLog(out)
        rng = random.Random()
        self.groups = {settings.name: RunningGroup(settings, self.deadlines, rng) for settings in config.groups}
        routes = [self._route(settings, rng) for settings in config.routes]
        self.frontends = [self._frontend(settings, routes) for settings in config.frontends]

    def _frontend(self, settings: FrontendSettings, routes: list[Route]) -> Frontend:
        identities = TlsIdentities(settings.certificates) if settings.certificates else None
        return Frontend(settings, routes, self.deadlines, self.access, identities)

    def _route(self, settings: RouteSettings, rng: random.Random) -> Route:
        group = self.groups[settings.group].group
        relays: Relays | None = None
        if settings.kind == "websocket":
            relays = Relays(settings, group, self.deadlines, rng, self._shutdown_timeout_s / 2)
        return Route(settings, group, make_policy(settings.algorithm, rng), relays)

    @property
    def _shutdown_timeout_s(self) -> float:
        return max(settings.shutdown_timeout_s for settings in self.config.frontends)

    async def run(self, *, task_status: TaskStatus[list[str]] = anyio.TASK_STATUS_IGNORED) -> None:
        """Serve until SIGTERM or SIGINT, then drain. Raises BindError before anything is started.

        `task_status` is given the addresses as `host:port` once connections are accepted.
        """
        bound = self._bind()
        addresses = [f"{host}:{port}" for sockets in bound for host, port in (s.getsockname()[:2] for s in sockets)]
        with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            async with anyio.create_task_group() as services:
                services.start_soon(self.deadlines.run)
                if self.access is not None:
                    services.start_soon(self.access.run)
                for running in self.groups.values():
                    services.start_soon(running.run)
                if await self._managed_are_up(signals.__anext__):
                    async with anyio.create_task_group() as listeners:
                        for frontend, sockets in zip(self.frontends, bound, strict=True):
                            listeners.start_soon(frontend.run, sockets)
                        _logger.info("listening on %s", ", ".join(addresses))
                        task_status.started(addresses)
                        await anext(signals)
                        await self._drain(listeners, signals.__anext__)
                else:
                    _close(bound)
                services.cancel_scope.cancel()
        _logger.info("stopped")

    def _bind(self) -> list[list[socket.socket]]:
        bound: list[list[socket.socket]] = []
        failures: list[tuple[FrontendSettings, str]] = []
        for settings in self.config.frontends:
            try:
                bound.append(open_sockets(settings.host, settings.port))
            except ListenError as error:
                failures.append((settings, str(error)))
        if failures:
            _close(bound)
            raise BindError(failures)
        self._point_redirects(bound)
        return bound

    def _point_redirects(self, bound: list[list[socket.socket]]) -> None:
        """Redirects lead to the first frontend with a certificate, at the port that it really has."""
        ports = [sockets[0].getsockname()[1] for sockets in bound]
        pairs = list(zip(self.frontends, ports, strict=True))
        https_port = next((port for frontend, port in pairs if frontend.settings.certificates), None)
        for frontend, _ in pairs:
            if frontend.settings.redirect_https:
                frontend.https_port = https_port

    async def _managed_are_up(self, next_signal: Callable[[], Awaitable[object]]) -> bool:
        """Wait for managed servers, for a time; False when a signal came first."""
        up = True

        async def give_up() -> None:
            nonlocal up
            await next_signal()
            up = False
            _logger.info("stopping before the managed servers answered")
            waiting.cancel_scope.cancel()

        async with anyio.create_task_group() as waiting:
            waiting.start_soon(give_up)
            with anyio.move_on_after(MANAGED_START_S):
                for running in self.groups.values():
                    await running.ready.wait()
            waiting.cancel_scope.cancel()
        return up

    async def _drain(self, listeners: TaskGroup, next_signal: Callable[[], Awaitable[object]]) -> None:
        """Let what is in flight end; at the deadline or at a second signal end it."""
        timeout_s = self._shutdown_timeout_s
        _logger.info("stopping: finishing what is in flight within %g s", timeout_s)
        for frontend in self.frontends:
            frontend.stop()
        async with anyio.create_task_group() as waiting:
            waiting.start_soon(self._give_up_on_signal, next_signal, waiting)
            with anyio.move_on_after(timeout_s):
                for frontend in self.frontends:
                    await frontend.ended.wait()
            waiting.cancel_scope.cancel()
        left = sum(len(frontend.sessions) + len(frontend.relays) for frontend in self.frontends)
        if left:
            _logger.warning("%d connections did not end in time and are cut", left)
            for frontend in self.frontends:
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
