"""Assembly: the groups of an application by name, at start and at reload, and the tasks that they run in.

Which servers a group has, and which of them are healthy, is the business of `running`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping

import anyio
from anyio.abc import TaskGroup
from anyio.lowlevel import checkpoint

from wsproxy.backend.backend import Backend
from wsproxy.config.group_settings import GroupSettings
from wsproxy.running import RunningGroup


class Groups(Mapping[str, RunningGroup]):
    """Those that routes lead to now. make: makes a group that does not run yet."""

    def __init__(self, make: Callable[[GroupSettings], RunningGroup]) -> None:
        self._make = make
        self._by_name: dict[str, RunningGroup] = {}
        self._tasks: TaskGroup | None = None

    def __getitem__(self, name: str) -> RunningGroup:
        return self._by_name[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)

    def __len__(self) -> int:
        return len(self._by_name)

    @property
    def backends(self) -> Iterator[Backend]:
        """The servers of all groups."""
        return (backend for running in self._by_name.values() for backend in running.group.backends.values())

    def add(self, settings: GroupSettings) -> None:
        """Have a group of these settings, in place of one of its name, which is counted on; it runs while all do."""
        old = self._by_name.get(settings.name)
        running = self._by_name[settings.name] = self._make(settings)
        if old is not None:
            running.go_on_from(old)
        if self._tasks is not None:
            self._tasks.start_soon(running.run)

    async def run(self) -> None:
        """Run all until cancelled."""
        async with anyio.create_task_group() as self._tasks:
            for running in self._by_name.values():
                self._tasks.start_soon(running.run)
            await anyio.sleep_forever()

    async def until_ready(self) -> None:
        """Wait for the servers that are still being started or looked for."""
        for running in tuple(self._by_name.values()):
            await running.ready.wait()

    async def change(self, wanted: Collection[GroupSettings]) -> list[RunningGroup]:
        """Start, change and replace groups; returns those that are to be retired once no route leads there."""
        names = {settings.name for settings in wanted}
        retiring = [self._by_name.pop(name) for name in tuple(self._by_name) if name not in names]
        for settings in wanted:
            running = self._by_name.get(settings.name)
            if running is not None and not running.is_replaced_by(settings):
                if running.settings != settings:
                    await running.use(settings)
                continue
            if running is not None:
                retiring.append(running)
            self.add(settings)
            await checkpoint()  # hundreds of them take longer than a request should wait
        return retiring

    async def retire(self, leaving: Collection[RunningGroup], timeout_s: float) -> None:
        """Have groups finish what they hold, within a time, and end."""
        for running in leaving:
            await checkpoint()
            if self._tasks is not None:
                self._tasks.start_soon(running.retire, timeout_s)
