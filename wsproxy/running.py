"""Assembly: one group at run time: its backends, with those who say which there are and which are healthy.

Joins `backend`, `health` and `managed`, which do not know each other; decides nothing itself.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import replace
from typing import Final

import anyio
from anyio.abc import TaskGroup

from wsproxy.backend.backend import Backend
from wsproxy.backend.group import Group
from wsproxy.config.diff import server_key
from wsproxy.config.group_settings import GroupSettings, ScalingSettings, ServerSettings
from wsproxy.finder import Finder
from wsproxy.health.checker import HealthChecker, ProbeRecord, ProbeTarget
from wsproxy.health.probe import probe
from wsproxy.managed.servers import ManagedServers
from wsproxy.net.deadlines import Deadlines
from wsproxy.observe.past import Past
from wsproxy.scaler import BackendLoad, Measure, Scaler

_logger = logging.getLogger("wsproxy")


DRAIN_TIMEOUT_S: Final = 30.0
"""What a managed server that is let go has for what it has in hand, until the application says otherwise."""


class RunningGroup:
    """A group at run time, with those who say which of its servers there are and which are healthy.

    parting: backends that have left the group and still have something in hand. measure: how much each server has to
    do, for the scaler. listed: the servers as the file has them, or as they were found last. until_unused: waits until
    a backend that has left has nothing in hand any more. drain_timeout_s: how long managed servers that are let go are
    waited for.
    """

    def __init__(self, settings: GroupSettings, deadlines: Deadlines, rng: random.Random) -> None:
        self.settings = settings
        self.group = Group(settings.name, settings.servers, deadlines, settings.watch)
        self._rng = rng
        self._added: set[str] = set()
        self.listed = settings.servers
        self.checker = HealthChecker(settings.health, self, rng)
        self._probed: Past[ProbeRecord] = Past()
        self.ready = anyio.Event()
        self._life = anyio.CancelScope()
        self._checking = anyio.CancelScope()
        self._scaling = anyio.CancelScope()
        self._tasks: TaskGroup | None = None
        self.drain_timeout_s = DRAIN_TIMEOUT_S
        self.parting: dict[str, Backend] = {}
        self.managed: ManagedServers | None = None
        self.scaler: Scaler | None = None
        self.measure: Measure = self._measure
        self.until_unused: Callable[[Backend], Awaitable[object]] = _until_gone
        if settings.managed is not None and settings.template is not None:
            self.managed = ManagedServers(settings.managed, settings.name, settings.template, self)
            self.managed.is_ready = self._is_ready
            self._scale(settings.scaling)
        self.finder: Finder | None = None
        self._finding = anyio.CancelScope()
        self._held: frozenset[str] = frozenset()
        if settings.discovery is not None and settings.template is not None:
            self.finder = Finder(settings.name, settings.discovery, settings.template, self._use_found)
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
                if self.finder is not None:
                    tasks.start_soon(self._find, self.finder)
                elif self.managed is None:
                    self.ready.set()
                else:
                    tasks.start_soon(self.managed.run)
                    if self.scaler is not None:
                        tasks.start_soon(self._run_scaler, self.scaler)

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
            await self._use_managed(settings)
            return
        if settings.discovery is not None:
            await self._use_discovery(settings)
            return
        await self._use_servers(settings.servers, "no longer configured")

    async def _use_servers(self, wanted: Sequence[ServerSettings], reason: str, keeping: Collection[str] = ()) -> None:
        """These are all there are now, besides those named as `keeping`; who is not among them goes for `reason`."""
        self.listed = tuple(wanted)
        staying = {server_key(server) for server in wanted}
        for backend in tuple(self.group.backends.values()):
            if server_key(backend.settings) not in staying and backend.name not in keeping:
                await self.server_gone(backend.name, reason)
        switched = [server.name for server in wanted if self._is_switched(server)]
        self.group.use(wanted)
        for server in wanted:
            if server.name not in self.group.backends:
                backend = await self.group.add(server)
                if server.enabled:
                    self._watch(backend)
        self.group.use(wanted)
        for name in switched:
            await self._switch(self.group.backends[name])
        await self.group.weigh()

    async def _use_found(self, wanted: Sequence[ServerSettings], held: frozenset[str]) -> None:
        """Take over a set that was found; what an operator has added stays beside it."""
        names = {server.name for server in wanted}
        await self._use_servers(wanted, "not found any more", keeping=self._added - names)
        for name in held - self._held:
            await self.group.disable(self.group.backends[name])
        for name in (self._held - held) & names:
            await self.enable(self.group.backends[name])
        self._held = held
        self.ready.set()

    async def _use_discovery(self, settings: GroupSettings) -> None:
        if self.finder is None or settings.discovery is None or settings.template is None:
            return
        if settings.discovery == self.finder.settings:
            await self.finder.use_template(settings.template)
            return
        self._finding.cancel()
        self._finding = anyio.CancelScope()
        errors = self.finder.errors
        self.finder = Finder(self.group.name, settings.discovery, settings.template, self._use_found)
        self.finder.errors = errors
        if self._tasks is not None:
            self._tasks.start_soon(self._find, self.finder)

    async def _find(self, finder: Finder) -> None:
        with self._finding:
            await finder.run()

    async def _use_managed(self, settings: GroupSettings) -> None:
        """Servers that are started another way are replaced one after the other; pools take new sizes in place."""
        if self.managed is not None and settings.managed is not None and settings.template is not None:
            self.managed.use(settings.managed, settings.template)
        template = settings.template
        if template is not None:
            for backend in self.group.backends.values():
                pool = replace(template, name=backend.name, address=backend.address, enabled=backend.settings.enabled)
                if pool != backend.settings:
                    backend.use(pool, backend.position)
        self._scale(settings.scaling)
        await self.group.weigh()

    def _scale(self, settings: ScalingSettings | None) -> None:
        """Begin to scale, go on with other limits, or stop."""
        if self.managed is None or settings is None:
            self._scaling.cancel()
            self.scaler = None
        elif self.scaler is not None:
            self.scaler.use(settings)
        else:
            self.scaler = Scaler(self.group.name, settings, self.managed, lambda: self.measure())
            self._scaling = anyio.CancelScope()
            if self._tasks is not None:
                self._tasks.start_soon(self._run_scaler, self.scaler)

    async def _run_scaler(self, scaler: Scaler) -> None:
        with self._scaling:
            await scaler.run()

    async def _measure(self) -> dict[str, BackendLoad]:
        backends = self.group.backends.values()
        return {each.name: BackendLoad(each.pool.exchanges, each.leases) for each in backends}

    async def _is_ready(self, server: ServerSettings) -> bool:
        """A server that is to answer probes is ready when it answers one; for others a connection was enough."""
        return self.settings.health.path is None or await probe(server.address, self.settings.health) is None

    def _is_switched(self, server: ServerSettings) -> bool:
        backend = self.group.backends.get(server.name)
        return backend is not None and backend.settings.enabled != server.enabled

    async def _switch(self, backend: Backend) -> None:
        """The file says otherwise than before whether it is enabled; while it does not, an operator's word counts."""
        if backend.settings.enabled:
            await self.enable(backend)
        else:
            self._unwatch(backend)
            await self.group.drain(backend)

    async def enable(self, backend: Backend) -> None:
        """Let it have work again, and be probed if it was not."""
        self._watch(backend)
        await self.group.enable(backend)

    def _watch(self, backend: Backend) -> None:
        self.checker.add(backend, self._probed.get(backend.name))

    def _unwatch(self, backend: Backend) -> None:
        if (record := self.checker.remove(backend)) is not None:
            self._probed.note(backend.name, record)

    def record_of(self, backend: Backend) -> ProbeRecord | None:
        """What probes have said of it, be it that it is not probed now."""
        return self.checker.records.get(backend) or self._probed.get(backend.name)

    def go_on_from(self, old: RunningGroup) -> None:
        """Take the place of another of this name, before `run`: what is counted under a name goes on."""
        self.group.go_on_from(old.group)
        self._probed.add(old._probed)
        for target, record in old.checker.records.items():
            self._probed.note(target.name, record)
        for target in tuple(self.checker.records):
            self.checker.remove(target)
            self.checker.add(target, self._probed.get(target.name))

    def _replace_checker(self) -> None:
        """Verdicts so far stay until the first probes with the new settings."""
        self._checking.cancel()
        self._checking = anyio.CancelScope()
        records = self.checker.records
        self.checker = HealthChecker(self.settings.health, self, self._rng)
        for backend in self.group.backends.values():
            if backend in records:
                self.checker.add(backend, records[backend])
        if self._tasks is not None:
            self._tasks.start_soon(self._check, self.checker)

    def is_replaced_by(self, settings: GroupSettings) -> bool:
        """Whether other settings of this name need a new group: its servers come another way, or are listed now."""
        return _how_servers_come(self.settings) != _how_servers_come(settings)

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
        if is_good and self.group.on_change is not None:  # others have ejected it, and are told of recoveries
            self.group.on_change()
        return isinstance(target, Backend) and target.guard.probed(is_good, self.settings.health.rise)

    async def server_leaving(self, name: str) -> None:
        """A managed server is to go: let it finish what it has, for a time."""
        backend = await self._let_go(name)
        if backend is not None:
            _logger.info("%s: server %s is let go", self.group.name, name)
            with anyio.move_on_after(self.drain_timeout_s):
                await self.until_unused(backend)

    async def server_ready(self, server: ServerSettings) -> None:
        """A managed server answers."""
        self._watch(await self.group.add(server))
        wanted = self.settings.managed
        if wanted is not None and len(self.group.backends) >= wanted.startup_servers:
            self.ready.set()

    def is_added(self, name: str) -> bool:
        """Whether a backend of the group came from an operator: a reload of an unchanged group keeps it."""
        return name in self._added

    def is_held(self, name: str) -> bool:
        """Whether it gets nothing new because who finds the servers says so."""
        return name in self._held

    async def add_server(self, server: ServerSettings) -> Backend:
        """Take in a server that the configuration does not have."""
        backend = await self.group.add(server)
        self._added.add(server.name)
        self._watch(backend)
        return backend

    async def server_gone(self, name: str, reason: str) -> None:
        """A server has ended, or is no longer wanted."""
        if await self._let_go(name) is not None:
            _logger.warning("%s: server %s is gone (%s)", self.group.name, name, reason)

    async def _let_go(self, name: str) -> Backend | None:
        self._added.discard(name)
        backend = await self.group.remove(name)
        if backend is not None:
            self._unwatch(backend)
            if not backend.gone.is_set() and self._tasks is not None:
                self.parting[name] = backend
                self._tasks.start_soon(self._see_off, backend)
        return backend

    async def _see_off(self, backend: Backend) -> None:
        await backend.gone.wait()
        if self.parting.get(backend.name) is backend:
            del self.parting[backend.name]


def _how_servers_come(settings: GroupSettings) -> tuple[bool, bool]:
    return settings.managed is not None, settings.discovery is not None


async def _until_gone(backend: Backend) -> None:
    await backend.gone.wait()
