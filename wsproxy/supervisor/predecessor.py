"""Whom we take over from: its listening sockets, and what becomes of us when it does not wait, or ends.

Knows the successor's end of the unix socket; the other end is in `takeover`.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
from typing import TYPE_CHECKING, Final, Self

import anyio

import wsproxy
from wsproxy.net.systemd import is_bound, stored_name
from wsproxy.supervisor.channel import Body, Channel, RefusedError
from wsproxy.supervisor.meeting import is_trusted, peer_of
from wsproxy.supervisor.named_sockets import NamedSockets

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

MEET_S: Final = 10.0
"""What a predecessor may take to answer: longer, and its event loop hangs."""

ENDING_S: Final = 2.0
"""A process that was killed closes its sockets first, and has ended a moment later."""

_logger = logging.getLogger("wsproxy.takeover")


class TakeoverError(Exception):
    """We were to take over and may not, or cannot: the predecessor goes on; str() says why."""


class HandedSockets(NamedSockets):
    """The listeners of a predecessor, each for the section that has its address still."""

    are_in_use = True

    def take(self, name: str, host: str, port: int) -> list[socket.socket]:
        """Those of the section of this name, else those bound to its host and port; none where neither is there."""
        names = [name, *(other for other in self.by_name if other != name)]
        for each in names:
            sockets = self.by_name.get(each, [])
            is_same = each == name if not port else any(is_bound(bound, host, port) for bound in sockets)
            if sockets and is_same:
                return self.by_name.pop(each)
        return []

    def close(self) -> list[str]:
        """Close those that no section wants; the names that a service manager keeps them by."""
        names = [stored_name(each) for sockets in self.by_name.values() for each in sockets]
        super().close()
        return names


class Predecessor:
    """The proxy that we take over from.

    pid: of its process. sockets, secret: what it gave us. changes: what its operators have changed.
    """

    def __init__(self, channel: Channel, pid: int) -> None:
        self.pid = pid
        self.sockets = HandedSockets()
        self.secret = b""
        self.changes: object = None
        self._channel = channel
        self._met = anyio.Event()
        self._has_given = False
        self._serves = False
        self._has_heard = False  # that we serve
        self._life = anyio.CancelScope()

    @classmethod
    async def meet(cls, path: str, tasks: TaskGroup) -> Self | None:
        """Ask the proxy at `path` for its listeners; None when there is none, or it does not give them.

        In `tasks` a TakeoverError is raised when it withdraws them, having waited in vain for us to serve.
        """
        end = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        end.setblocking(False)  # the proxy there may hang: a full backlog is an error then
        try:
            end.connect(path)
            pid, user = peer_of(end)
            if not is_trusted(user):
                raise PermissionError(f"process {pid} of user {user} has it")
        except OSError as error:
            end.close()
            _logger.warning("nobody to take over from at %s (%s): starting anyway", path, error.strerror or error)
            return None
        predecessor = cls(Channel(end), pid)
        tasks.start_soon(predecessor._run)
        why = "does not answer"
        with anyio.move_on_after(MEET_S):
            await predecessor._met.wait()
            if predecessor._has_given:
                return predecessor
            why = "gives nothing away"
        _logger.warning("the proxy at %s %s: starting anyway", path, why)
        predecessor._life.cancel()
        return None

    def release(self) -> None:
        """We serve: it may go, as soon as it asks."""
        self._serves = True

    async def _run(self) -> None:
        with self._life:
            try:
                await self._channel.answer(self._answer)
            finally:
                self._channel.close()
                self._met.set()
            if self._has_given and not self._has_heard:
                await self._go_on_alone()

    async def _go_on_alone(self) -> None:
        """It is gone before it knew that we serve. Raises TakeoverError when it has withdrawn instead."""
        if await _is_ending(self.pid):
            _logger.warning("process %d has ended before we served: going on alone", self.pid)
        elif self._serves:  # at the last moment: whoever has come to us meanwhile is served
            _logger.error("process %d does not wait any more, and serves: stopping", self.pid)
            signal.raise_signal(signal.SIGTERM)
        else:
            raise TakeoverError(f"process {self.pid} does not wait for us any more, and serves")

    async def _answer(self, kind: str, body: Body, sockets: list[socket.socket]) -> Body:
        if kind == "take":
            self._take(body, sockets)
            return {}
        if kind != "serve":
            raise RefusedError(f"version {wsproxy.__version__} does not know '{kind}'")
        self._has_heard = self._serves
        return {"serves": self._serves}

    def _take(self, body: Body, sockets: list[socket.socket]) -> None:
        """Take what it gives. Raises RefusedError for what another version means by that."""
        try:
            secret = bytes.fromhex(body["secret"])
            self.sockets.give([str(name) for name in body["listeners"]], sockets)
        except (KeyError, TypeError, ValueError):
            for listening in sockets:
                listening.close()
            raise RefusedError(f"version {wsproxy.__version__} takes over in another way") from None
        finally:
            self._met.set()
        for listening in sockets:
            listening.setblocking(False)
        self.secret = secret
        self.changes = body.get("changes")
        self._has_given = True
        _logger.info("taking over from process %d (version %s)", self.pid, body.get("version", "unknown"))


async def _is_ending(pid: int) -> bool:
    """Whether a process has ended, or does so now."""
    try:
        descriptor = os.pidfd_open(pid)
    except OSError as error:
        return isinstance(error, ProcessLookupError)
    try:
        with anyio.move_on_after(ENDING_S):
            await anyio.wait_readable(descriptor)
            return True
        return False
    finally:
        os.close(descriptor)
