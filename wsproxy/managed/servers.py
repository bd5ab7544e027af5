"""The servers that the proxy starts itself: so many processes of one command, each on a unix socket of its own.

Knows processes and sockets. What a server is to the proxy it does not know: ready, leaving and gone are told to a sink.
How many there should be is told by whoever scales them.
"""

from __future__ import annotations

import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, Literal, Protocol

import anyio
from anyio.abc import TaskGroup

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
REPLACE_LIMIT_S: Final = 60.0
"""A server that takes the place of another has so long to answer; then the old ones stay."""
SOCKET_PATH_BYTES: Final = 100
"""The system's limit is 108 with the final zero, on some 104."""


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


class _Place:
    """A number, and the server that has it. leave: it is to go. settled: it is ready, or has been given up."""

    def __init__(self, number: int, server: ServerSettings, generation: int) -> None:
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


class ManagedServers:
    """Keeps a group's servers running while run() runs; a server that ends is started again, ever less eagerly.

    stop_timeout_s: seconds that a server has between TERM and KILL. is_ready: asked of a server that takes connections
    whether it is to have work; a connection is enough where it is None.
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
        self._places: dict[int, _Place] = {}
        self._generation = 0
        self._directory = ""
        self._tasks: TaskGroup | None = None
        self._replacing: anyio.CancelScope | None = None
        self.stop_timeout_s = STOP_TIMEOUT_S
        self.is_ready: Callable[[ServerSettings], Awaitable[bool]] | None = None

    # What there is.

    def look(self) -> list[ServerLook]:
        """The servers now, in the order of their numbers."""
        places = sorted(self._places.values(), key=lambda place: place.number)
        return [ServerLook(place.server.name, place.state, place.pid, place.restarts) for place in places]

    @property
    def wanted(self) -> int:
        """How many there are to be: those that are not leaving."""
        return sum(not place.leave.is_set() for place in self._places.values())

    @property
    def ready(self) -> int:
        """How many of them have work."""
        return sum(place.state == "ready" for place in self._places.values())

    # What is to be done.

    async def run(self) -> None:
        """Run the servers until cancelled; returns when the last of them has ended and its socket is gone."""
        self._directory = _private_directory()
        try:
            async with anyio.create_task_group() as tasks:
                self._tasks = tasks
                for _ in range(self._settings.startup_servers):
                    self._open_place()
                await anyio.sleep_forever()
        finally:
            self._tasks = None
            shutil.rmtree(self._directory, ignore_errors=True)

    def start_one(self) -> str | None:
        """Start one more; its name, or None at `max_servers`."""
        if self._tasks is None or self.wanted >= self._settings.max_servers:
            return None
        return self._open_place().server.name

    def stop_one(self) -> str | None:
        """Let the youngest go in order; its name, or None at `startup_servers`."""
        staying = [place for place in self._places.values() if not place.leave.is_set()]
        if len(staying) <= self._settings.startup_servers:
            return None
        place = max(staying, key=lambda place: (place.state != "ready", place.number))
        place.leave.set()
        return place.server.name

    def revive(self) -> None:
        """Try those again that were given up."""
        for place in self._places.values():
            place.revived.set()

    def use(self, settings: ManagedSettings, template: ServerSettings) -> None:
        """Take over other settings. Where servers are started another way each is replaced, one after the other."""
        old, self._settings, self._template = self._settings, settings, template
        self.revive()
        if self._tasks is None:
            return
        if _how_started(old) != _how_started(settings):
            self._generation += 1
            if self._replacing is not None:
                self._replacing.cancel()
            self._replacing = anyio.CancelScope()
            self._tasks.start_soon(self._replace_all, self._replacing, self._generation)
        else:
            self._fit_counts()

    def _fit_counts(self) -> None:
        while self.wanted < self._settings.startup_servers:
            self._open_place()
        staying = sorted(
            (place for place in self._places.values() if not place.leave.is_set()), key=lambda place: place.number
        )
        for place in staying[self._settings.max_servers :]:
            place.leave.set()

    async def _replace_all(self, scope: anyio.CancelScope, generation: int) -> None:
        """Each server of another generation goes when one of this has taken its place."""
        with scope:
            old = [place for place in self._places.values() if place.generation != generation]
            for place in sorted(old, key=lambda place: place.number):
                if place.leave.is_set():
                    continue
                if self.wanted <= self._settings.max_servers:
                    fresh = self._open_place()
                    with anyio.move_on_after(REPLACE_LIMIT_S):
                        await fresh.settled.wait()
                    if fresh.state != "ready":
                        fresh.leave.set()
                        log.error("%s does not become ready: the servers before it stay", fresh.server.name)
                        return
                place.leave.set()
                await place.over.wait()
            self._fit_counts()

    def _open_place(self) -> _Place:
        assert self._tasks is not None  # noqa: S101 - asked by the callers
        number = next(number for number in range(1, len(self._places) + 2) if number not in self._places)
        address = Address(unix_path=os.path.join(self._directory, f"{number}.sock"))
        server = replace(self._template, name=f"{self._group}-{number}", address=address)
        place = self._places[number] = _Place(number, server, self._generation)
        self._tasks.start_soon(self._keep, place, self._settings)
        return place

    # One of them.

    async def _keep(self, place: _Place, settings: ManagedSettings) -> None:
        """One server, life after life, all started as `settings` say."""
        state = RestartState()
        name = place.server.name
        try:
            while True:
                born = anyio.current_time()
                how = await self._live(place, settings)
                was_ready, place.state, place.pid = place.state == "ready", "waiting", 0
                if place.leave.is_set():
                    log.info("%s has left (%s)", name, how)
                    return
                if was_ready:
                    await self._sink.server_gone(name, how)
                delay_s = state.delay_s(anyio.current_time() - born)
                if state.is_hopeless:
                    await self._give_up(place, how)
                    state.start_over()
                else:
                    log.warning("%s has ended (%s), starts again in %g s", name, how, delay_s)
                    await _until_either(partial(self._sleep, delay_s), place.leave)
                if place.leave.is_set():
                    return
                place.restarts += 1
        finally:
            place.over.set()
            place.settled.set()
            del self._places[place.number]

    async def _give_up(self, place: _Place, how: str) -> None:
        """A crash loop: wait for a person."""
        place.state = "failed"
        place.settled.set()
        log.error("%s has ended again and again (%s): not started again before a reload", place.server.name, how)
        place.revived = anyio.Event()
        await _until_either(place.revived.wait, place.leave)

    async def _live(self, place: _Place, settings: ManagedSettings) -> str:
        """One life: start it, tell when it is ready, and return how it ended."""
        server = place.server
        place.state = "starting"
        with suppress(FileNotFoundError):
            os.unlink(server.address.unix_path)  # a crash leaves it, and many servers will not bind then
        try:
            process = await ServerProcess.start(
                server.name,
                tuple(self._fill_in(word, server) for word in settings.command),
                os.environ | {name: self._fill_in(value, server) for name, value in settings.environment},
                settings.working_directory,
            )
        except OSError as error:
            return f"cannot be started: {error}"
        place.pid = process.pid
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._announce, place)
                tasks.start_soon(self._let_go, place, process)
                how = await process.wait()
                tasks.cancel_scope.cancel()
        finally:
            await process.stop(self.stop_timeout_s)
        return how

    async def _let_go(self, place: _Place, process: ServerProcess) -> None:
        """Once it is to leave: let what it has in hand end, then end it."""
        await place.leave.wait()
        if place.state == "ready":
            place.state = "leaving"
            await self._sink.server_leaving(place.server.name)
        place.state = "leaving"
        process.ask_to_end()
        await anyio.sleep(self.stop_timeout_s)
        process.kill()

    async def _announce(self, place: _Place) -> None:
        """Tell the sink as soon as the server takes connections."""
        server = place.server
        dialer = Dialer(server.address)
        patience_ends = anyio.current_time() + SLOW_START_S
        while not await self._answers(dialer, server):
            if anyio.current_time() >= patience_ends:
                patience_ends = float("inf")
                words = "%s (pid %d) does not answer at %s yet: does its command use <sock>?"
                log.warning(words, server.name, place.pid, server.address)
            await anyio.sleep(POLL_S)
        if place.leave.is_set():
            return
        log.info("%s (pid %d) is ready", server.name, place.pid)
        with anyio.CancelScope(shield=True):  # ready and gone come in pairs, even if it dies at this moment
            place.state = "ready"
            await self._sink.server_ready(server)
            place.settled.set()

    async def _answers(self, dialer: Dialer, server: ServerSettings) -> bool:
        try:
            stream = await dialer.dial(DIAL_TIMEOUT_S)
        except DialError:
            return False
        stream.abort()
        return self.is_ready is None or await self.is_ready(server)

    def _fill_in(self, text: str, server: ServerSettings) -> str:
        filled = text.replace("<sock>", server.address.unix_path).replace("<python>", sys.executable)
        return filled.replace("<name>", server.name)


def _how_started(settings: ManagedSettings) -> tuple[object, ...]:
    return settings.command, settings.environment, settings.working_directory


async def _until_either(wait: Callable[[], Awaitable[object]], event: anyio.Event) -> None:
    """Return when `wait` does, or when the event has come."""
    async with anyio.create_task_group() as tasks:

        async def watch() -> None:
            await event.wait()
            tasks.cancel_scope.cancel()

        tasks.start_soon(watch)
        await wait()
        tasks.cancel_scope.cancel()


def _private_directory() -> str:
    """A new directory that nobody else may look into (mode 0700), with a path short enough for sockets in it."""
    directory = tempfile.mkdtemp(prefix="wsproxy-")
    if len(os.fsencode(directory)) + len("/10000.sock") > SOCKET_PATH_BYTES:
        os.rmdir(directory)
        directory = tempfile.mkdtemp(prefix="wsproxy-", dir="/tmp")  # mkdtemp's names cannot be foreseen
    return directory
