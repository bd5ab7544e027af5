"""One fetch for a key at a time: who comes meanwhile waits for what the first one brings.

Knows exchanges as what waits and may be abandoned; not what is fetched. A wait is bounded, and ends early where the
first one learns that what it brings is for itself alone.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Final

from wsproxy.cache.asked import Asked
from wsproxy.cache.stored import StoredAnswer
from wsproxy.exchange import Exchange

SOLITARY_S: Final = 30.0
"""How long after an answer that could not be kept nobody waits for the next one of its key."""
MOST_SOLITARY: Final = 10_000
"""Keys for which this is remembered; at 200 bytes each two megabytes."""


class Landed:
    """What a flight has brought that others may use too: an answer, and to which requests."""

    __slots__ = ("answer", "names", "selected")

    def __init__(self, answer: StoredAnswer, names: tuple[bytes, ...], asked: Asked) -> None:
        self.answer = answer
        self.names = names
        self.selected = asked.selected(names)

    def fits(self, asked: Asked) -> bool:
        """Whether it answers this request as well."""
        return asked.selected(self.names) == self.selected


class Flight:
    """A fetch that is under way. is_over: not any more. landed: what it has brought for all."""

    __slots__ = ("_flights", "_key", "_waiting", "is_over", "landed")

    def __init__(self, flights: Flights, key: bytes) -> None:
        self._flights = flights
        self._key = key
        self._waiting: list[asyncio.Future[None]] = []
        self.is_over = False
        self.landed: Landed | None = None

    def land(self, landed: Landed | None = None) -> None:
        """It is over for those who wait: they take what it brought, or look for themselves. Twice is once."""
        if self.is_over:
            return
        self.is_over = True
        self.landed = landed
        self._flights.leave(self._key, self)
        for future in self._waiting:
            _end(future)

    async def wait(self, exchange: Exchange, timeout_s: float) -> None:
        """Wait until it is over, for `timeout_s` at most, or until nobody waits for `exchange` any more."""
        loop = exchange.client.loop
        future = loop.create_future()
        self._waiting.append(future)
        exchange.holder = _Waiter(future)
        timer = loop.call_later(timeout_s, _end, future)
        try:
            await future
        finally:
            timer.cancel()
            exchange.holder = None
            self._waiting.remove(future)


class Flights:
    """Those of all keys."""

    def __init__(self) -> None:
        self._by_key: dict[bytes, Flight] = {}
        self._solitary: OrderedDict[bytes, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._by_key)

    def of(self, key: bytes) -> Flight | None:
        """The one under way."""
        return self._by_key.get(key)

    def begin(self, key: bytes) -> Flight:
        """A new one; there is none under way."""
        self._by_key[key] = flight = Flight(self, key)
        return flight

    def is_solitary(self, key: bytes, now: float) -> bool:
        """Whether answers of this key are known to be for one client each."""
        until = self._solitary.get(key)
        return until is not None and now < until

    def remember_solitary(self, key: bytes, now: float) -> None:
        """They are."""
        if self._solitary.get(key, 0.0) - now > SOLITARY_S / 2:
            return
        self._solitary.pop(key, None)
        self._solitary[key] = now + SOLITARY_S
        if len(self._solitary) > MOST_SOLITARY:
            self._solitary.popitem(last=False)

    def forget_solitary(self, key: bytes) -> None:
        """They are not, any more."""
        if self._solitary:
            self._solitary.pop(key, None)

    def leave(self, key: bytes, flight: Flight) -> None:
        """A flight is over."""
        if self._by_key.get(key) is flight:
            del self._by_key[key]


class _Waiter:
    """Holds an exchange that waits."""

    __slots__ = ("_future",)

    def __init__(self, future: asyncio.Future[None]) -> None:
        self._future = future

    def let_go(self, exchange: Exchange) -> None:  # noqa: ARG002 - it waits for one exchange
        """It was abandoned: wake it."""
        _end(self._future)


def _end(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
