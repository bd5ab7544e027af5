"""A drain under way: relays are told to go one after another, at a pace.

Knows the loop's timers, one at a time; when each one's turn comes is `ws.drain`'s to say, and what going means is the
relay's.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from wsproxy.ws.drain import Random, moments

STEP_S: Final = 0.01
"""The least time between two looks: beyond a hundred sessions a second several are told to go at once."""


class Leaver(Protocol):
    """What can be told to go."""

    @property
    def is_closing(self) -> bool:
        """Whether it is going already."""
        ...

    def drain(self, client_code: int) -> None:
        """Go, and have the client hear this code."""
        ...


class Drain:
    """Relays on their way out, in the order in which they go. told: how many have been told so far."""

    def __init__(self, relays: Sequence[Leaver], client_code: int, a_second: float, rng: Random) -> None:
        self.told = 0
        self._waiting = deque(zip(moments(len(relays), a_second, rng), relays, strict=True))
        self._client_code = client_code
        self._started_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._on_end: Callable[[Drain], None] | None = None

    def start(self, on_end: Callable[[Drain], None]) -> None:
        """Begin; `on_end` is called when the last one was told, or at `cancel`."""
        self._on_end = on_end
        loop = asyncio.get_running_loop()
        self._started_at = loop.time()
        self._timer = loop.call_later(self._waiting[0][0] if self._waiting else 0, self._step, loop)

    def cancel(self) -> None:
        """Tell nobody any more."""
        self._waiting.clear()
        self._finish()

    def _step(self, loop: asyncio.AbstractEventLoop) -> None:
        passed_s = loop.time() - self._started_at
        waiting = self._waiting
        while waiting and waiting[0][0] <= passed_s:
            _, relay = waiting.popleft()
            if not relay.is_closing:
                self.told += 1
                relay.drain(self._client_code)
        if waiting:
            self._timer = loop.call_later(max(STEP_S, waiting[0][0] - passed_s), self._step, loop)
        else:
            self._finish()

    def _finish(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if (on_end := self._on_end) is not None:
            self._on_end = None
            on_end(self)
