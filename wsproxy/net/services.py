"""What runs for as long as somebody needs it, one for each URL: the clients of servers that several places share.

Knows tasks and names; not what the services are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

import anyio

if TYPE_CHECKING:
    from anyio.abc import TaskGroup


class Service(Protocol):
    """What is kept running."""

    async def run(self) -> None:
        """Serve until cancelled."""
        ...


T = TypeVar("T", bound=Service)


class ServicesByUrl(Generic[T]):
    """Services that `make` makes, each when it is first asked for."""

    def __init__(self, make: Callable[[str], T]) -> None:
        self._make = make
        self._services: dict[str, T] = {}
        self._lives: dict[str, anyio.CancelScope] = {}
        self._tasks: TaskGroup | None = None

    @property
    def all(self) -> list[T]:
        """Those that there are."""
        return list(self._services.values())

    def at(self, url: str) -> T:
        """The one for `url`; it runs while `run` does."""
        service = self._services.get(url)
        if service is None:
            service = self._services[url] = self._make(url)
            self._lives[url] = anyio.CancelScope()
            if self._tasks is not None:
                self._tasks.start_soon(self._live, service, self._lives[url])
        return service

    def keep_only(self, urls: Iterable[str | None]) -> None:
        """End those for other URLs."""
        for url in self._services.keys() - set(urls):
            del self._services[url]
            self._lives.pop(url).cancel()

    async def run(self) -> None:
        """Run them until cancelled."""
        async with anyio.create_task_group() as self._tasks:
            for url, service in self._services.items():
                self._tasks.start_soon(self._live, service, self._lives[url])
            await anyio.sleep_forever()

    async def _live(self, service: T, life: anyio.CancelScope) -> None:
        with life:
            await service.run()
