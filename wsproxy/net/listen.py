"""Listening sockets and our own accept loop.

Knows sockets and limits; a connection is handed to `serve` as a Stream, in a task of the listener's own group. The loop
is ours because at the descriptor limit uvloop's `create_server` accepts and drops (75 of 100 clients in a test), and
that of asyncio spins; here the limit, of descriptors or of `max_connections`, stops the reading of the socket, so that
clients wait in its backlog.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from wsproxy.net.accepted import connect
from wsproxy.net.descriptors import EXHAUSTED, DescriptorReserve
from wsproxy.net.stream import Stream
from wsproxy.net.turns import AcceptTurn

BACKLOG: Final = 4096
"""Connections the kernel holds for us: a burst of thousands must not be refused (the kernel cuts it to somaxconn)."""

ACCEPTS_A_WAKEUP: Final = 64
"""Accepted in one go, so that a flood of newcomers does not starve those who are served."""

DESCRIPTOR_PAUSE_S: Final = 0.1
"""Pause of accepting when descriptors or memory have run out, unless a connection ends earlier."""

LATE_S: Final = 0.02
"""By how much the look after others were let go first may come late, on a busy loop; later they are let again."""

NOT_HERE: Final = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})
"""This machine has no such address, or no such kind of address."""

WARN_EVERY_S: Final = 60.0
"""At the limit accepting pauses and resumes with each connection that ends: worth a line, but not one for each."""


_logger = logging.getLogger("wsproxy.listen")


class Successor(Protocol):
    """What a connection has become when `serve` is done with it."""

    async def run(self, tasks: asyncio.TaskGroup) -> None:
        """Run to the connection's end; what it needs besides the caller's task is one of `tasks`."""
        ...


Serve = Callable[[Stream], Awaitable[Successor | None]]
"""Serves a connection to its end, or until a successor does, beside which what served before takes no memory."""


class Entrance(Protocol):
    """What a connection passes through before it is served."""

    async def open(self, accepted: socket.socket, stream: Stream) -> None:
        """Connect the stream to the socket. Raises OSError when the connection ends here, with the socket closed."""
        ...

    def leave(self, stream: Stream) -> None:
        """The connection is over, whether it came in or not."""
        ...

    def close(self) -> None:
        """End the connections that have not come in yet."""
        ...


class ListenError(Exception):
    """A listening socket could not be opened; str() names the address and the reason."""


def open_sockets(host: str, port: int) -> list[socket.socket]:
    """Bind and listen on every address that `host` stands for and this machine has. Raises ListenError.

    `localhost` stands for ::1 too on most machines, those without IPv6 (many containers) included.
    """
    sockets: list[socket.socket] = []
    not_here: OSError | None = None
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, _, _, _, address in dict.fromkeys(found):
            try:
                sockets.append(_listening(family, address))
            except OSError as error:
                if error.errno not in NOT_HERE:
                    raise
                not_here = error
        if not_here is not None and not sockets:
            raise not_here
    except OSError as error:
        for listening in sockets:
            listening.close()
        raise ListenError(f"cannot listen on {host}:{port}: {error.strerror or error}") from None
    return sockets


def _listening(family: int, address: tuple[object, ...]) -> socket.socket:
    """One socket that listens. Raises OSError, with nothing left open."""
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listening.setblocking(False)
        listening.bind(address)
        listening.listen(BACKLOG)
    except OSError:
        listening.close()
        raise
    return listening


class Listener:
    """Accepts on its sockets while there is room, and owns the tasks of the connections it accepted.

    turn: of this process, where others wait at the same sockets.
    """

    def __init__(
        self,
        name: str,
        sockets: list[socket.socket],
        serve: Serve,
        max_connections: int,
        entrance: Entrance | None = None,
    ) -> None:
        self.name = name
        self.connections = 0
        self.accepted = 0
        self._sockets = sockets
        self._serve = serve
        self._max_connections = max_connections
        self._entrance = entrance
        self._accepting = False
        self._reserve = DescriptorReserve()
        self._is_short = False  # of descriptors, when last looked at
        self._closed = asyncio.Event()
        self._warned_at = -WARN_EVERY_S
        self._resume_timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self._tasks: asyncio.TaskGroup | None = None
        self.turn: AcceptTurn | None = None
        self._yields_until = 0.0

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Host and port of each socket, as bound."""
        return [listening.getsockname()[:2] for listening in self._sockets]

    @property
    def tasks(self) -> asyncio.TaskGroup:
        """The group that sessions and their relays live in; only while `run` runs."""
        if self._tasks is None:
            raise RuntimeError("the listener is not running")
        return self._tasks

    async def run(self) -> None:
        """Accept until `close`, then wait for the connections that are left."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            self._resume()
            try:
                await self._closed.wait()
            finally:
                if not self._closed.is_set():
                    self.close()

    def use_limit(self, max_connections: int) -> None:
        """Take over another `max_connections`; those over a lower one stay."""
        self._max_connections = max_connections
        self._resume()

    def close(self, lets_in: bool = False) -> None:
        """Stop accepting and close the listening sockets; connections that are served go on.

        lets_in: so do those that have not come in yet, until `close` without it.
        """
        self._pause()
        if self._entrance is not None and not lets_in:
            self._entrance.close()
        for listening in self._sockets:
            listening.close()
        self._closed.set()

    def _resume(self) -> None:
        if self._resume_timer is not None:
            self._resume_timer.cancel()
            self._resume_timer = None
        if self._accepting or self._closed.is_set() or self.connections >= self._max_connections:
            return
        if self._is_short:
            self._is_short = self._reserve.is_touched()
        if self._is_short:
            self._resume_timer = self._loop.call_later(DESCRIPTOR_PAUSE_S, self._resume)
        else:
            self._accepting = True
            for listening in self._sockets:
                self._loop.add_reader(listening.fileno(), self._accept, listening)

    def _pause(self) -> None:
        if self._resume_timer is not None:
            self._resume_timer.cancel()
            self._resume_timer = None
        if self._accepting:
            self._accepting = False
            for listening in self._sockets:
                self._loop.remove_reader(listening.fileno())

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(ACCEPTS_A_WAKEUP):
            if self.connections >= self._max_connections:
                self._warn(f"{self.connections} connections, the limit (max_connections)")
                self._pause()
                return
            if self.turn is not None and not self._is_my_turn(self.turn):
                return
            try:
                accepted, _ = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in EXHAUSTED:
                    _logger.warning("%s: accept failed: %s", self.name, error.strerror)
                    return
                self._wait_for_descriptors(error.strerror or str(error))
                return
            accepted.setblocking(False)
            self.connections += 1
            self.accepted += 1
            self.tasks.create_task(self._run_connection(accepted))
            if self.turn is not None:
                self.turn.enter()
            if self._reserve.is_touched_by(accepted.fileno()):
                self._wait_for_descriptors("few file descriptors are left (ulimit -n)")
                return

    def _is_my_turn(self, turn: AcceptTurn) -> bool:
        """Whether to take the next client; another process that should is given a moment to."""
        if turn.is_mine():
            return True
        now = self._loop.time()
        if self._yields_until <= now < self._yields_until + LATE_S:
            self._yields_until = 0.0
            turn.has_yielded()
            return True
        yield_s = turn.yield_s()
        self._yields_until = now + yield_s
        self._pause()
        self._resume_timer = self._loop.call_later(yield_s, self._resume)
        return False

    def _wait_for_descriptors(self, reason: str) -> None:
        self._warn(reason)
        self._pause()
        self._is_short = True
        self._resume_timer = self._loop.call_later(DESCRIPTOR_PAUSE_S, self._resume)

    def _warn(self, reason: str) -> None:
        now = self._loop.time()
        if now - self._warned_at >= WARN_EVERY_S:
            self._warned_at = now
            _logger.warning("%s: %s: accepting pauses, clients wait in the backlog", self.name, reason)

    async def _run_connection(self, accepted: socket.socket) -> None:
        stream = Stream(self._loop)
        try:
            if self._entrance is None:
                await connect(accepted, stream)
            else:
                await self._entrance.open(accepted, stream)
            successor = await self._serve(stream)
            if successor is not None:
                await successor.run(self.tasks)
        except OSError as error:  # the client was gone before we looked
            _logger.debug("%s: connection ended early: %s", self.name, error)
        except Exception:  # a bug in one session must not end the listener and every other session
            _logger.exception("%s: internal error in a session", self.name)
        finally:
            stream.close()
            if self._entrance is not None:
                self._entrance.leave(stream)
            self.connections -= 1
            if self.turn is not None:
                self.turn.leave()
            self._resume()
