"""What the relays of a route go by: its limits and clocks, what its pings carry, and what all of them count.

Knows settings, no relay: a relay reads its terms, and who keeps the relays of the route changes them at a reload.
"""

from __future__ import annotations

import os
from typing import Final

from wsproxy.config.model import WebSocketSettings
from wsproxy.frontend.totals import RelayTotals
from wsproxy.net.deadlines import NEVER
from wsproxy.ws.drain import Random
from wsproxy.ws.keepalive import KeepaliveSettings
from wsproxy.ws.rate import RateState

LIFETIME_JITTER: Final = 0.1
"""By which share of `max_lifetime` a session may end earlier, so that those who came together do not go together."""


class RelayTerms:
    """The terms of one `[websocket…]` route.

    totals: the counters. marker: what the pings of this process carry; nobody else can have chosen the same.
    """

    def __init__(self, settings: WebSocketSettings, rng: Random) -> None:
        self.totals = RelayTotals()
        self.marker = b"wsproxy" + os.urandom(8)
        self._rng = rng
        self.use(settings)

    def use(self, settings: WebSocketSettings) -> None:
        """Take over other limits and clocks; a session keeps the sizes, rates and pings that it began with."""
        self.settings = settings
        self.keepalive = KeepaliveSettings(settings.ping_interval_s or 0.0, settings.ping_timeout_s)

    def end_of_life(self, now: float) -> float:
        """When a session that begins now is too old."""
        lifetime_s = self.settings.max_lifetime_s
        return NEVER if lifetime_s is None else now + lifetime_s * (1 - LIFETIME_JITTER * self._rng.random())

    def client_rates(self, now: float) -> tuple[RateState | None, RateState | None] | None:
        """The buckets of a new client, for messages and for bytes; None where nothing is limited."""
        settings = self.settings
        if settings.message_rate is None and settings.byte_rate is None:
            return None
        messages = None if settings.message_rate is None else RateState(settings.message_rate, now)
        return messages, None if settings.byte_rate is None else RateState(settings.byte_rate, now)
