"""Assembly: what accepts clients, of HTTP and of TCP: made, opened, started, replaced, drained.

Knows frontends and listening sockets, those of before a reload too. What a client wants is the frontends' business.
"""

from __future__ import annotations

import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final

import anyio
from anyio.abc import TaskGroup

from wsproxy.backend.group import Group
from wsproxy.balancing.algorithms import make_policy
from wsproxy.config.model import Config, FrontendSettings, TcpSettings
from wsproxy.frontend.frontend import Frontend
from wsproxy.frontend.overload import Overload
from wsproxy.frontend.route import Route
from wsproxy.frontend.tcp import TcpFrontend
from wsproxy.logbook import Logbook
from wsproxy.net.deadlines import Deadlines
from wsproxy.net.listen import ListenError, open_sockets
from wsproxy.net.systemd import InheritedSockets
from wsproxy.net.tls import TlsIdentities
from wsproxy.net.turns import AcceptTurn

if TYPE_CHECKING:
    import socket

CUT_S: Final = 0.5
"""What connections that are cut have to come to their end and be taken note of: some turns of the loop, usually."""

_logger = logging.getLogger("wsproxy")


class Listeners:
    """The client side of an application.

    frontend_by_name, tcp_by_name: those that accept, in the order of the configuration. retired: those whose place
    another has taken, until their last connection ends. turn: whose turn it is to accept, None where no other process
    has these sockets. have_started: whether connections are accepted, or have been. are_draining: whether none is any
    more.
    """

    def __init__(self, deadlines: Deadlines, rng: random.Random, logbook: Logbook, inherited: InheritedSockets) -> None:
        self._deadlines = deadlines
        self._rng = rng
        self._logbook = logbook
        self._inherited = inherited
        self._tasks: TaskGroup | None = None
        self.frontend_by_name: dict[str, Frontend] = {}
        self.tcp_by_name: dict[str, TcpFrontend] = {}
        self.retired: list[Frontend | TcpFrontend] = []
        self.turn: AcceptTurn | None = None
        self.are_draining = False

    # Who they are.

    @property
    def frontends(self) -> list[Frontend]:
        """Those of HTTP that accept connections."""
        return list(self.frontend_by_name.values())

    @property
    def accepting(self) -> list[Frontend | TcpFrontend]:
        """Everything that accepts clients, in the order of `Config.listeners`."""
        return [*self.frontend_by_name.values(), *self.tcp_by_name.values()]

    @property
    def all(self) -> list[Frontend | TcpFrontend]:
        """Everything that has clients, or may get some."""
        return [*self.accepting, *self.retired]

    @property
    def sockets(self) -> dict[str, list[socket.socket]]:
        """Those of each listener, by the name of its section."""
        return {frontend.settings.name: frontend.sockets for frontend in self.accepting}

    @property
    def reachable(self) -> Iterator[socket.socket]:
        """The sockets that clients can reach."""
        return (each for sockets in self.sockets.values() for each in sockets if each.fileno() >= 0)

    @property
    def connections(self) -> int:
        """Those of clients, now."""
        return sum(frontend.connections for frontend in self.all)

    @property
    def have_started(self) -> bool:
        """Whether connections are accepted, or have been."""
        return self._tasks is not None

    # Making them.

    def add_frontend(self, settings: FrontendSettings, routes: Iterable[Route]) -> None:
        """Have a frontend. Raises TlsError, ErrorPageError for files that cannot be used."""
        self.frontend_by_name[settings.name] = self.make_frontend(settings, routes)

    def add_tcp(self, settings: TcpSettings, group: Group, overload: Overload) -> None:
        """Have a TCP listener. Raises TlsError."""
        self.tcp_by_name[settings.name] = self.make_tcp(settings, group, overload)

    def make_frontend(self, settings: FrontendSettings, routes: Iterable[Route]) -> Frontend:
        """A frontend that does not listen yet. Raises TlsError, ErrorPageError for files that cannot be used."""
        return Frontend(settings, routes, self._deadlines, self._logbook.access, _identities(settings))

    def make_tcp(self, settings: TcpSettings, group: Group, overload: Overload) -> TcpFrontend:
        """A TCP listener that does not listen yet; it keeps to the budget of the process. Raises TlsError."""
        policy = make_policy(settings.algorithm, self._rng)
        frontend = TcpFrontend(settings, group, policy, self._deadlines, _identities(settings.listener))
        frontend.use_access(self._logbook.access)
        frontend.overload = overload
        return frontend

    def change_tcp(self, frontend: TcpFrontend, settings: TcpSettings, group: Group) -> None:
        """Have a TCP listener go by other settings, where they or its group are others."""
        if frontend.tcp != settings or frontend.group is not group:
            frontend.use(settings, group, make_policy(settings.algorithm, self._rng))

    # Having them accept.

    def open(self, name: str, host: str, port: int) -> list[socket.socket]:
        """The listening sockets of a section: inherited ones, else opened now. Raises ListenError."""
        return self._inherited.take(name, host, port) or open_sockets(host, port)

    def bind(self) -> list[tuple[FrontendSettings, str]]:
        """Open all; what could not be opened, and why."""
        failures: list[tuple[FrontendSettings, str]] = []
        for frontend in self.accepting:
            settings = frontend.settings
            try:
                frontend.sockets = self.open(settings.name, settings.host, settings.port)
            except ListenError as error:
                failures.append((settings, str(error)))
        return failures

    def close(self) -> None:
        """Close sockets that nobody accepts on."""
        for listening in self.reachable:
            listening.close()

    def close_inherited(self) -> list[str]:
        """Everything is open: close what was inherited and no section wants; what of it was kept for us."""
        return self._inherited.close()

    def point_redirects(self) -> None:
        """Redirects lead to the first frontend with a certificate, at the port that it really has."""
        secure = (frontend for frontend in self.frontends if frontend.settings.certificates)
        https_port = next((frontend.sockets[0].getsockname()[1] for frontend in secure), None)
        for frontend in self.frontends:
            frontend.service.https_port = https_port if frontend.settings.redirect_https else None

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Accept from now on; the block's end waits for the last connections."""
        async with anyio.create_task_group() as self._tasks:
            for frontend in self.accepting:
                self.start(frontend, frontend.sockets)
            yield

    def start(self, frontend: Frontend | TcpFrontend, sockets: list[socket.socket]) -> None:
        """Accept on listening sockets."""
        if self._tasks is None:
            raise RuntimeError("the application is not running")
        frontend.turn = self.turn
        frontend.sockets = sockets  # before it runs: others ask for its port
        self._tasks.start_soon(frontend.run, sockets)

    def use_log(self) -> None:
        """Write access lines to the log that there is now."""
        for frontend in self.all:
            frontend.use_access(self._logbook.access)

    def retire(self, leaving: Iterable[Frontend | TcpFrontend]) -> None:
        """Others have taken their place: they serve until their last connection ends."""
        self.retired = [frontend for frontend in self.retired if not frontend.ended.is_set()]
        for frontend in leaving:
            frontend.retire()
            self.retired.append(frontend)

    # Their end.

    async def drain(self, timeout_s: float, is_replaced: bool, hurry: Callable[[], Awaitable[object]]) -> None:
        """Let what is in flight end; at the deadline, or when `hurry` returns, end it.

        is_replaced: another process accepts already, so that clients who come back are well served at once.
        """
        self.are_draining = True
        frontends = self.all
        for frontend in frontends:
            if is_replaced:
                frontend.hand_over()
            else:
                frontend.stop()
        async with anyio.create_task_group() as waiting:
            waiting.start_soon(_give_up, hurry, waiting)
            with anyio.move_on_after(timeout_s):
                for frontend in frontends:
                    await frontend.ended.wait()
            waiting.cancel_scope.cancel()
        left = self.connections
        if left:
            _logger.warning("%d connections did not end in time and are cut", left)
            for frontend in frontends:
                frontend.abort()
            with anyio.move_on_after(CUT_S):  # or what is cut stands in no access log
                for frontend in frontends:
                    await frontend.ended.wait()
            if self._tasks is not None:
                self._tasks.cancel_scope.cancel()


def shutdown_timeout_s(config: Config) -> float:
    """The longest that a listener gives to what is in flight."""
    return max(settings.shutdown_timeout_s for settings in config.listeners)


def _identities(settings: FrontendSettings) -> TlsIdentities | None:
    return TlsIdentities(settings.certificates) if settings.certificates else None


async def _give_up(hurry: Callable[[], Awaitable[object]], waiting: TaskGroup) -> None:
    with suppress(StopAsyncIteration):
        await hurry()
        _logger.warning("second signal: ending at once")
        waiting.cancel_scope.cancel()
