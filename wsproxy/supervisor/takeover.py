"""The handover from a proxy to its successor: listening sockets over a unix socket, and who serves from when on.

Knows two applications' ends of that socket. The successor gets the listeners, comes up beside its predecessor, and says
when it serves; only then does the predecessor stop accepting, drain and leave. Whatever goes wrong before that leaves
the predecessor as it was.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import socket
import stat
import struct
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import anyio

import wsproxy
from wsproxy.net.systemd import InheritedSockets, is_bound
from wsproxy.supervisor.channel import Body, Channel, ChannelError, RefusedError

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

    from wsproxy.app import Application

READY_S: Final = 120.0
"""What a successor may take to come up: managed servers and processes among it."""

MEET_S: Final = 10.0
"""What a predecessor may take to answer: longer, and its event loop hangs."""

LOOK_S: Final = 0.2
"""How often a successor of our own is looked at, in case it ends before it serves."""

LONGEST_PATH: Final = 100
"""The system's limit is 108 bytes with the final zero, on some 104."""

_CREDENTIALS: Final = struct.Struct("3i")  # pid, uid and gid of the peer (SO_PEERCRED)

_logger = logging.getLogger("wsproxy.takeover")


def usual_path(ini: str) -> str:
    """Where the proxy of an ini file waits for its successor, unless the file says otherwise.

    Below a directory that only its user may look into; raises OSError where there can be none.
    """
    name = hashlib.sha256(os.fsencode(os.path.realpath(ini))).hexdigest()[:16] + ".takeover"
    given = os.environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    directory = Path(given) if given else Path(tempfile.gettempdir()) / f"wsproxy-{os.getuid()}"
    if len(os.fsencode(str(directory / name))) > LONGEST_PATH:
        directory = Path("/tmp") / f"wsproxy-{os.getuid()}"  # noqa: S108 - its mode and owner are looked at
    with suppress(FileExistsError):
        directory.mkdir(mode=0o700)
    found = directory.lstat()
    is_private = given or not found.st_mode & (stat.S_IRWXG | stat.S_IRWXO)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or not is_private:
        raise PermissionError(f"{directory} is not a directory for us alone")
    return str(directory / name)


class HandedSockets(InheritedSockets):
    """The listeners of a predecessor, each for the section that has its address still."""

    def __init__(self, by_name: dict[str, list[socket.socket]]) -> None:
        super().__init__()
        self._by_name = by_name

    def take(self, name: str, host: str, port: int) -> list[socket.socket]:
        """Those of the section of this name, else those bound to its host and port; none where neither is there."""
        names = [name, *(other for other in self._by_name if other != name)]
        for each in names:
            sockets = self._by_name.get(each, [])
            is_same = each == name if not port else any(is_bound(bound, host, port) for bound in sockets)
            if sockets and is_same:
                return self._by_name.pop(each)
        return []

    def close(self) -> list[str]:
        """Close those that no section wants: the predecessor serves who waits there. None was kept for us."""
        for sockets in self._by_name.values():
            for unused in sockets:
                unused.close()
        self._by_name = {}
        return []


class Predecessor:
    """The proxy that we take over from. sockets, secret: what it gave us."""

    def __init__(self, channel: Channel) -> None:
        self.sockets = HandedSockets({})
        self.secret = b""
        self._channel = channel
        self._taken = anyio.Event()
        self._serving = anyio.Event()

    @classmethod
    async def meet(cls, path: str, tasks: TaskGroup) -> Self | None:
        """Ask the proxy at `path` for its listeners; None when there is none, or it does not answer."""
        end = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            end.connect(path)
        except OSError as error:
            end.close()
            _logger.warning("nobody to take over from at %s (%s): starting anyway", path, error.strerror or error)
            return None
        predecessor = cls(Channel(end))
        tasks.start_soon(predecessor._run)
        with anyio.move_on_after(MEET_S):
            await predecessor._taken.wait()
            return predecessor
        _logger.warning("the proxy at %s does not answer: starting anyway", path)
        return None

    def release(self) -> None:
        """We serve: it may go."""
        self._serving.set()

    async def _run(self) -> None:
        try:
            await self._channel.answer(self._answer)
        finally:
            self._channel.close()

    async def _answer(self, kind: str, body: Body, sockets: list[socket.socket]) -> Body:
        if kind == "take":
            by_name: dict[str, list[socket.socket]] = {}
            for name, listening in zip(body["listeners"], sockets, strict=True):
                listening.setblocking(False)
                by_name.setdefault(name, []).append(listening)
            self.sockets = HandedSockets(by_name)
            self.secret = bytes.fromhex(body["secret"])
            _logger.info("taking over from process %d (version %s)", body["pid"], body["version"])
            self._taken.set()
        else:
            await self._serving.wait()
        return {}


class Handover:
    """Waits for a successor of an application, once that serves; and starts one when asked to.

    path: of the unix socket. command: what starts a successor.
    """

    def __init__(self, app: Application, path: str, command: Sequence[str], predecessor: Predecessor | None) -> None:
        self._app = app
        self._path = path
        self._command = command
        self._predecessor = predecessor
        self._successor: subprocess.Popen[bytes] | None = None

    async def run(self) -> None:
        """Let the predecessor go, then wait for successors until one serves."""
        if self._predecessor is not None:
            self._predecessor.release()
        try:
            listening = _listen(self._path)
        except OSError as error:
            _logger.warning("no successor can take over: %s: %s", self._path, error.strerror or error)
            return
        mine = os.stat(self._path).st_ino
        loop = asyncio.get_running_loop()
        try:
            while self._app.successor is None:
                end, _ = await loop.sock_accept(listening)
                await self._meet(end)
        finally:
            listening.close()
            with suppress(OSError):
                if os.stat(self._path).st_ino == mine:  # else it is the successor's
                    os.unlink(self._path)

    async def _meet(self, end: socket.socket) -> None:
        """Hand over to whoever came, if that one comes to serve."""
        pid, user, _ = _CREDENTIALS.unpack(end.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
        channel = Channel(end)
        try:
            if user not in (os.getuid(), 0):
                _logger.warning("process %d of user %d may not take over", pid, user)
                return
            _logger.info("process %d takes over", pid)
            listeners = self._app.listening_sockets()
            body = {
                "listeners": [name for name, sockets in listeners.items() for _ in sockets],
                "secret": self._app.sticky_secret.hex(),
                "version": wsproxy.__version__,
                "pid": os.getpid(),
            }
            await channel.ask("take", body, [each for sockets in listeners.values() for each in sockets])
            await channel.ask("serve", timeout_s=READY_S)
        except (ChannelError, RefusedError) as error:
            _logger.error("process %d has not taken over (%s): going on", pid, error)
        else:
            _logger.info("process %d serves from now on", pid)
            self._app.leave_to(pid)
        finally:
            channel.close()

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
            _logger.error("the successor has ended (exit status %d) before it served: going on", successor.returncode)


def successor_command() -> list[str]:
    """What this process was started with, and that it is to take over."""
    own = [sys.executable, *sys.orig_argv[1:]]
    return own if "--takeover" in own else [*own, "--takeover"]


def _listen(path: str) -> socket.socket:
    """A unix socket for our user alone, in the place of one that is there. Raises OSError."""
    beside = f"{path}.{os.getpid()}"
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listening.setblocking(False)
        before = os.umask(0o177)
        try:
            listening.bind(beside)
        finally:
            os.umask(before)
        listening.listen(1)
        os.rename(beside, path)
    except OSError:
        listening.close()
        with suppress(OSError):
            os.unlink(beside)
        raise
    return listening
