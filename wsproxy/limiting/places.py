"""Where in the memory that processes share the buckets of each limit stand: decided by the parent, for all of them.

Knows settings and sizes. A limit keeps its place, and with it what is counted there, as long as its route, what it
counts by and its size stay; another rate is told with the moment since which it holds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Self

from wsproxy.config.model import Rate, RateLimitSettings, RequestKey, RouteSettings
from wsproxy.net.shared_memory import PART_BYTES, SharedMemory
from wsproxy.protection.bucket_table import SET_BYTES, sets_for


class NoRoomError(Exception):
    """The system gives no memory that is enough for all limits; str() says how much was wanted."""

    @classmethod
    def of(cls, places: Iterable[Place], error: OSError) -> Self:
        """Why these cannot be had."""
        wanted = sum(place.size_bytes for place in places)
        reason = error.strerror or error
        return cls(
            f"rate limits need {wanted:,} bytes that the processes share, and the system refuses ({reason}): lower "
            f"'rate_limit_entries', or its limits on memory and files"
        )


@dataclass(frozen=True, slots=True)
class Place:
    """The table of one limit. changed_at: since when it has its rate, on the machine's clock; 0.0 for always."""

    name: str
    offset: int
    sets: int
    rate: Rate
    burst: int
    changed_at: float = 0.0

    @property
    def size_bytes(self) -> int:
        """Of the sets."""
        return self.sets * SET_BYTES

    @property
    def end(self) -> int:
        """Where another part may begin."""
        return self.offset + -(-self.size_bytes // PART_BYTES) * PART_BYTES


def bucket_names(route: str, settings: RateLimitSettings) -> list[str]:
    """What the limits of a route are known by: what each counts by, and which of those that do."""
    seen: Counter[RequestKey] = Counter()
    names = []
    for limit in settings.limits:
        seen[limit.key] += 1
        names.append(f"{route} {limit.key.source} {limit.key.name} {seen[limit.key]}")
    return names


class Places:
    """Gives places in `memory`. now: those in force."""

    def __init__(self, memory: SharedMemory) -> None:
        self._memory = memory
        self.now: tuple[Place, ...] = ()

    def planned(self, routes: Iterable[RouteSettings], changed_at: float) -> tuple[Place, ...]:
        """The places that the limits of other routes will have, with room for them. Raises NoRoomError."""
        old = {place.name: place for place in self.now}
        taken = list(self.now)
        found = []
        for place in _wanted(routes):
            before = old.get(place.name)
            if before is not None and before.sets == place.sets:
                is_same = (before.rate, before.burst) == (place.rate, place.burst)
                placed = before if is_same else replace(place, offset=before.offset, changed_at=changed_at)
            else:
                placed = _in_a_gap(place, taken)
                taken.append(placed)
            found.append(placed)
        try:
            self._memory.grow(max((place.end for place in found), default=0))
        except OSError as error:
            raise NoRoomError.of(found, error) from None
        return tuple(found)

    def use(self, places: tuple[Place, ...]) -> None:
        """Every process goes by these: what stood elsewhere is forgotten."""
        kept = {place.offset for place in places}
        gone = [place for place in self.now if place.offset not in kept]
        self.now = places
        for place in gone:
            self._memory.clear(place.offset, place.size_bytes)


def _wanted(routes: Iterable[RouteSettings]) -> Iterator[Place]:
    for route in routes:
        settings = route.rate_limit
        if settings.store != "memory":
            continue
        names = bucket_names(route.name, settings)
        for name, limit in zip(names, settings.limits, strict=True):
            yield Place(name, 0, sets_for(settings.entries), limit.rate, limit.burst)


def _in_a_gap(place: Place, taken: Iterable[Place]) -> Place:
    """The first stretch that nobody has and that is long enough."""
    for other in sorted(taken, key=lambda each: each.offset):
        if place.end <= other.offset:
            break
        place = replace(place, offset=max(place.offset, other.end))
    return place
