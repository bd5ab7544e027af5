"""PURE: servers that are missing from a set for a moment stay known for that moment, and get nothing new.

What moves from one slice to another is in neither in between, and a service that is deleted and made again has lost
none of its pods: nobody's WebSocket is to be closed for that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from wsproxy.discovery.found import MOST_SERVERS, Found

LINGER_S: Final = 2.0
"""Many times what a controller takes from one write to the next; for servers that are gone it makes no difference."""


class LingerState:
    """Who was there last, and until when those stay known that are missing since."""

    def __init__(self) -> None:
        self._last: dict[str, Found] = {}
        self._until: dict[str, float] = {}

    def take(self, found: Sequence[Found], now: float) -> list[Found]:
        """A full set, with those that linger; in the order of their addresses.

        One of which the name is another's now is gone: a pod of that name was made anew.
        """
        there = {each.address: each for each in found}
        names = {each.name for each in found if each.name}
        staying: dict[str, Found] = {}
        until: dict[str, float] = {}
        for address, each in self._last.items():
            if address in there or each.name in names or len(until) >= MOST_SERVERS:
                continue
            at = self._until.get(address, now + LINGER_S)
            if at > now:
                until[address], staying[address] = at, replace(each, takes_new=False)
        self._until = until
        self._last = there | staying
        return [self._last[address] for address in sorted(self._last)]

    @property
    def due(self) -> float | None:
        """When the next one has lingered long enough; None when none does."""
        return min(self._until.values(), default=None)
