"""What the requests to one backend say of it: how long they take, and whether they fail.

Told by workers of what has happened; of successes only while one means something, which a plain backend never does.
"""

from __future__ import annotations

from time import perf_counter

from wsproxy.balancing.latency import LatencyState
from wsproxy.config.model import WatchSettings
from wsproxy.errors import Failure, Side
from wsproxy.exchange import Exchange


class Guard:
    """One backend's record. watching: whether successes are to be told. latency: kept for policies that ask for it."""

    __slots__ = ("latency", "watching")

    def __init__(self, settings: WatchSettings) -> None:
        self.latency: LatencyState | None = None
        self.watching = False
        self.use(settings)

    def use(self, settings: WatchSettings) -> None:
        """Take over other settings; what is known stays."""
        if not settings.timed:
            self.latency = None
        elif self.latency is None:
            self.latency = LatencyState()
        self.watching = self.latency is not None

    def answered(self, exchange: Exchange, since: float) -> None:
        """An attempt that was watched from the beginning (perf_counter) has ended well."""
        if self.latency is not None:
            now = perf_counter()
            # To the first byte: the rest is up to what was asked for, and to the client.
            self.latency.answered((exchange.first_byte_at or now) - since, now)

    def failed(self, failure: Failure, since: float) -> None:
        """An attempt has failed; since: as for `answered`, 0 where it was not watched."""
        if self.latency is not None and since and failure.side is Side.UPSTREAM:
            now = perf_counter()
            self.latency.failed(now - since, now)
