"""One of the servers that the proxy starts itself: a number and a socket, and life after life of the process there.

Knows the process and its socket, and a sink that is told when the server is ready, is to leave, and is gone. How many
there are to be, and which are to leave, is the matter of `servers`.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal, Protocol

import anyio

from wsproxy.config.group_settings import ManagedSettings, ServerSettings
from wsproxy.managed.process import ServerProcess
from wsproxy.managed.restart import RestartState
from wsproxy.net.dial import Dialer, DialError

_logger = logging.getLogger("wsproxy.managed")

POLL_S: Final = 0.05
"""Between two looks at a starting server's socket: short beside the start of any program."""
DIAL_TIMEOUT_S: Final = 2.0
"""A server that listens but does not accept is not ready yet."""
SLOW_START_S: Final = 10.0
"""After so long without a socket a person should know, since a command that forgot `<sock>` never opens it."""


ServerState = Literal["starting", "ready", "waiting", "failed", "leaving"]
"""`waiting`: for the next start after an end; `failed`: given up after a crash loop."""


class ServersSink(Protocol):
    """Who is told of the servers."""

    async def server_ready(self, server: ServerSettings) -> None:
        """A server takes connections at its address."""

    async def server_leaving(self, name: str) -> None:
        """A server that is ready is to go: returns when nothing uses it any more, or too long did. It is gone then."""

    async def server_gone(self, name: str, reason: str) -> None:
        """A server that was ready has ended; it will be started again. Not told of when run() is cancelled."""


@dataclass(frozen=True, slots=True)
class ServerLook:
    """One managed server at one moment. pid: 0 while there is no process. restarts: after ends of its own."""

    name: str
    state: ServerState
    pid: int
    restarts: int


@dataclass(frozen=True, slots=True)
class Upkeep:
    """What all servers of a group are kept with.

    sleep: until the next start. stop_timeout_s: between TERM and KILL. is_ready: asked of a server that takes
    connections whether it is to have work; a connection is enough where it is None.
    """

    sink: ServersSink
    sleep: Callable[[float], Awaitable[None]]
    stop_timeout_s: float
    is_ready: Callable[[ServerSettings], Awaitable[bool]] | None


class Place:
    """A number, and the server that has it, all its lives started as `settings` say.

    leave: it is to go. settled: it is ready, or has been given up. revived: one that was given up is to be tried again.
    over: it has gone.
    """

    def __init__(
        self, number: int, server: ServerSettings, settings: ManagedSettings, generation: int, upkeep: Upkeep
    ) -> None:
        self.number = number
        self.server = server
        self.generation = generation
        self.state: ServerState = "starting"
        self.pid = 0
        self.restarts = 0
        self.leave = anyio.Event()
        self.settled = anyio.Event()
        self.revived = anyio.Event()
        self.over = anyio.Event()
        self._settings = settings
        self._upkeep = upkeep

    def look(self) -> ServerLook:
        """The server now."""
        return ServerLook(self.server.name, self.state, self.pid, self.restarts)

    async def keep(self) -> None:
        """Have the server run, life after life, until it is to leave."""
        state = RestartState()
        name = self.server.name
        try:
            while True:
                born = anyio.current_time()
                how = await self._live()
                was_ready, self.state, self.pid = self.state == "ready", "waiting", 0
                if self.leave.is_set():
                    _logger.info("%s has left (%s)", name, how)
                    return
                if was_ready:
                    await self._upkeep.sink.server_gone(name, how)
                delay_s = state.delay_s(anyio.current_time() - born)
                if state.is_hopeless:
                    await self._give_up(how)
                    state.start_over()
                else:
                    _logger.warning("%s has ended (%s), starts again in %g s", name, how, delay_s)
                    await _until_either(partial(self._upkeep.sleep, delay_s), self.leave)
                if self.leave.is_set():
                    return
                self.restarts += 1
        finally:
            self.over.set()
            self.settled.set()

    async def _give_up(self, how: str) -> None:
        """A crash loop: wait for a person."""
        self.state = "failed"
        self.settled.set()
        _logger.error("%s has ended again and again (%s): not started again before a reload", self.server.name, how)
        self.revived = anyio.Event()
        await _until_either(self.revived.wait, self.leave)

    async def _live(self) -> str:
        """One life: start it, tell when it is ready, and return how it ended."""
        server, settings = self.server, self._settings
        self.state = "starting"
        with suppress(FileNotFoundError):
            os.unlink(server.address.unix_path)  # a crash leaves it, and many servers will not bind then
        try:
            process = await ServerProcess.start(
                server.name,
                tuple(_filled_in(word, server) for word in settings.command),
                os.environ | {name: _filled_in(value, server) for name, value in settings.environment},
                settings.working_directory,
            )
        except OSError as error:
            return f"cannot be started: {error}"
        self.pid = process.pid
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._announce)
                tasks.start_soon(self._let_go, process)
                how = await process.wait()
                tasks.cancel_scope.cancel()
        finally:
            await process.stop(self._upkeep.stop_timeout_s)
        return how

    async def _let_go(self, process: ServerProcess) -> None:
        """Once it is to leave: let what it has in hand end, then end it."""
        await self.leave.wait()
        if self.state == "ready":
            self.state = "leaving"
            await self._upkeep.sink.server_leaving(self.server.name)
        self.state = "leaving"
        process.ask_to_end()
        await anyio.sleep(self._upkeep.stop_timeout_s)
        process.kill()

    async def _announce(self) -> None:
        """Tell the sink as soon as the server takes connections."""
        server = self.server
        dialer = Dialer(server.address)
        patience_ends = anyio.current_time() + SLOW_START_S
        while not await self._answers(dialer):
            if anyio.current_time() >= patience_ends:
                patience_ends = float("inf")
                words = "%s (pid %d) does not answer at %s yet: does its command use <sock>?"
                _logger.warning(words, server.name, self.pid, server.address)
            await anyio.sleep(POLL_S)
        if self.leave.is_set():
            return
        _logger.info("%s (pid %d) is ready", server.name, self.pid)
        with anyio.CancelScope(shield=True):  # ready and gone come in pairs, even if it dies at this moment
            self.state = "ready"
            await self._upkeep.sink.server_ready(server)
            self.settled.set()

    async def _answers(self, dialer: Dialer) -> bool:
        try:
            stream = await dialer.dial(DIAL_TIMEOUT_S)
        except DialError:
            return False
        stream.abort()
        is_ready = self._upkeep.is_ready
        return is_ready is None or await is_ready(self.server)


def _filled_in(text: str, server: ServerSettings) -> str:
    filled = text.replace("<sock>", server.address.unix_path).replace("<python>", sys.executable)
    return filled.replace("<name>", server.name)


async def _until_either(wait: Callable[[], Awaitable[object]], event: anyio.Event) -> None:
    """Return when `wait` does, or when the event has come."""
    async with anyio.create_task_group() as tasks:

        async def watch() -> None:
            await event.wait()
            tasks.cancel_scope.cancel()

        tasks.start_soon(watch)
        await wait()
        tasks.cancel_scope.cancel()
