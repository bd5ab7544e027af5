"""Assembly: one group at run time: its backends, with those who say which there are and which are healthy.

Joins `backend`, `health` and `managed`, which do not know each other; decides nothing itself.
"""

from __future__ import annotations

import logging
import random

import anyio
from anyio.abc import TaskGroup

from wsproxy.backend.backend import Backend
from wsproxy.backend.group import Group
from wsproxy.config.diff import server_key
from wsproxy.config.model import GroupSettings, ServerSettings
from wsproxy.health.checker import HealthChecker, ProbeTarget
from wsproxy.managed.servers import ManagedServers
from wsproxy.net.deadlines import Deadlines

_logger = logging.getLogger("wsproxy")


class RunningGroup:
    """A group at run time, with those who say which of its servers there are and which are healthy."""

    def __init__(self, settings: GroupSettings, deadlines: Deadlines, rng: random.Random) -> None:
        self.settings = settings
        self.group = Group(settings.name, settings.servers, deadlines, settings.watch)
        self._rng = rng
        self._added: set[str] = set()
        self.checker = HealthChecker(settings.health, self, rng)
        self.ready = anyio.Event()
        self._life = anyio.CancelScope()
        self._checking = anyio.CancelScope()
        self._tasks: TaskGroup | None = None
        self.managed: ManagedServers | None = None
        if settings.managed is not None and settings.template is not None:
            self.managed = ManagedServers(settings.managed, settings.name, settings.template, self)
        for backend in self.group.backends.values():
            if backend.enabled:
                self.checker.add(backend)

    async def run(self) -> None:
        """Run pools, checks and managed servers until cancelled or `retire`d."""
        with self._life:
            async with anyio.create_task_group() as tasks:
                self._tasks = tasks
                tasks.start_soon(self.group.run)
                tasks.start_soon(self._check, self.checker)
                if self.managed is None:
                    self.ready.set()
                else:
                    tasks.start_soon(self.managed.run)

    async def _check(self, checker: HealthChecker) -> None:
        with self._checking:
            await checker.run()

    async def use(self, settings: GroupSettings) -> None:
        """Take over other settings: what stays the same keeps its pool, its connections and its verdicts."""
        old, self.settings = self.settings, settings
        if settings.health != old.health:
            self._replace_checker()
        self.group.watch(settings.watch)
        if settings.managed is not None:
            await self.group.weigh()
            return  # its servers come and go by themselves; another command is another group, see `is_replaced_by`
        wanted = settings.servers
        staying = {server_key(server) for server in wanted}
        for backend in tuple(self.group.backends.values()):
            if server_key(backend.settings) not in staying:
                await self.server_gone(backend.name, "no longer configured")
        switched = [server.name for server in wanted if self._is_switched(server)]
        self.group.use(wanted)
        for server in wanted:
            if server.name not in self.group.backends:
                backend = await self.group.add(server)
                if server.enabled:
                    self.checker.add(backend)
        self.group.use(wanted)
        for name in switched:
            await self._switch(self.group.backends[name])
        await self.group.weigh()

    def _is_switched(self, server: ServerSettings) -> bool:
        backend = self.group.backends.get(server.name)
        return backend is not None and backend.settings.enabled != server.enabled

    async def _switch(self, backend: Backend) -> None:
        """The file says otherwise than before whether it is enabled; while it does not, an operator's word counts."""
        if backend.settings.enabled:
            await self.enable(backend)
        else:
            self.checker.remove(backend)
            await self.group.drain(backend)

    async def enable(self, backend: Backend) -> None:
        """Let it have work again, and be probed if it was not."""
        self.checker.add(backend)
        await self.group.enable(backend)

    def _replace_checker(self) -> None:
        """Verdicts so far stay until the first probes with the new settings."""
        self._checking.cancel()
        self._checking = anyio.CancelScope()
        probed = self.checker.records.keys()
        self.checker = HealthChecker(self.settings.health, self, self._rng)
        for backend in self.group.backends.values():
            if backend in probed:
                self.checker.add(backend)
        if self._tasks is not None:
            self._tasks.start_soon(self._check, self.checker)

    def is_replaced_by(self, settings: GroupSettings) -> bool:
        """Whether other settings of this name need a new group, because managed servers are started another way."""
        return (self.settings.managed, self.settings.template) != (settings.managed, settings.template)

    async def retire(self, timeout_s: float) -> None:
        """No route leads here any more: finish what is there, within a time, then end."""
        backends = tuple(self.group.backends.values())
        for backend in backends:
            await self.server_gone(backend.name, "no longer configured")
        with anyio.move_on_after(timeout_s):
            for backend in backends:
                await backend.gone.wait()
        self._life.cancel()

    async def health_changed(self, target: ProbeTarget, up: bool, reason: str) -> None:  # noqa: ARG002
        """A verdict of the checker, which has logged it."""
        if isinstance(target, Backend):
            await self.group.set_up(target, up)

    def probed(self, target: ProbeTarget, is_good: bool) -> bool:
        """A probe has ended: one that is ejected may be known to be reachable again."""
        return isinstance(target, Backend) and target.guard.probed(is_good, self.settings.health.rise)

    async def server_ready(self, server: ServerSettings) -> None:
        """A managed server answers."""
        self.checker.add(await self.group.add(server))
        wanted = self.settings.managed
        if wanted is not None and len(self.group.backends) >= wanted.startup_servers:
            self.ready.set()

    def is_added(self, name: str) -> bool:
        """Whether a backend of the group came from an operator: a reload of an unchanged group keeps it."""
        return name in self._added

    async def add_server(self, server: ServerSettings) -> Backend:
        """Take in a server that the configuration does not have."""
        backend = await self.group.add(server)
        self._added.add(server.name)
        self.checker.add(backend)
        return backend

    async def server_gone(self, name: str, reason: str) -> None:
        """A server has ended, or is no longer wanted."""
        self._added.discard(name)
        backend = await self.group.remove(name)
        if backend is not None:
            self.checker.remove(backend)
            _logger.warning("%s: server %s is gone (%s)", self.group.name, name, reason)
