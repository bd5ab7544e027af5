"""How fast one client may send messages and bytes: two token buckets that may go into debt.

Pure: `now` is the caller's clock in seconds. What has arrived has arrived, so nothing is refused here: the debt says
for how long no more should be read.
"""

from __future__ import annotations

from typing import Protocol


class Rate(Protocol):
    """So many in so many seconds, from a bucket that holds that many."""

    @property
    def amount(self) -> int: ...

    @property
    def period_s(self) -> float: ...


class RateState:
    """The bucket of one rate: `amount` at first, refilled over `period_s`, and below zero when more was taken."""

    __slots__ = ("_level", "_rate", "_seen_at", "_total")

    def __init__(self, rate: Rate, now: float) -> None:
        self._rate = rate
        self._level = float(rate.amount)
        self._total = 0
        self._seen_at = now

    def wait_s(self, total: int, now: float) -> float:
        """Take what has come since the last call, `total` being the count so far; for how long to read no more."""
        rate = self._rate
        refilled = self._level + (now - self._seen_at) * rate.amount / rate.period_s
        self._level = min(refilled, rate.amount) - (total - self._total)
        self._total = total
        self._seen_at = now
        return max(0.0, -self._level * rate.period_s / rate.amount)
