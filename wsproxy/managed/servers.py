"""The servers that the proxy starts itself: so many processes of one command, each on a unix socket of its own.

Knows processes and sockets. What a server is to the proxy it does not know: ready and gone are told to a sink.
"""

from __future__ import annotations

import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from typing import Final, Protocol

import anyio

from wsproxy.config.model import Address, ManagedSettings, ServerSettings
from wsproxy.managed.process import ServerProcess
from wsproxy.managed.restart import RestartState
from wsproxy.net.dial import Dialer, DialError

log = logging.getLogger("wsproxy.managed")

STOP_TIMEOUT_S: Final = 5.0
"""From TERM to KILL: the proxy has drained by then, so that a server has little left to do."""
POLL_S: Final = 0.05
"""Between two looks at a starting server's socket: short beside the start of any program."""
DIAL_TIMEOUT_S: Final = 2.0
"""A server that listens but does not accept is not ready yet."""
SLOW_START_S: Final = 10.0
"""After so long without a socket a person should know, since a command that forgot `<sock>` never opens it."""
SOCKET_PATH_BYTES: Final = 100
"""The system's limit is 108 with the final zero, on some 104."""


class ServersSink(Protocol):
    """Who is told of the servers."""

    async def server_ready(self, server: ServerSettings) -> None:
        """A server takes connections at its address."""

    async def server_gone(self, name: str, reason: str) -> None:
        """A server that was ready has ended; it will be started again. Not told of when run() is cancelled."""


class ManagedServers:
    """Keeps a group's servers running while run() runs; a server that ends is started again, ever less eagerly.

    stop_timeout_s: seconds that a server has between TERM and KILL.
    """

    def __init__(
        self,
        settings: ManagedSettings,
        group: str,
        template: ServerSettings,
        sink: ServersSink,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
    ) -> None:
        self._settings = settings
        self._group = group
        self._template = template
        self._sink = sink
        self._sleep = sleep
        self._ready: set[str] = set()
        self.stop_timeout_s = STOP_TIMEOUT_S

    async def run(self) -> None:
        """Run the servers until cancelled; returns when the last of them has ended and its socket is gone."""
        directory = _private_directory()
        try:
            async with anyio.create_task_group() as tasks:
                for number in range(1, self._settings.startup_servers + 1):
                    address = Address(unix_path=os.path.join(directory, f"{number}.sock"))
                    server = replace(self._template, name=f"{self._group}-{number}", address=address)
                    tasks.start_soon(self._keep, server)
        finally:
            shutil.rmtree(directory, ignore_errors=True)

    async def _keep(self, server: ServerSettings) -> None:
        """One server, life after life."""
        state = RestartState()
        while True:
            born = anyio.current_time()
            how = await self._live(server)
            delay_s = state.delay_s(anyio.current_time() - born)
            log.warning("%s has ended (%s), starts again in %g s", server.name, how, delay_s)
            if server.name in self._ready:
                self._ready.remove(server.name)
                await self._sink.server_gone(server.name, how)
            await self._sleep(delay_s)

    async def _live(self, server: ServerSettings) -> str:
        """One life: start it, tell when it is ready, and return how it ended."""
        with suppress(FileNotFoundError):
            os.unlink(server.address.unix_path)  # a crash leaves it, and many servers will not bind then
        try:
            process = await ServerProcess.start(
                server.name,
                tuple(self._fill_in(word, server) for word in self._settings.command),
                os.environ | {name: self._fill_in(value, server) for name, value in self._settings.environment},
                self._settings.working_directory,
            )
        except OSError as error:
            return f"cannot be started: {error}"
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._announce, server, process.pid)
                how = await process.wait()
                tasks.cancel_scope.cancel()
        finally:
            await process.stop(self.stop_timeout_s)
        return how

    async def _announce(self, server: ServerSettings, pid: int) -> None:
        """Tell the sink as soon as the server takes connections."""
        dialer = Dialer(server.address)
        patience_ends = anyio.current_time() + SLOW_START_S
        while True:
            try:
                stream = await dialer.dial(DIAL_TIMEOUT_S)
            except DialError:
                if anyio.current_time() >= patience_ends:
                    patience_ends = float("inf")
                    words = "%s (pid %d) has not opened %s yet: does its command use <sock>?"
                    log.warning(words, server.name, pid, server.address)
                await anyio.sleep(POLL_S)
            else:
                stream.abort()
                break
        log.info("%s (pid %d) is ready", server.name, pid)
        with anyio.CancelScope(shield=True):  # ready and gone come in pairs, even if it dies at this moment
            self._ready.add(server.name)
            await self._sink.server_ready(server)

    def _fill_in(self, text: str, server: ServerSettings) -> str:
        filled = text.replace("<sock>", server.address.unix_path).replace("<python>", sys.executable)
        return filled.replace("<name>", server.name)


def _private_directory() -> str:
    """A new directory that nobody else may look into (mode 0700), with a path short enough for sockets in it."""
    directory = tempfile.mkdtemp(prefix="wsproxy-")
    if len(os.fsencode(directory)) + len("/10000.sock") > SOCKET_PATH_BYTES:
        os.rmdir(directory)
        directory = tempfile.mkdtemp(prefix="wsproxy-", dir="/tmp")  # mkdtemp's names cannot be foreseen
    return directory
