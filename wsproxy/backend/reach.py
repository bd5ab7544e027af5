"""Whether a backend can be reached: told of each dial, and dialling by itself while no request is to wait for one.

Knows how to dial and whom to tell; what is refused meanwhile is the pool's and the backend's business.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from time import perf_counter
from typing import Final

from wsproxy.config.model import RouteSettings
from wsproxy.net.dial import DialError
from wsproxy.net.stream import Stream
from wsproxy.protection.reach import ReachState

SCOUT_EVERY_S: Final = 1.0
"""How often a server that cannot be reached is tried, as often as health checks look at one that is down."""

_logger = logging.getLogger("wsproxy.backend")


class Reach:
    """One backend's. dial: opens a connection within seconds. changed: called when `is_lost` has."""

    def __init__(self, name: str, dial: Callable[[float], Awaitable[Stream]], changed: Callable[[], None]) -> None:
        self._name = name
        self._dial = dial
        self._changed = changed
        self._state = ReachState()
        self._scout: asyncio.Task[None] | None = None

    @property
    def is_lost(self) -> bool:
        """Nobody is to wait for a connection."""
        return self._state.is_lost

    def dialling(self) -> None:
        """A worker tries for a connection."""
        self._state.dialling(perf_counter())

    def connected(self) -> None:
        """A connection was opened, or there is no telling."""
        if self._state.connected():
            _logger.info("%s can be reached again", self._name)
            self._changed()

    def judge(self, route: RouteSettings, has_connections: bool, tasks: asyncio.TaskGroup) -> None:
        """Once no connection was to be had for as long as a request may wait for one, none is to wait any more."""
        if not self._state.judge(perf_counter(), route.queue_timeout_s, has_connections):
            return
        limit_s = route.queue_timeout_s
        _logger.warning("%s cannot be reached for %g s: requests are refused until it can", self._name, limit_s)
        self._scout = tasks.create_task(self._find_again(route.connect_timeout_s))
        self._changed()

    async def _find_again(self, timeout_s: float) -> None:
        """Try for a connection now and then, so that no request has to, until one opens."""
        while self.is_lost:
            await asyncio.sleep(SCOUT_EVERY_S)
            with suppress(DialError):
                stream = await self._dial(timeout_s)
                stream.abort()
                self.connected()

    def close(self) -> None:
        """Look no more."""
        if self._scout is not None:
            self._scout.cancel()
