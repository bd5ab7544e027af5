"""The servers of a group that may be chosen now: a frozen tuple and a version under the readers-writer lock.

Knows the lock and the order of its items, not what an item is. Health checks, the admin API, discovery and outlier
ejection write; every request reads. A reader takes the whole tuple and lets the lock go, so no one ever iterates over
a list that changes below it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from wsproxy.net.rwlock import RWLock

T = TypeVar("T")


class HealthyServers(Generic[T]):
    """A set of items kept in the order of `position`, so that round-robin does not jump when one leaves and returns.

    `position` maps an item to its place in the configuration; of items at the same place the one added first leads.
    `version` grows by one at each change and at nothing else: what is derived from a snapshot can be kept until then.
    """

    __slots__ = ("_lock", "_position", "_servers", "version")

    def __init__(self, position: Callable[[T], int], items: Iterable[T] = ()) -> None:
        self._position = position
        self._lock = RWLock()
        self._servers: tuple[T, ...] = tuple(sorted(dict.fromkeys(items), key=position))
        self.version = 0

    def snapshot(self) -> tuple[T, ...] | None:
        """The items now, without waiting; None while a writer holds the lock or waits for it (rare, and short)."""
        lock = self._lock
        if not lock.try_read():
            return None
        servers = self._servers
        lock.release_read()
        return servers

    async def wait_snapshot(self) -> tuple[T, ...]:
        """The items, once every writer that came before has finished."""
        await self._lock.acquire_read()
        servers = self._servers
        self._lock.release_read()
        return servers

    async def add(self, item: T) -> bool:
        """Put an item in at its place; False when it is there already."""
        return await self._write(lambda servers: servers if item in servers else self._ordered((*servers, item)))

    async def discard(self, item: T) -> bool:
        """Take an item out; False when it is not there."""
        return await self._write(lambda servers: tuple(other for other in servers if other != item))

    async def replace(self, items: Iterable[T]) -> bool:
        """Hold exactly these items from now on; False when that changes nothing."""
        following = self._ordered(items)
        return await self._write(lambda _: following)

    async def renew(self, items: Iterable[T]) -> None:
        """Hold exactly these items, in a new tuple even if they are the same: what was derived from it is void."""
        following = self._ordered(items)
        await self._write(lambda _: following, anew=True)

    def _ordered(self, items: Iterable[T]) -> tuple[T, ...]:
        return tuple(sorted(dict.fromkeys(items), key=self._position))

    async def _write(self, build: Callable[[tuple[T, ...]], tuple[T, ...]], anew: bool = False) -> bool:
        """Build the next tuple before the lock is taken, and swap it in by one assignment under the lock."""
        version = self.version
        following = build(self._servers)
        async with self._lock.write():
            if self.version != version:  # another writer came first; built again here, we keep our place in the line
                following = build(self._servers)
            if following == self._servers and not anew:
                return False
            self._servers = following
            self.version += 1
            return True
