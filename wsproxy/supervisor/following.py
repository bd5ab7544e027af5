"""A group of a data plane process: which servers there are and which may be chosen is said by the parent, as full sets.

Knows the group and what it is told. It neither probes nor starts servers; whoever tells it twice the same changes
nothing, so that a set may be sent again at any time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import anyio
from anyio.lowlevel import checkpoint

from wsproxy.config.diff import server_key
from wsproxy.config.group_settings import GroupSettings, ServerSettings
from wsproxy.config.share import Share, share_server
from wsproxy.running import RunningGroup

if TYPE_CHECKING:
    from wsproxy.backend.backend import Backend


@dataclass(frozen=True, slots=True)
class ServerState:
    """One server as the parent sees it. The settings are those of all processes together.

    recoveries: how often its probes have gone well again.
    """

    settings: ServerSettings
    up: bool = True
    enabled: bool = True
    leaving: bool = False
    recoveries: int = 0


@dataclass(frozen=True, slots=True)
class GroupState:
    """All servers of one group, in their order."""

    name: str
    servers: tuple[ServerState, ...]


def states_of(groups: Sequence[RunningGroup]) -> tuple[GroupState, ...]:
    """What the parent's groups say now."""
    return tuple(GroupState(running.group.name, tuple(_states(running))) for running in groups)


def _states(running: RunningGroup) -> list[ServerState]:
    backends = sorted(running.group.backends.values(), key=lambda backend: backend.position)
    records = running.checker.records
    recoveries = [records[each].recoveries if each in records else 0 for each in backends]
    return [
        ServerState(each.settings, each.up, each.enabled, each.leaving, count)
        for each, count in zip(backends, recoveries, strict=True)
    ]


class FollowingGroup(RunningGroup):
    """A group that does what it is told."""

    async def run(self) -> None:
        """Run the pools until cancelled or `retire`d."""
        with self._life:
            async with anyio.create_task_group() as tasks:
                self._tasks = tasks
                tasks.start_soon(self.group.run)
                await checkpoint()  # it runs: from now on servers can be brought in
                self.ready.set()

    async def use(self, settings: GroupSettings) -> None:
        """Take over other settings; which servers there are follows."""
        self.settings = settings
        self.group.watch(settings.watch)

    async def follow(self, state: GroupState, share: Share) -> None:
        """Become what the parent says, with this process's share of each pool."""
        await self.ready.wait()
        wanted = [replace(each, settings=share_server(each.settings, share)) for each in state.servers]
        settings = [each.settings for each in wanted]
        await self._bring_in(settings)
        staying = {server_key(server) for server in settings}
        for backend in tuple(self.group.backends.values()):
            if server_key(backend.settings) not in staying:
                await self.server_gone(backend.name, "no longer wanted")
        await self._bring_in(settings)  # those whose names had to become free
        self.group.use(settings)
        await self.group.weigh()
        for each in wanted:
            await self._judge(self.group.backends[each.settings.name], each)

    async def server_gone(self, name: str, reason: str) -> None:  # noqa: ARG002
        """A server is no longer wanted; the parent has said why."""
        await self.group.remove(name)

    async def _bring_in(self, servers: Sequence[ServerSettings]) -> None:
        for server in servers:
            if server.name not in self.group.backends:
                await self.group.add(server)

    async def _judge(self, backend: Backend, state: ServerState) -> None:
        if state.leaving and not backend.leaving:
            await self.group.drain(backend)
        elif state.enabled and not backend.enabled:
            await self.group.enable(backend)
        elif backend.enabled and not state.enabled:
            await self.group.disable(backend)
        if state.up != backend.up:
            await self.group.set_up(backend, state.up)
        backend.guard.heard_of_recoveries(state.recoveries)
