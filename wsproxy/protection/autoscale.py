"""PURE: whether a group of managed servers should grow or shrink, from one look at its load after another.

What is looked at is the load of one server on average: requests a second, and WebSockets, each of which counts as one
request a second, since a held connection keeps a server busy too. A look that decides nothing ends a row, so that a
short burst starts nothing and a short lull ends nothing; shrinking never leaves the others above `max_load`, or the
next looks would start again what this one has ended.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from wsproxy.config.group_settings import ScalingSettings

Step = Literal[-1, 0, 1]

HOLD: Final = 0


@dataclass(frozen=True, slots=True)
class Look:
    """A group at one moment. requests: in the time since the look before. ready: servers that carry them. coming:
    servers that have been started and are not ready yet, or are leaving."""

    requests: int
    websockets: int
    ready: int
    coming: int = 0


class AutoscaleState:
    """Counts looks in a row. load: that of the last look, a server's average."""

    __slots__ = ("_above", "_below", "load", "settings")

    def __init__(self, settings: ScalingSettings) -> None:
        self.settings = settings
        self.load = 0.0
        self._above = 0
        self._below = 0

    def use(self, settings: ScalingSettings) -> None:
        """Take over other limits; rows that have begun go on."""
        self.settings = settings

    def decide(self, look: Look, passed_s: float) -> Step:
        """One server more, one less, or neither. passed_s: since the look before.

        While a server is on its way, none more is started and none let go: what it will change has not shown yet.
        """
        settings = self.settings
        amount = look.requests / passed_s + look.websockets if passed_s > 0 else float(look.websockets)
        self.load = amount / max(look.ready, 1)
        if look.coming or not look.ready:
            self._above = self._below = 0
            return HOLD
        self._above = self._above + 1 if self.load > settings.max_load else 0
        self._below = self._below + 1 if self.load < settings.min_load else 0
        if self._above > settings.upscale_pings:
            self._above = 0
            return 1
        if self._below > settings.downscale_pings and look.ready > 1 and amount / (look.ready - 1) <= settings.max_load:
            self._below = 0
            return -1
        return HOLD
