"""What a route has seen of requests: plain numbers, added up at the end of each and read when somebody asks.

Knows exchanges that are over. Adding one costs about a quarter of a microsecond, which is why the status code picks the
histogram instead of having a counter of its own, and why an answer that came in one piece is counted once: its first
byte went out with its last.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING

from wsproxy.errors import CLIENT_LEFT
from wsproxy.observe.histogram import BOUNDS_S, Durations, Histogram
from wsproxy.observe.snapshot import Answered

if TYPE_CHECKING:
    from wsproxy.exchange import Exchange


class _Streamed:
    """Answers whose head went out before their end."""

    __slots__ = ("first_byte", "total")

    def __init__(self) -> None:
        self.total = Histogram()
        self.first_byte = Histogram()


class RequestTotals:
    """The counters of a route.

    whole, streamed: by backend name ("" where none was reached) and status code. retries: attempts after the first.
    """

    __slots__ = ("retries", "streamed", "whole")

    def __init__(self) -> None:
        self.whole: defaultdict[str, defaultdict[int, Histogram]] = defaultdict(_by_code)
        self.streamed: defaultdict[tuple[str, int], _Streamed] = defaultdict(_Streamed)
        self.retries = 0

    def record(self, exchange: Exchange) -> None:
        """An exchange has ended, answered or not."""
        if exchange.failure is not None or exchange.first_byte_at or (response := exchange.response) is None:
            self._record_unusual(exchange)
            return
        histogram = self.whole[exchange.backend_name][response.status]
        elapsed_s = exchange.ended_at - exchange.started_at
        histogram.counts[bisect_left(BOUNDS_S, elapsed_s)] += 1
        histogram.sum_s += elapsed_s

    def _record_unusual(self, exchange: Exchange) -> None:
        failure, response = exchange.failure, exchange.response
        code = response.status if response is not None and exchange.answered else 0
        if failure is not None and (failure is CLIENT_LEFT or not exchange.answered):
            code = failure.status  # as the access line has it
        elapsed_s = exchange.ended_at - exchange.started_at
        if not exchange.first_byte_at:
            self.whole[exchange.backend_name][code].record(elapsed_s)
            return
        streamed = self.streamed[exchange.backend_name, code]
        streamed.total.record(elapsed_s)
        streamed.first_byte.record(exchange.first_byte_at - exchange.started_at)

    def answered(self) -> Iterator[Answered]:
        """What has been counted until now."""
        by_key: dict[tuple[str, int], list[Histogram]] = {}
        for backend, codes in self.whole.items():
            for code, histogram in codes.items():
                by_key[backend, code] = [histogram]
        for key in self.streamed:
            by_key.setdefault(key, [])
        for (backend, code), whole in sorted(by_key.items()):
            streamed = self.streamed.get((backend, code))
            late = [] if streamed is None else [streamed.total]
            first = [] if streamed is None else [streamed.first_byte]
            yield Answered(backend, code, Durations.of(*whole, *late), Durations.of(*whole, *first))


def _by_code() -> defaultdict[int, Histogram]:
    return defaultdict(Histogram)
