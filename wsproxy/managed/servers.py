"""The servers that the proxy starts itself: so many processes of one command, each on a unix socket of its own.

Knows how many there are and which are to leave; each one's life is the matter of `place`. What a server is to the proxy
it does not know: ready, leaving and gone are told to a sink. How many there should be is told by whoever scales them.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final

import anyio
from anyio.abc import TaskGroup

from wsproxy.config.group_settings import Address, ManagedSettings, ServerSettings
from wsproxy.managed.place import Place, ServerLook, ServersSink, Upkeep

_logger = logging.getLogger("wsproxy.managed")

STOP_TIMEOUT_S: Final = 5.0
"""From TERM to KILL: the proxy has drained by then, so that a server has little left to do."""
REPLACE_LIMIT_S: Final = 60.0
"""A server that takes the place of another has so long to answer; then the old ones stay."""
SOCKET_PATH_BYTES: Final = 100
"""The system's limit is 108 with the final zero, on some 104."""


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
        self._places: dict[int, Place] = {}
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
        return [place.look() for place in places]

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
                        _logger.error("%s does not become ready: the servers before it stay", fresh.server.name)
                        return
                place.leave.set()
                await place.over.wait()
            self._fit_counts()

    def _open_place(self) -> Place:
        assert self._tasks is not None  # noqa: S101 - asked by the callers
        number = next(number for number in range(1, len(self._places) + 2) if number not in self._places)
        address = Address(unix_path=os.path.join(self._directory, f"{number}.sock"))
        server = replace(self._template, name=f"{self._group}-{number}", address=address)
        upkeep = Upkeep(self._sink, self._sleep, self.stop_timeout_s, self.is_ready)
        place = self._places[number] = Place(number, server, self._settings, self._generation, upkeep)
        self._tasks.start_soon(self._keep, place)
        return place

    async def _keep(self, place: Place) -> None:
        try:
            await place.keep()
        finally:
            del self._places[place.number]


def _how_started(settings: ManagedSettings) -> tuple[object, ...]:
    return settings.command, settings.environment, settings.working_directory


def _private_directory() -> str:
    """A new directory that nobody else may look into (mode 0700), with a path short enough for sockets in it."""
    directory = tempfile.mkdtemp(prefix="wsproxy-")
    if len(os.fsencode(directory)) + len("/10000.sock") > SOCKET_PATH_BYTES:
        os.rmdir(directory)
        directory = tempfile.mkdtemp(prefix="wsproxy-", dir="/tmp")  # mkdtemp's names cannot be foreseen
    return directory
