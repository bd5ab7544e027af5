"""What a cache has done: plain numbers, added up as things happen and read when somebody asks."""

from __future__ import annotations

from collections import Counter


class CacheTotals:
    """The counters of all caching routes of a process.

    results: requests by how they were answered, see `Outcome`. stored: answers kept. refused: those that could not be,
    for lack of room. purged: on request. background: fetches that nobody waited for. evicted, faults: of stores that
    are used no more.
    """

    __slots__ = ("background", "evicted", "faults", "purged", "refused", "results", "stored")

    def __init__(self) -> None:
        self.results: Counter[str] = Counter()
        self.stored = 0
        self.refused = 0
        self.purged = 0
        self.background = 0
        self.evicted = self.faults = 0
