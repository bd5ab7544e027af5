"""The fork server, as the parent sees it: started when first needed, asked for processes, listened to.

Knows its process, its socket and the ids of those it has forked. Where it ends before its time the others go on, and
are waited for by other means; the next process has a new one.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import subprocess
import sys
from collections import deque
from contextlib import suppress
from typing import Final

import anyio
from anyio.abc import Process

from wsproxy.supervisor.fork_server import FORKED, NOTICE

NOTICES_AT_ONCE: Final = 512
"""Read at once: more than there are processes."""

END_S: Final = 2.0
"""What the fork server may take to end when nobody needs it any more."""

FORK_S: Final = 30.0
"""What the fork server may take to start, import and fork, on a machine that swaps: it will never do so later."""

_logger = logging.getLogger("wsproxy.process")


class Forked:
    """A process that was forked. pid: its id."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._code: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()

    async def wait(self) -> int | None:
        """Wait for its end; its return code, as of `subprocess`, or None where nobody could tell."""
        return await asyncio.shield(self._code)

    def kill(self) -> None:
        """End it at once."""
        if not self._code.done():
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def end(self, code: int | None) -> None:
        """It has ended."""
        if not self._code.done():
            self._code.set_result(code)


class ForkServer:
    """One life of the fork server."""

    def __init__(self, process: Process, end: socket.socket) -> None:
        end.setblocking(False)
        self.is_gone = False
        self._process = process
        self._end = end
        self._loop = asyncio.get_running_loop()
        self._received = b""
        self._asked: deque[asyncio.Future[Forked]] = deque()
        self._forked: dict[int, Forked] = {}
        self._loop.add_reader(end.fileno(), self._read)

    @classmethod
    async def start(cls, given: tuple[int, ...]) -> ForkServer:
        """Start the interpreter. given: descriptors for all that are forked. Raises OSError."""
        ours, theirs = socket.socketpair()
        try:
            with theirs, anyio.CancelScope(shield=True):  # cut off half-way, it might leave a process behind
                process = await anyio.open_process(
                    [sys.executable, "-P", "-m", "wsproxy.supervisor", *map(str, (theirs.fileno(), *given))],
                    stdin=subprocess.DEVNULL,
                    stdout=None,
                    stderr=None,
                    env={**os.environ, "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)},
                    start_new_session=True,  # a Ctrl-C in the terminal is the parent's to act upon
                    pass_fds=(theirs.fileno(), *given),
                )
        except OSError:
            ours.close()
            raise
        return cls(process, ours)

    async def fork(self, channel: socket.socket) -> Forked:
        """Have a process that has this end of a channel. Raises OSError."""
        if self.is_gone:
            raise ConnectionResetError("the fork server has ended")
        forked: asyncio.Future[Forked] = self._loop.create_future()
        socket.send_fds(self._end, [b"f"], [channel.fileno()])
        self._asked.append(forked)
        try:
            with anyio.fail_after(FORK_S):
                return await forked
        except TimeoutError:
            self._process.kill()
            raise TimeoutError(f"the fork server does not answer within {FORK_S:g} s") from None

    def _read(self) -> None:
        try:
            data = self._end.recv(NOTICES_AT_ONCE * NOTICE.size)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:
            self._lose()
            return
        self._received += data
        whole = len(self._received) // NOTICE.size * NOTICE.size
        notices, self._received = self._received[:whole], self._received[whole:]
        for pid, code in NOTICE.iter_unpack(notices):
            self._note(pid, code)

    def _note(self, pid: int, code: int) -> None:
        if pid == 0:
            _settle(self._asked.popleft(), OSError(code, os.strerror(code)))
        elif code == FORKED:
            self._forked[pid] = forked = Forked(pid)
            _settle(self._asked.popleft(), forked)
        else:
            self._forked.pop(pid).end(code)

    def _lose(self) -> None:
        """It has ended, as it does after `close`: those that are left are nobody's children, or ours."""
        if self.is_gone:
            return
        self.is_gone = True
        self._loop.remove_reader(self._end.fileno())
        self._end.close()
        while self._asked:
            _settle(self._asked.popleft(), ConnectionResetError("the fork server has ended"))
        for forked in self._forked.values():
            self._watch(forked)
        self._forked.clear()

    def _watch(self, forked: Forked) -> None:
        """See its end without being told."""
        try:
            descriptor = os.pidfd_open(forked.pid)
        except OSError:  # it has ended, or the system has no such thing: what cannot be seen must not go on
            forked.kill()
            forked.end(None)
            return
        self._loop.add_reader(descriptor, self._ended_unseen, forked, descriptor)

    def _ended_unseen(self, forked: Forked, descriptor: int) -> None:
        self._loop.remove_reader(descriptor)
        os.close(descriptor)
        code = None
        with suppress(ChildProcessError):  # unless it has become ours, as everything does that is process 1's
            code = os.waitstatus_to_exitcode(os.waitpid(forked.pid, os.WNOHANG)[1])
        forked.end(code)

    async def close(self) -> None:
        """End it; those that were forked do not end with it."""
        self._lose()
        with anyio.move_on_after(END_S, shield=True):
            await self._process.wait()
            return
        with suppress(ProcessLookupError):
            self._process.kill()


class Forks:
    """Has processes forked, by one fork server after another where need be. given: descriptors for all of them."""

    def __init__(self, given: tuple[int, ...]) -> None:
        self._given = given
        self._server: ForkServer | None = None
        self._starting = anyio.Lock()

    async def fork(self, channel: socket.socket) -> Forked:
        """Have a process that has this end of a channel. Raises OSError."""
        async with self._starting:
            server = self._server
            if server is not None and server.is_gone:
                _logger.warning("the fork server has ended before its time: starting another")
                await server.close()
                server = None
            if server is None:
                server = self._server = await ForkServer.start(self._given)
        return await server.fork(channel)

    async def close(self) -> None:
        """End the fork server."""
        if self._server is not None:
            await self._server.close()


def _settle(asked: asyncio.Future[Forked], answer: Forked | OSError) -> None:
    if asked.done():  # given up
        if isinstance(answer, Forked):
            answer.kill()
    elif isinstance(answer, OSError):
        asked.set_exception(answer)
    else:
        asked.set_result(answer)
