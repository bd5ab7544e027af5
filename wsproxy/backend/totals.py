"""What a backend's pool has seen: plain numbers, added up where it happens and read when somebody asks."""

from __future__ import annotations

from dataclasses import dataclass

from wsproxy.errors import Failure, Side
from wsproxy.observe.histogram import Histogram


class PoolTotals:
    """The counters of a pool.

    connect: of connections that opened; queue_wait: of exchanges that a worker took after a wait, in the queue or for
    the whole group. dials: begun so far. connect_failures: those in vain. stale: connections that the server had closed
    when they were used again. reused_most: what `reused` has said. queue_timeouts: exchanges that no worker took in
    time. failed: attempts, by whose fault it was.
    """

    __slots__ = (
        *("connect", "queue_wait"),
        *("connect_failures", "dials", "failed", "queue_timeouts", "reused_most", "stale"),
    )

    def __init__(self) -> None:
        self.connect = Histogram()
        self.queue_wait = Histogram()
        self.dials = self.connect_failures = self.stale = self.queue_timeouts = self.reused_most = 0
        self.failed = dict.fromkeys(Side, 0)

    def reused(self, exchanges: int) -> int:
        """How many of so many exchanges went over a connection that was there: who dialled after a stale one, too.

        Never less than it was: an exchange that has just come to a new worker has not dialled yet.
        """
        self.reused_most = max(self.reused_most, exchanges - self.dials + self.stale)
        return self.reused_most

    def add_failure(self, failure: Failure) -> None:
        """An attempt has failed."""
        self.failed[failure.side] += 1


@dataclass(frozen=True, slots=True)
class Counted:
    """What a backend has counted, for the next of its name. The totals are shared: what the first still has under way
    counts there as well."""

    totals: PoolTotals
    exchanges: int = 0
    connections_opened: int = 0
    grown: int = 0
    shrunk: int = 0
    ejections: int = 0
    breaker_opened: int = 0
