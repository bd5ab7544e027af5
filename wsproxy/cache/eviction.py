"""Which answers stay when there is not room for all: S3-FIFO (Yang et al., SOSP 2023), bounded in bytes.

Pure. Two queues: what is new waits in a small one, and only what is asked for again there moves to the main one, where
it is asked once more before it goes. A crawl through a million pages so pushes out what is in the small queue and
nothing else. A hit is one look-up and one comparison: no queue is touched.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Final, Generic, TypeVar

V = TypeVar("V")

SMALL_PART: Final = 0.1
"""Of the room: what the paper found best over 14 data sets, and says hardly matters between 0.05 and 0.2."""
MOST_USES: Final = 3
"""Uses that are remembered: two bits, as in the paper; more keeps what was popular long ago."""


class _Slot(Generic[V]):
    """A value, how much room it takes, and how often it was asked for since it was last looked at."""

    __slots__ = ("in_main", "key", "size", "uses", "value")

    def __init__(self, key: bytes, value: V, size: int, in_main: bool) -> None:
        self.key = key
        self.value = value
        self.size = size
        self.in_main = in_main
        self.uses = 0


class BoundedMap(Generic[V]):
    """A map of at most so many bytes. used: by all values. evicted: values that had to go, so far."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._slots: dict[bytes, _Slot[V]] = {}
        self._small: OrderedDict[bytes, _Slot[V]] = OrderedDict()
        self._main: OrderedDict[bytes, _Slot[V]] = OrderedDict()
        self._small_used = 0
        self._gone: OrderedDict[int, None] = OrderedDict()  # hashes of keys that left the small queue
        self.used = 0
        self.evicted = 0

    def __len__(self) -> int:
        return len(self._slots)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._slots)

    def get(self, key: bytes) -> V | None:
        """The value, which counts as a use."""
        slot = self._slots.get(key)
        if slot is None:
            return None
        if slot.uses < MOST_USES:
            slot.uses += 1
        return slot.value

    def put(self, key: bytes, value: V, size: int) -> list[tuple[bytes, V]]:
        """Keep a value of `size` bytes; returns what had to go, which is the value itself where it is too large."""
        before = self._slots.get(key)
        self.pop(key)
        if size > self._limit:
            return [(key, value)]
        in_main = (before is not None and before.in_main) or hash(key) in self._gone
        slot = _Slot(key, value, size, in_main)
        if before is not None:
            slot.uses = before.uses
        self._slots[key] = slot
        self._enter(slot)
        self.used += size
        return self._make_room()

    def pop(self, key: bytes) -> V | None:
        """Take a value out."""
        slot = self._slots.pop(key, None)
        if slot is None:
            return None
        self._leave(slot)
        self.used -= slot.size
        return slot.value

    def resize(self, limit: int) -> list[tuple[bytes, V]]:
        """Have another limit from now on; returns what had to go."""
        self._limit = limit
        return self._make_room()

    def clear(self) -> None:
        """Take everything out."""
        for part in (self._slots, self._small, self._main, self._gone):
            part.clear()
        self.used = self._small_used = 0

    def _enter(self, slot: _Slot[V]) -> None:
        if slot.in_main:
            self._main[slot.key] = slot
        else:
            self._small[slot.key] = slot
            self._small_used += slot.size

    def _leave(self, slot: _Slot[V]) -> None:
        if slot.in_main:
            del self._main[slot.key]
        else:
            del self._small[slot.key]
            self._small_used -= slot.size

    def _make_room(self) -> list[tuple[bytes, V]]:
        gone: list[tuple[bytes, V]] = []
        while self.used > self._limit:
            from_small = self._small_used > self._limit * SMALL_PART or not self._main
            slot = self._next_of_small() if from_small else self._next_of_main()
            if slot is not None:
                del self._slots[slot.key]
                self.used -= slot.size
                self.evicted += 1
                gone.append((slot.key, slot.value))
        return gone

    def _next_of_small(self) -> _Slot[V] | None:
        """The oldest of the small queue; None where it has earned its place in the main one."""
        key, slot = self._small.popitem(last=False)
        self._small_used -= slot.size
        if slot.uses:
            slot.uses = 0
            slot.in_main = True
            self._main[key] = slot
            return None
        self._gone[hash(key)] = None
        while len(self._gone) > len(self._slots):
            self._gone.popitem(last=False)
        return slot

    def _next_of_main(self) -> _Slot[V] | None:
        """The oldest of the main queue; None where it may stay for another round."""
        key, slot = self._main.popitem(last=False)
        if slot.uses:
            slot.uses -= 1
            self._main[key] = slot
            return None
        return slot
