"""Counts of durations in fixed buckets: plain numbers that the hot path adds to and a scrape reads.

Knows bounds and lists. One bisection and two additions are all that a measurement costs.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import Final

BOUNDS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Upper bounds (included), as prometheus has them by default, with finer ones below for servers next door and two more
for long polls. Each costs 8 bytes a histogram, and a line for each backend and route in every scrape."""


class Histogram:
    """Durations as they come. counts: one for each bound, and one for all that is longer; sum_s: of all of them."""

    __slots__ = ("counts", "sum_s")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS_S) + 1)
        self.sum_s = 0.0

    def record(self, seconds: float) -> None:
        """Count one duration."""
        self.counts[bisect_left(BOUNDS_S, seconds)] += 1
        self.sum_s += seconds


@dataclass(frozen=True, slots=True)
class Durations:
    """A histogram as it was at one moment: how many fell into each bucket (not summed up), and their sum in seconds."""

    counts: tuple[int, ...] = (0,) * (len(BOUNDS_S) + 1)
    sum_s: float = 0.0

    @classmethod
    def of(cls, *histograms: Histogram) -> Durations:
        """All of several, as one."""
        counts = tuple(sum(column) for column in zip(*(each.counts for each in histograms), strict=True))
        return cls(counts or cls().counts, sum(each.sum_s for each in histograms))

    @property
    def count(self) -> int:
        """How many durations there are."""
        return sum(self.counts)

    def __add__(self, other: Durations) -> Durations:
        """Both together."""
        return Durations(
            tuple(mine + its for mine, its in zip(self.counts, other.counts, strict=True)), self.sum_s + other.sum_s
        )


NO_DURATIONS: Final = Durations()
