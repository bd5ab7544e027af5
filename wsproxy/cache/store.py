"""Where answers are kept: what a cache asks of a store, and the one in this process's memory.

Knows answers and how they are told apart; not when one may be used.
"""

from __future__ import annotations

from itertools import count
from typing import Final, Protocol

from wsproxy.cache.asked import Asked
from wsproxy.cache.eviction import BoundedMap
from wsproxy.cache.selecting import route_prefix
from wsproxy.cache.stored import StoredAnswer

POINTER_BYTES: Final = 512
"""What it takes to know that a URL has several answers."""


class StoreFaultError(Exception):
    """A store did not do what an operator asked; str() says why."""


class Store(Protocol):
    """Answers by key, and under one key by what their Vary names.

    entries, used_bytes: what there is, 0 where nobody knows. evicted: answers that had to make room. faults: what it
    could not do in time.
    """

    @property
    def entries(self) -> int: ...

    @property
    def used_bytes(self) -> int: ...

    @property
    def evicted(self) -> int: ...

    @property
    def faults(self) -> int: ...

    async def find(self, key: bytes, asked: Asked) -> StoredAnswer | None:
        """The answer that fits the request, be it stale. Never raises for a store that does not work."""
        ...

    def keep(self, key: bytes, names: tuple[bytes, ...], asked: Asked, answer: StoredAnswer) -> None:
        """Keep an answer to `asked`; names: what its Vary names. Never waits: maybe it is there a little later."""
        ...

    def forget(self, key: bytes) -> None:
        """Let all answers under a key go; never waits, and they are not found from now on."""
        ...

    async def drop(self, key: bytes) -> int:
        """The same, told how many they were. Raises StoreFaultError."""
        ...

    async def drop_tag(self, tag: bytes) -> int:
        """Let all answers with a tag go; how many they were. Raises StoreFaultError."""
        ...

    async def clear(self) -> int:
        """Let all go; how many they were. Raises StoreFaultError."""
        ...

    async def run(self) -> None:
        """Do what it does besides answering, until cancelled."""
        ...


class Pointer:
    """Stands under a key whose answers vary. names: what by. prefix: what the keys of its answers begin with.

    The prefix is never used again: what was kept under an earlier pointer of the same URL is not found through it.
    """

    __slots__ = ("names", "prefix")

    def __init__(self, names: tuple[bytes, ...], prefix: bytes) -> None:
        self.names = names
        self.prefix = prefix


class MemoryStore:
    """Answers in this process, `limit_bytes` of them at most."""

    faults = 0

    def __init__(self, limit_bytes: int) -> None:
        self._map: BoundedMap[StoredAnswer | Pointer] = BoundedMap(limit_bytes)
        self._by_tag: dict[bytes, set[bytes]] = {}
        self._numbers = count(1)

    def resize(self, limit_bytes: int) -> None:
        """Have another limit from now on."""
        for key, value in self._map.resize(limit_bytes):
            self._unlink(key, value)

    @property
    def entries(self) -> int:
        """Answers and pointers."""
        return len(self._map)

    @property
    def used_bytes(self) -> int:
        """What they take, about."""
        return self._map.used

    @property
    def evicted(self) -> int:
        """Those that had to make room."""
        return self._map.evicted

    def look_up(self, key: bytes, asked: Asked) -> StoredAnswer | None:
        """As `find`, at once."""
        found = self._map.get(key)
        if type(found) is Pointer:
            found = self._map.get(found.prefix + asked.selected(found.names))
        return found if type(found) is StoredAnswer else None

    async def find(self, key: bytes, asked: Asked) -> StoredAnswer | None:
        """The answer that fits the request, be it stale."""
        return self.look_up(key, asked)

    def keep(self, key: bytes, names: tuple[bytes, ...], asked: Asked, answer: StoredAnswer) -> None:
        """Keep an answer to `asked`."""
        if names:
            pointer = self._map.get(key)
            if type(pointer) is not Pointer or pointer.names != names:
                self.forget(key)
                pointer = Pointer(names, b"%d %b\n" % (next(self._numbers), key))
                self._put(key, pointer, POINTER_BYTES + 2 * len(key))
            self._put(pointer.prefix + asked.selected(names), answer, answer.size_bytes + 2 * len(key))
        else:
            self.forget(key)
            self._put(key, answer, answer.size_bytes + len(key))

    def forget(self, key: bytes) -> None:
        """Let all answers under a key go."""
        self._take_all(key)

    async def drop(self, key: bytes) -> int:
        """The same, told how many they were."""
        return self._take_all(key)

    async def drop_tag(self, tag: bytes) -> int:
        """Let all answers with a tag go; how many they were."""
        keys = tuple(self._by_tag.get(b"tag " + tag, ()))
        for key in keys:
            self._take(key)
        return len(keys)

    async def clear(self) -> int:
        """Let all go; how many they were."""
        found = sum(type(self._map.get(key)) is StoredAnswer for key in self._map)
        self._map.clear()
        self._by_tag.clear()
        return found

    def drop_route(self, name: str) -> int:
        """Let all answers of a route go; how many they were."""
        prefix = route_prefix(name)
        return sum(self._take_all(key) for key in [key for key in self._map if key.startswith(prefix)])

    async def run(self) -> None:
        """Nothing."""

    def _put(self, key: bytes, value: StoredAnswer | Pointer, size: int) -> None:
        if (before := self._map.pop(key)) is not None:
            self._unlink(key, before)
        for group in _groups(key, value):
            self._by_tag.setdefault(group, set()).add(key)
        for gone, of in self._map.put(key, value, size):
            self._unlink(gone, of)

    def _take_all(self, key: bytes) -> int:
        found = self._map.get(key)
        if type(found) is not Pointer:
            return self._take(key)
        self._take(key)
        return sum(self._take(child) for child in tuple(self._by_tag.get(b"key " + found.prefix, ())))

    def _take(self, key: bytes) -> int:
        """Take one out; 1 for an answer, else 0."""
        value = self._map.pop(key)
        if value is None:
            return 0
        self._unlink(key, value)
        return int(type(value) is StoredAnswer)

    def _unlink(self, key: bytes, value: StoredAnswer | Pointer) -> None:
        for group in _groups(key, value):
            members = self._by_tag.get(group)
            if members is not None:
                members.discard(key)
                if not members:
                    del self._by_tag[group]


def _groups(key: bytes, value: StoredAnswer | Pointer) -> list[bytes]:
    """Under what an answer can be found together with others: its tags, and the pointer it belongs to."""
    if type(value) is not StoredAnswer:
        return []
    groups = [b"tag " + tag for tag in value.tags]
    prefix, end, _ = key.partition(b"\n")
    return [*groups, b"key " + prefix + end] if end else groups
