"""The fork server, as the parent sees it: started when first needed, asked for processes, listened to.

Knows its process, its socket and those it has forked, whose ends it sees by itself (pidfd): the fork server only says
how they ended. Where that hangs or ends before its time the others go on, and the next process has a new one.
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

from wsproxy.supervisor.exit_code import in_words
from wsproxy.supervisor.fork_notice import FORKED, NOTICE

NOTICES_AT_ONCE: Final = 512
"""Read at once: more than there are processes."""

END_S: Final = 2.0
"""What the fork server may take to end when nobody needs it any more."""

FORK_S: Final = 30.0
"""What the fork server may take to start, import and fork, on a machine that swaps: it will never do so later."""

TELL_S: Final = 2.0
"""What the fork server may take to say how a process has ended: a matter of a millisecond, unless it hangs."""

REAP_AGAIN_S: Final = 0.05
"""Between two looks at a process that has ended while the fork server ends too: whose child it is by then may tell."""

_logger = logging.getLogger("wsproxy.process")


class Forked:
    """A process that was forked. pid: its id. descriptor: readable when it has ended, None where that cannot be had."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.descriptor: int | None = None
        with suppress(OSError):  # it has ended already, as the server will say, or the system has no such thing
            self.descriptor = os.pidfd_open(pid)
        self._code: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()

    @property
    def has_ended(self) -> bool:
        """Whether `end` has been said."""
        return self._code.done()

    async def wait(self) -> int | None:
        """Wait for its end; its return code, as of `subprocess`, or None where nobody could tell."""
        return await asyncio.shield(self._code)

    def kill(self) -> None:
        """End it at once."""
        with suppress(ProcessLookupError):
            if self.descriptor is not None:
                signal.pidfd_send_signal(self.descriptor, signal.SIGKILL)
            elif not self.has_ended:  # nobody else has its id yet
                os.kill(self.pid, signal.SIGKILL)

    def end(self, code: int | None) -> None:
        """It has ended."""
        if not self.has_ended:
            self._code.set_result(code)

    def reap(self) -> int | None:
        """The return code of one that has ended and is our own child by now; None where it is not."""
        if self.descriptor is None:
            return None
        with suppress(OSError):
            told = os.waitid(os.P_PIDFD, self.descriptor, os.WEXITED | os.WNOHANG)
            if told is not None:
                return told.si_status if told.si_code == os.CLD_EXITED else -told.si_status
        return None

    def forget(self) -> None:
        """Nobody looks at it any more."""
        if self.descriptor is not None:
            os.close(self.descriptor)
            self.descriptor = None


class ForkServer:
    """One life of the fork server."""

    def __init__(self, process: Process, end: socket.socket) -> None:
        end.setblocking(False)
        self.is_gone = False
        self._process = process
        self._socket = end
        self._loop = asyncio.get_running_loop()
        self._received = b""
        self._asked: deque[asyncio.Future[Forked]] = deque()
        self._forked: dict[int, Forked] = {}
        self._untold: set[Forked] = set()  # they have ended, and how is still to be said
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
        try:
            socket.send_fds(self._socket, [b"f"], [channel.fileno()])
        except ConnectionError:
            self._lose()
            raise
        self._asked.append(forked)
        try:
            with anyio.fail_after(FORK_S):
                return await forked
        except TimeoutError:
            self._kill()
            raise TimeoutError(f"the fork server does not answer within {FORK_S:g} s") from None

    def _read(self) -> None:
        try:
            data = self._socket.recv(NOTICES_AT_ONCE * NOTICE.size)
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
            if forked.descriptor is not None:
                self._loop.add_reader(forked.descriptor, self._see_end, forked, forked.descriptor)
            _settle(self._asked.popleft(), forked)
        else:
            self._end(self._forked.pop(pid), code)

    def _see_end(self, forked: Forked, descriptor: int) -> None:
        """It has ended; how, the server says at once."""
        self._loop.remove_reader(descriptor)
        if self.is_gone:
            self._reap(forked)
        else:
            self._untold.add(forked)
            self._loop.call_later(TELL_S, self._miss, forked)

    def _miss(self, forked: Forked) -> None:
        """Who says nothing in time hangs, and would fork as little."""
        if forked in self._untold:
            _logger.warning("the fork server does not say how process id %d has ended: ending it", forked.pid)
            self._kill()  # what is untold is looked for then

    def _reap(self, forked: Forked) -> None:
        """Find out ourselves how it ended: it may be ours once the server has ended, as all orphans are process 1's."""
        code = forked.reap()
        if code is None and self._process.returncode is None:
            self._loop.call_later(REAP_AGAIN_S, self._reap, forked)
        else:
            self._end(forked, code)

    def _end(self, forked: Forked, code: int | None) -> None:
        if forked.descriptor is not None:
            self._loop.remove_reader(forked.descriptor)
        self._untold.discard(forked)
        forked.forget()
        forked.end(code)

    def _lose(self) -> None:
        _logger.warning("the fork server has ended before its time: the next process has another")
        self._let_go()

    def _let_go(self) -> None:
        """It has ended, or does so when nobody holds the other end: those left are nobody's children then, or ours."""
        if self.is_gone:
            return
        self.is_gone = True
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()
        while self._asked:
            _settle(self._asked.popleft(), ConnectionResetError("the fork server has ended"))
        for forked in self._forked.values():
            if forked.descriptor is None:  # what cannot be seen must not go on
                forked.kill()
                forked.end(None)
        self._forked.clear()
        for forked in tuple(self._untold):
            self._reap(forked)

    def _kill(self) -> None:
        with suppress(ProcessLookupError):
            self._process.kill()

    async def wait(self) -> str:
        """Wait for its end; how it ended, in words."""
        await self.close()
        return in_words(self._process.returncode)

    async def close(self) -> None:
        """End it; those that were forked do not end with it."""
        self._let_go()
        with anyio.move_on_after(END_S, shield=True):
            await self._process.wait()
            return
        self._kill()


class Forks:
    """Has processes forked, by one fork server after another where need be. given: descriptors for all of them."""

    def __init__(self, given: tuple[int, ...]) -> None:
        self._given = given
        self._server: ForkServer | None = None
        self._starting = anyio.Lock()

    async def fork(self, channel: socket.socket) -> Forked:
        """Have a process that has this end of a channel. Raises OSError."""
        with suppress(
            ConnectionError
        ):  # it was killed together with the process that is to be replaced, but seen later
            return await (await self._serving()).fork(channel)
        server = await self._serving()
        try:
            return await server.fork(channel)
        except ConnectionError:
            raise OSError(f"the fork server has ended ({await server.wait()})") from None

    async def _serving(self) -> ForkServer:
        async with self._starting:
            server = self._server
            if server is not None and server.is_gone:
                await server.close()
                server = None
            if server is None:
                server = self._server = await ForkServer.start(self._given)
            return server

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
