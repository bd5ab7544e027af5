"""The buckets in memory that all processes of one proxy share, as one of them sees them.

Knows the places that the parent has given. Those of a reload are mapped before anything changes, as that can fail.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from time import monotonic
from typing import Final

from wsproxy.config.model import RateLimit
from wsproxy.limiting.places import NoRoomError, Place
from wsproxy.net.shared_memory import PART_BYTES, RecordLocks, SharedMemory
from wsproxy.protection.bucket_table import BucketTableState, count_busy

MOST_READ: Final = 256
"""Pages that are looked at to tell how many clients are remembered: all that there are of 256 clients or fewer; of
more so many spread evenly, which is right to a few per cent. That takes the parent 5 ms, and it carries no traffic."""


class CommonCounts:
    """Makes the states of limits.

    secret: whatever nobody outside knows. is_asked: whether it is this process that tells how many clients all of them
    remember; it would be told once by each.
    """

    def __init__(self, memory: SharedMemory, secret: bytes, is_asked: bool = False) -> None:
        self._memory = memory
        self._secret = blake2b(secret, digest_size=32, person=b"rate limits").digest()
        self._is_asked = is_asked
        self._places: dict[str, Place] = {}
        self._states: dict[str, BucketTableState] = {}
        self._next: tuple[dict[str, Place], dict[str, BucketTableState]] | None = None

    def prepare(self, places: tuple[Place, ...]) -> None:
        """Map the places of another configuration. Raises NoRoomError, and has changed nothing then."""
        states = {}
        for place in places:
            before = self._places.get(place.name)
            is_there = before is not None and (before.offset, before.sets) == (place.offset, place.sets)
            try:
                states[place.name] = self._states[place.name] if is_there else self._open(place)
            except OSError as error:
                raise NoRoomError.of(places, error) from None
        self._next = {place.name: place for place in places}, states

    def commit(self) -> None:
        """Go by what was prepared."""
        if self._next is not None:
            (self._places, self._states), self._next = self._next, None

    def abandon(self) -> None:
        """Nothing comes of it."""
        self._next = None

    def state(self, name: str, limit: RateLimit) -> BucketTableState | None:
        """The state of a limit of that name; None for one that has no place, as each process counts for itself."""
        place = self._places.get(name)
        if place is None:
            return None
        state = self._states[name]
        state.fill(limit.rate, limit.burst, place.changed_at)
        return state

    def _open(self, place: Place) -> BucketTableState:
        part = self._memory.part(place.offset, place.size_bytes)
        locks = RecordLocks(self._memory, place.offset)
        return BucketTableState(part, locks, self._secret, self._counting(place))

    def _counting(self, place: Place) -> Callable[[], int]:
        if not self._is_asked:
            return lambda: 0
        return lambda: remembered(self._memory, place, monotonic())


def remembered(memory: SharedMemory, place: Place, now: float) -> int:
    """How many clients a table remembers; about, where they are many."""
    pages = [page for written in memory.written(place.offset, place.size_bytes) for page in written[::PART_BYTES]]
    step = -(-len(pages) // MOST_READ) or 1
    looked = pages[::step]
    end = place.offset + place.size_bytes
    busy = sum(count_busy(memory.read(page, min(PART_BYTES, end - page)), now) for page in looked)
    return round(busy * len(pages) / len(looked)) if looked else 0
