"""One coarse clock for all the deadlines of a process: re-arming one is an assignment, not a timer.

Knows objects with a `deadline`; not what they are. A timer per request would cost more than parsing the request. As the
one who looks at the clock, it also keeps the Date line that both sides add to answers.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from math import inf
from typing import Final, Protocol

import anyio

from wsproxy.http.date import date_line

NEVER: Final = inf
"""A deadline that never comes."""

TICK_S: Final = 0.25
"""How often deadlines are looked at, so how late one may be: small against the shortest default (2 s)."""

_logger = logging.getLogger("wsproxy.deadlines")


class Expirable(Protocol):
    """What has a deadline (loop time, seconds; NEVER for none) and knows what to do when it has passed."""

    deadline: float

    def expire(self) -> None:
        """Called once per sweep while the deadline is in the past; must set another or leave."""


class Deadlines:
    """The objects whose deadlines are watched.

    now: the time as of the last sweep. base: what a delay is added to, so that no deadline comes early.
    was_late: the last sweep came a tick late or more: the process was held up, and what peers have sent or ended since
    then may not have been read.
    date_line: `Date: …`, a tick late at most. clock: the wall's, in seconds since 1970.
    """

    def __init__(self, tick_s: float = TICK_S, clock: Callable[[], float] = time.time) -> None:
        self._tick_s = tick_s
        self._watched: set[Expirable] = set()
        self.now = asyncio.get_running_loop().time()
        self.base = self.now + tick_s
        self.was_late = False
        self._clock = clock
        self._second = int(clock())
        self.date_line = date_line(self._second)

    def __len__(self) -> int:
        return len(self._watched)

    def after(self, delay_s: float) -> float:
        """A deadline `delay_s` from now: never early, at most two ticks late."""
        return self.base + delay_s

    def watch(self, item: Expirable) -> None:
        """Look at `item.deadline` from now on."""
        self._watched.add(item)

    def forget(self, item: Expirable) -> None:
        """Stop looking at `item`; no error if it was not watched."""
        self._watched.discard(item)

    def sweep(self, now: float) -> None:
        """Expire what is due at `now`."""
        self.now = now
        self.was_late = now >= self.base + self._tick_s
        self.base = now + self._tick_s
        if (second := int(self._clock())) != self._second:
            self._second = second
            self.date_line = date_line(second)
        for item in [item for item in self._watched if item.deadline <= now]:
            try:
                item.expire()
            except Exception:  # a bug in one must not end the sweeps, and with them the process
                _logger.exception("internal error at a deadline of %s", type(item).__name__)

    async def run(self) -> None:
        """Sweep at each tick until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await anyio.sleep(self._tick_s)
            self.sweep(loop.time())
