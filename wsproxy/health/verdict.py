"""When a backend goes down, when it comes back, and when to look again.

Pure: told of each probe's outcome, it never probes, waits or looks at a clock itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from wsproxy.config.group_settings import HealthSettings

if TYPE_CHECKING:
    from random import Random

ATTENTIVE_S: Final = 1.0
"""Between probes of a new backend, or one that is down: the sooner its state is known, the fewer requests suffer."""
JITTER: Final = 0.2
"""The share by which intervals differ, up or down, so that many backends are not all probed in the same instant."""


class VerdictState:
    """The state of one backend as its probes tell it. A new one is up: it serves before its first probe ends.

    attentive: something else than probes speaks against it, so it is looked at as often as one that is down.
    """

    __slots__ = ("_run", "_settings", "_settled", "attentive", "up")

    def __init__(self, settings: HealthSettings) -> None:
        self._settings = settings
        self._settled = False  # nothing is known of a new backend until a success, or `fall` failures
        self._run = 0  # probes in a row that spoke against the present state
        self.up = True
        self.attentive = False

    def success(self) -> bool | None:
        """Take a good probe: True when that brings the backend up, None when it changes nothing."""
        if self.up:
            self._settled = True
            self._run = 0
            return None
        return self._contradicted(self._settings.rise)

    def failure(self) -> bool | None:
        """Take a bad probe: False when that takes the backend down, None when it changes nothing."""
        if not self.up:
            self._run = 0
            return None
        return self._contradicted(self._settings.fall)

    def next_delay_s(self, rng: Random) -> float:
        """Seconds until the next probe."""
        interval_s = self._settings.interval_s
        if self.up and self._settled and not self.attentive:
            return interval_s * rng.uniform(1 - JITTER, 1 + JITTER)
        return min(interval_s, ATTENTIVE_S)

    def _contradicted(self, needed: int) -> bool | None:
        self._run += 1
        if self._run < needed:
            return None
        self._run = 0
        self._settled = True
        self.up = not self.up
        return self.up
