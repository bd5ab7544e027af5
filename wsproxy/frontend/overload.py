"""The budget of the whole process: connections, handshakes, buffered bytes, the delay of its event loop.

Knows the load as numbers, and WebSockets as what can be closed. Connections and handshakes are counted when somebody
new comes; bytes and delay are looked at twice a second, since adding them up at every read and write would cost every
request. Past the budget new work is refused, and what is running goes on.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Iterable
from typing import Final, Protocol

from wsproxy.config.budget_settings import OverloadSettings
from wsproxy.ws.control import GOING_AWAY, TRY_LATER

LOOK_EVERY_S: Final = 0.5
"""How often bytes and delay are looked at: 10,000 connections take 2 to 4 ms, so less than 1 % of a core."""
WARN_EVERY_S: Final = 60.0
KEPT_SHARE: Final = 0.9
"""WebSockets are closed until the bytes are below this share of the budget, so that new work has room again."""

_logger = logging.getLogger("wsproxy.overload")


class Closable(Protocol):
    """A WebSocket, as what takes memory."""

    @property
    def buffered_bytes(self) -> int:
        """What is held for both sides."""
        ...

    @property
    def is_closing(self) -> bool:
        """Whether it is going already."""
        ...

    def begin_close(self, client_code: int, upstream_code: int = GOING_AWAY, reason: str = "") -> None:
        """Close both sides."""
        ...


class Load(Protocol):
    """What makes up the load of a process."""

    @property
    def connections(self) -> int:
        """Those of clients, now."""
        ...

    @property
    def handshakes(self) -> int:
        """WebSockets that are opening now."""
        ...

    @property
    def relays(self) -> Iterable[Closable]:
        """The open WebSockets."""
        ...

    @property
    def session_bytes(self) -> int:
        """What is held for HTTP clients."""
        ...

    @property
    def upstream_bytes(self) -> int:
        """What the connections of workers hold."""
        ...


class Overload:
    """Whether there is room for more.

    buffered_bytes, lag_s: as of the last look. refused: requests, and connections to be relayed as TCP, by what there
    was too much of ("connections", "handshakes", "bytes", "lag"). closed: WebSockets that were let go for the bytes
    they held.
    """

    def __init__(self, settings: OverloadSettings, load: Load) -> None:
        self._load = load
        self._warned_at = -WARN_EVERY_S
        self._lags = (0.0, 0.0)
        self.buffered_bytes = 0
        self.refused: Counter[str] = Counter()
        self.closed = 0
        self.use(settings)

    def use(self, settings: OverloadSettings) -> None:
        """Take over another budget."""
        self.settings = settings
        self._max_connections = settings.max_connections
        self._max_handshakes = settings.max_handshakes
        self._max_bytes = settings.max_buffered_bytes

    @property
    def is_on(self) -> bool:
        """Whether there is any budget."""
        return self.settings != OverloadSettings()

    @property
    def lag_s(self) -> float:
        """How late the event loop was at both of the last looks: one long task alone is no overload."""
        return min(self._lags)

    # What each request asks.

    def excess(self, is_first: bool, is_handshake: bool) -> str:
        """What there is too much of for a request, or "". is_first: it is the first of its connection."""
        if self.settings.max_lag_s is not None and self.lag_s > self.settings.max_lag_s:
            found = "lag"
        elif self._max_bytes is not None and self.buffered_bytes > self._max_bytes:
            found = "bytes"
        elif is_first and self._max_connections is not None and self._load.connections > self._max_connections:
            found = "connections"
        elif is_handshake and self._max_handshakes is not None and self.handshakes >= self._max_handshakes:
            found = "handshakes"
        else:
            return ""
        self.refused[found] += 1
        now = asyncio.get_running_loop().time()
        if now - self._warned_at >= WARN_EVERY_S:
            self._warned_at = now
            _logger.warning("overload (%s): new work is refused", self._described(found))
        return found

    @property
    def handshakes(self) -> int:
        """WebSockets that are opening now."""
        return self._load.handshakes

    def _described(self, excess: str) -> str:
        if excess == "lag":
            return f"the event loop is {self.lag_s:.2f} s late, max_lag"
        if excess == "bytes":
            return f"{self.buffered_bytes} bytes are buffered, max_buffered"
        count = self._load.connections if excess == "connections" else self.handshakes
        return f"{count} {excess}, max_{excess}"

    # What is looked at now and then.

    async def run(self) -> None:
        """Look until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            asked_at = loop.time()
            await asyncio.sleep(LOOK_EVERY_S)
            if self.is_on:
                self.look(loop.time() - asked_at - LOOK_EVERY_S)

    def look(self, late_s: float) -> None:
        """Take note of how late this look is, and of what is buffered; make room where that is too much."""
        self._lags = (self._lags[1], late_s)
        if self._max_bytes is None:
            self.buffered_bytes = 0
            return
        held = {relay: relay.buffered_bytes for relay in self._load.relays}
        self.buffered_bytes = self._load.session_bytes + sum(held.values()) + self._load.upstream_bytes
        if self.buffered_bytes > self._max_bytes:
            self._make_room(held, self.buffered_bytes - int(self._max_bytes * KEPT_SHARE))

    def _make_room(self, held: dict[Closable, int], wanted_bytes: int) -> None:
        """Close those WebSockets that hold most: their clients do not read, and can come again later."""
        for relay in sorted(held, key=lambda relay: held[relay], reverse=True):
            if wanted_bytes <= 0 or not held[relay]:
                break
            wanted_bytes -= held[relay]
            if not relay.is_closing:
                relay.begin_close(TRY_LATER, reason="overload")
                self.closed += 1
