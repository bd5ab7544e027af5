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
import signal
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
from wsproxy.net.systemd import is_bound, stored_name
from wsproxy.supervisor.channel import Body, Channel, ChannelError, RefusedError
from wsproxy.supervisor.child import in_words
from wsproxy.supervisor.named_sockets import NamedSockets, laid_out

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

    from wsproxy.app import Application

READY_S: Final = 120.0
"""What a successor may take to come up: managed servers and processes among it."""

MEET_S: Final = 10.0
"""What a predecessor may take to answer: longer, and its event loop hangs."""

LOOK_S: Final = 0.2
"""How often a successor is looked at: whether it serves, and whether it has ended before it did."""

ENDING_S: Final = 2.0
"""A process that was killed closes its sockets first, and has ended a moment later."""

ACCEPT_AGAIN_S: Final = 1.0
"""Until another successor is waited for where the system could not let one in (too few descriptors)."""

LONGEST_PATH: Final = 100
"""The system's limit is 108 bytes with the final zero, on some 104."""

_CREDENTIALS: Final = struct.Struct("3i")  # pid, uid and gid of the peer (SO_PEERCRED)

_logger = logging.getLogger("wsproxy.takeover")


class TakeoverError(Exception):
    """We were to take over and may not, or cannot: the predecessor goes on; str() says why."""


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
    """The proxy that we take over from. pid: of its process. sockets, secret: what it gave us."""

    def __init__(self, channel: Channel, pid: int) -> None:
        self.pid = pid
        self.sockets = HandedSockets()
        self.secret = b""
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
            pid, user = _peer(end)
            if not _is_trusted(user):
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
        self._has_given = True
        _logger.info("taking over from process %d (version %s)", self.pid, body.get("version", "unknown"))


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
            listening = _listen(self._path)
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

    async def _meet(self, end: socket.socket) -> None:
        """Hand over to whoever came, if that one comes to serve."""
        pid, user = _peer(end)
        channel = Channel(end)
        try:
            if not _is_trusted(user):
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


def _peer(end: socket.socket) -> tuple[int, int]:
    """The process at the other end of a unix socket, and its user."""
    pid, user, _ = _CREDENTIALS.unpack(end.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    return pid, user


def _is_trusted(user: int) -> bool:
    return user in (os.getuid(), 0)


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
