"""The handover to a successor: our listening sockets over a unix socket, and who serves from when on.

Knows the predecessor's end of that socket. The successor gets the listeners, comes up beside us, and says when it
serves; only then do we stop accepting, drain and leave. Whatever goes wrong before that leaves us as we were.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import anyio

import wsproxy
from wsproxy.by_hand import changes_by_hand, repeat_changes
from wsproxy.supervisor.channel import Channel, ChannelError, RefusedError
from wsproxy.supervisor.exit_code import in_words
from wsproxy.supervisor.meeting import is_trusted, peer_of, wait_at
from wsproxy.supervisor.named_sockets import laid_out

if TYPE_CHECKING:
    from wsproxy.app import Application
    from wsproxy.supervisor.predecessor import Predecessor

READY_S: Final = 120.0
"""What a successor may take to come up: managed servers and processes among it."""

LOOK_S: Final = 0.2
"""How often a successor is looked at: whether it serves, and whether it has ended before it did."""

ACCEPT_AGAIN_S: Final = 1.0
"""Until another successor is waited for where the system could not let one in (too few descriptors)."""

_logger = logging.getLogger("wsproxy.takeover")


class Handover:
    """Waits for a successor of an application, once that serves; and starts one when asked to.

    path: of the unix socket. command: what starts a successor. heir: the process that is coming up in our place.
    """

    def __init__(self, app: Application, path: str, command: Sequence[str], predecessor: Predecessor | None) -> None:
        self._app = app
        self._path = path
        self._command = command
        self._predecessor = predecessor
        self._successor: subprocess.Popen[bytes] | None = None
        self.heir: int | None = None

    async def run(self) -> None:
        """Let the predecessor go, then wait for successors until one serves."""
        if self._predecessor is not None:
            self._predecessor.release()
        try:
            listening = wait_at(self._path)
        except OSError as error:
            _logger.warning("no successor can take over: %s: %s", self._path, error.strerror or error)
            return
        mine = os.stat(self._path).st_ino
        loop = asyncio.get_running_loop()
        try:
            while self._app.successor is None:
                try:
                    end, _ = await loop.sock_accept(listening)
                except OSError as error:
                    _logger.warning("a successor cannot come in: %s", error.strerror or error)
                    await anyio.sleep(ACCEPT_AGAIN_S)
                    continue
                await self._meet(end)
        finally:
            listening.close()
            with suppress(OSError):
                if os.stat(self._path).st_ino == mine:  # else it is the successor's
                    os.unlink(self._path)

    async def take_over_changes(self) -> None:
        """Have servers be as operators have left them with the predecessor."""
        if self._predecessor is not None and self._predecessor.changes:
            await repeat_changes(self._predecessor.changes, self._app.groups, self._app.make_control())

    async def _meet(self, end: socket.socket) -> None:
        """Hand over to whoever came, if that one comes to serve."""
        pid, user = peer_of(end)
        channel = Channel(end)
        try:
            if not is_trusted(user):
                _logger.warning("process %d of user %d may not take over", pid, user)
                return
            async with self._app.reloading:  # one that is under way may open others
                self.heir = pid
            await self._give(channel, pid)
            await _until_it_serves(channel)
        except (ChannelError, RefusedError) as error:
            _logger.error("process %d has not taken over (%s): going on", pid, error)
        else:
            _logger.info("process %d serves from now on", pid)
            self._leave_to(pid)
        finally:
            self.heir = None
            channel.close()

    async def _give(self, channel: Channel, pid: int) -> None:
        """Give our listeners away. Raises ChannelError, RefusedError."""
        names, listening = laid_out(self._app.listening_sockets())
        if any(each.fileno() < 0 for each in listening):
            raise ChannelError("we are stopping, and do not listen any more")
        _logger.info("process %d takes over", pid)
        body = {
            "listeners": names,
            "secret": self._app.sticky_secret.hex(),
            "version": wsproxy.__version__,
            "pid": os.getpid(),
            "changes": changes_by_hand(self._app.groups.values()),
        }
        await channel.ask("take", body, listening)

    def _leave_to(self, pid: int) -> None:
        """Another process accepts in our place from now on: drain, and end."""
        self._app.successor = pid
        self._app.manager.replaced(pid)
        self._app.administration.close_listener()
        if self._app.ready:  # else it is stopping already, and a second word would cut who is served
            signal.raise_signal(signal.SIGTERM)

    def upgrade(self) -> None:
        """Start a successor: the same command, of whatever version is installed now."""
        if os.getpid() == 1:
            _logger.warning("SIGUSR2: a container ends with its first process: replace the container")
            return
        if self._successor is not None and self._successor.poll() is None:
            _logger.warning("a successor is on its way already (process %d)", self._successor.pid)
            return
        environment = {**os.environ, **self._app.manager.for_successor}
        try:
            self._successor = subprocess.Popen(  # noqa: S603 - our own command line
                self._command, stdin=subprocess.DEVNULL, env=environment, start_new_session=True
            )
        except OSError as error:
            _logger.error("no successor can be started: %s", error)
            return
        _logger.info("upgrading: process %d is to take over", self._successor.pid)
        self._app.services.start_soon(self._watch, self._successor)

    async def _watch(self, successor: subprocess.Popen[bytes]) -> None:
        while successor.poll() is None:  # noqa: ASYNC110 - of a process that outlives us there is no event
            await anyio.sleep(LOOK_S)
        if self._app.successor != successor.pid:
            _logger.error("the successor has ended (%s) before it served: going on", in_words(successor.returncode))


def successor_command() -> list[str]:
    """What this process was started with, and that it is to take over."""
    own = [sys.executable, *sys.orig_argv[1:]]
    return own if "--takeover" in own else [*own, "--takeover"]


async def _until_it_serves(channel: Channel) -> None:
    """Ask until the successor says so. Raises ChannelError when it is gone, or takes too long."""
    with anyio.move_on_after(READY_S):
        while not (await channel.ask("serve", timeout_s=READY_S)).get("serves", True):  # noqa: ASYNC110 - it is asked
            await anyio.sleep(LOOK_S)
        return
    raise ChannelError(f"it does not serve after {READY_S:g} s")
