"""The parent of several data plane processes: the same application, but that clients are served by its children.

It binds the listeners and never accepts; its groups are probed and managed and carry no request; what they come to is
sent to every process as a full set. A change reaches all processes or none.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Final

import anyio
from anyio.abc import TaskStatus

from wsproxy.app import Application
from wsproxy.config.group_settings import GroupSettings
from wsproxy.config.model import Config
from wsproxy.frontend.frontend import Frontend
from wsproxy.frontend.tcp import TcpFrontend
from wsproxy.limiting.places import NoRoomError, Place, Places
from wsproxy.limiting.together import CommonCounts
from wsproxy.listeners import Listeners
from wsproxy.net.shared_memory import SharedMemory
from wsproxy.net.systemd import InheritedSockets, ServiceManager
from wsproxy.observe.snapshot import GroupFigures
from wsproxy.reload import Reload, ReloadError
from wsproxy.running import RunningGroup
from wsproxy.scaler import BackendLoad
from wsproxy.signals import Stop
from wsproxy.supervisor.channel import ChannelError, GoneError, RefusedError
from wsproxy.supervisor.children import Answers, Children
from wsproxy.supervisor.following import GroupState, states_of
from wsproxy.supervisor.many import ManyControl
from wsproxy.supervisor.orders import Orders
from wsproxy.supervisor.predecessor import TakeoverError
from wsproxy.supervisor.source import Source

if TYPE_CHECKING:
    from wsproxy.admin.control import Control
    from wsproxy.backend.backend import Backend
    from wsproxy.supervisor.child import Child

LOOK_AGAIN_S: Final = 0.2
"""Between two looks at what processes still have in hand for a server that is to go."""

SPREAD_EVERY_S: Final = 0.25
"""How late a process may learn that a request to another has changed what it keeps."""

END_S: Final = 3.0
"""Beyond `shutdown_timeout`, for the last lines of the logs."""

ABANDON_S: Final = 1.0
"""Who does not hear that nothing comes of a reload forgets it at the next one."""

_logger = logging.getLogger("wsproxy.process")


class HeldListeners(Listeners):
    """Sockets that are open here and accepted on elsewhere."""

    def start(self, frontend: Frontend | TcpFrontend, sockets: list[socket.socket]) -> None:
        """Hold the sockets."""
        frontend.sockets = sockets

    def retire(self, leaving: Iterable[Frontend | TcpFrontend]) -> None:
        """Close the sockets of those that are no more: nobody accepts here who would."""
        for frontend in leaving:
            for listening in frontend.sockets:
                listening.close()


class ControlPlane(Application):
    """The application of the parent. children: the processes that serve. Raises NoRoomError."""

    def __init__(
        self,
        source: Source,
        count: int,
        manager: ServiceManager | None = None,
        inherited: InheritedSockets | None = None,
        sticky_secret: bytes = b"",
    ) -> None:
        self.source = self._next_source = source
        self._changed = anyio.Event()
        self._published: tuple[GroupState, ...] = ()
        super().__init__(source.load(), self._read_again, manager, inherited, sticky_secret)
        self.children = Children(count, self._orders, SharedMemory())
        self._places = Places(self.children.counts)
        self._counts = CommonCounts(self.children.counts, self.sticky_secret, is_asked=True)
        self._places.use(self._make_places(self.config))
        self._counts.commit()
        self.routes.guards.count_together(self._counts)

    def _read_again(self) -> Config:
        self._next_source = Source.read(self.source.path)
        return self._next_source.reload()

    # What it makes.

    def make_group(self, settings: GroupSettings) -> RunningGroup:
        """A group whose changes are told to the processes."""
        running = super().make_group(settings)
        running.group.on_change = self._group_changed
        running.measure = partial(self._measure, settings.name)
        running.until_unused = partial(self._until_unused, settings.name)
        return running

    def make_listeners(self, inherited: InheritedSockets) -> Listeners:
        """What holds the sockets; the processes accept."""
        return HeldListeners(self.deadlines, self.rng, self.logbook, inherited)

    def make_control(self) -> Control:
        """What operators may ask, of all processes."""
        return ManyControl(super().make_control(), self.children, self.settle)

    async def _measure(self, group: str) -> dict[str, BackendLoad]:
        """What the servers of a group have to do, for all processes."""
        loads: dict[str, BackendLoad] = {}
        for each in await self._figures_of(group):
            for backend in each.backends:
                load = loads.get(backend.name, BackendLoad(0, 0))
                exchanges = load.exchanges + backend.pool.exchanges
                loads[backend.name] = BackendLoad(exchanges, load.leases + backend.leases)
        return loads

    async def _until_unused(self, group: str, backend: Backend) -> None:
        """No process has anything in hand for a server that has left."""
        await self.settle()
        while any(each.parting.get(backend.name) for each in await self._figures_of(group)):  # noqa: ASYNC110
            await anyio.sleep(LOOK_AGAIN_S)

    async def _figures_of(self, group: str) -> list[GroupFigures]:
        return [each for found in await self.children.snapshots() for each in found.groups if each.name == group]

    def _orders(self) -> Orders:
        return Orders(
            source=self.source,
            count=self.children.count,
            secret=self.sticky_secret,
            listeners=self.listeners.sockets,
            states=states_of(tuple(self.groups.values())),
            places=self._places.now,
        )

    def _make_places(self, config: Config) -> tuple[Place, ...]:
        """Room for what the processes will count together. Raises NoRoomError, and has changed nothing then."""
        places = self._places.planned(config.routes, monotonic())
        self._counts.prepare(places)
        return places

    # Its life.

    async def serve(self, stop: Stop, task_status: TaskStatus[list[str]]) -> None:
        """Have the processes serve until it is time to stop."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._publish)
            tasks.start_soon(self._spread_changes)
            await super().serve(stop, task_status)
            tasks.cancel_scope.cancel()

    async def come_up(self) -> None:
        """Wait for managed servers, then until the processes serve.

        Raises TakeoverError when one of them does not, and the proxy that is to be replaced serves still.
        """
        await super().come_up()
        self.services.start_soon(self.children.run)
        await self.children.up.wait()
        if self.replaces_another and len(self.children.serving) < self.children.count:
            await self._end_processes()
            raise TakeoverError(self.children.last_words)
        await self.children.one_serves.wait()

    async def drain(self, next_signal: Callable[[], Awaitable[object]]) -> None:
        """Have every process drain; those that do not end in time are killed."""
        self.say("stopping: %d processes finish what is in flight", len(self.children.serving))
        self.listeners.close()
        async with anyio.create_task_group() as waiting:
            waiting.start_soon(self._hurry_on_signal, next_signal)
            await self._end_processes()
            waiting.cancel_scope.cancel()

    async def _end_processes(self) -> None:
        with anyio.move_on_after(self.shutdown_timeout_s + END_S):
            await self.children.stop(self.successor)
            await self.children.ended.wait()
        if self.children.alive:
            _logger.warning("%d processes did not end in time and are killed", len(self.children.alive))

    async def _hurry_on_signal(self, next_signal: Callable[[], Awaitable[object]]) -> None:
        await next_signal()
        _logger.warning("second signal: ending at once")
        await self.children.stop(self.successor)

    # What the processes are told.

    def _group_changed(self) -> None:
        self._changed.set()

    async def _publish(self) -> None:
        """Tell every process of each change of the servers."""
        while True:
            await self._changed.wait()
            self._changed = anyio.Event()
            await self.settle()

    async def _spread_changes(self) -> None:
        """Tell every process what requests to the others have made stale, where each keeps answers of its own."""
        while True:
            await anyio.sleep(SPREAD_EVERY_S)
            if not self.routes.caching.is_kept_here:
                continue
            answers = await self.children.ask_all("take_changes")
            told = {child: answer["keys"] for child, answer in answers.items() if isinstance(answer, dict)}
            if any(told.values()):
                await self.children.ask_all("forget", lambda child: {"keys": _of_others(told, child)})  # noqa: B023

    async def settle(self) -> int:
        """Return when every process follows what the groups say now; how many they are."""
        async with self.children.changing:
            states = states_of(tuple(self.groups.values()))
            if states != self._published:
                self._published = states
                await self.children.oblige("follow", self._orders().follow())
        return len(self.children.serving)

    async def carry_out(self, change: Reload) -> None:
        """Reload in every process or in none: all make ready, then all change. Raises ReloadError."""
        async with self.children.changing:
            try:
                places = self._make_places(change.new)
            except NoRoomError as error:
                raise ReloadError(f"{change.new.source}: {error}") from None
            change.prepare()
            orders = self._next_orders(change, places)
            answers = await self.children.ask_all("prepare", lambda child: orders.prepare(child.index), orders.sockets)
            problems = self._refusals(answers)
            if problems:
                change.abandon()
                self._counts.abandon()
                await self.children.ask_all("abandon", timeout_s=ABANDON_S)
                raise ReloadError("\n".join(problems))
            self.source = self._next_source
            self._counts.commit()
            await self.commit(change)
            self._published = states_of(tuple(self.groups.values()))
            count = await self.children.oblige("commit", self._orders().follow())
            self._places.use(places)
        self.say("reload: in force in %d processes", count)

    def _next_orders(self, change: Reload, places: tuple[Place, ...]) -> Orders:
        now = self._orders()
        return Orders(self._next_source, now.count, now.secret, change.sockets, now.states, places)

    def _refusals(self, answers: Answers) -> list[str]:
        """Why not every process is ready; one that died meanwhile is no reason, as its successor begins anew."""
        problems: dict[str, None] = {}
        for child, answer in answers.items():
            if isinstance(answer, RefusedError):
                problems |= dict.fromkeys(str(answer).splitlines())
            elif isinstance(answer, ChannelError) and not isinstance(answer, GoneError):
                problems[f"process {child.number}: {answer}"] = None
        return list(problems)

    def reopen_logs(self) -> None:
        """Have every process write to new files."""
        super().reopen_logs()
        self.services.start_soon(self.children.ask_all, "reopen")


def _of_others(told: Mapping[Child, list[str]], child: Child) -> list[str]:
    return [key for other, keys in told.items() if other is not child for key in keys]
