"""PURE: when a backend that answers its probes is taken out for what it does to requests, and for how long.

The traffic is counted elsewhere and read here only when a request has failed: what goes well costs nothing.
"""

from __future__ import annotations

from typing import Final

from wsproxy.config.watch_settings import OutlierSettings

WINDOW_S: Final = 10.0
"""Over which the rate of failures is counted: some seconds of trouble show, and an hour without does not hide it."""
LEAST_ATTEMPTS: Final = 20
"""Of fewer attempts no rate is taken: two failures of three requests say nothing."""
LONGEST: Final = 10
"""No ejection lasts longer than so many times the first: 300 s by default."""


def may_eject(size: int, ejected: int, well: int) -> bool:
    """Whether one more of a group's `size` backends may be taken out.

    At most half of them may be out; and only while some others may be chosen and are `well`: what happens to all is no
    reason to let one go.
    """
    return well > 0 and 2 * (ejected + 1) <= size


class OutlierState:
    """The failures of one backend.

    run: how many in a row. ejected: it is out. count: how often it was taken out so far.
    """

    __slots__ = ("_attempts", "_failed", "_level", "_returned_at", "_settings", "_start", "count", "ejected", "run")

    def __init__(self, settings: OutlierSettings) -> None:
        self._settings = settings
        self.run = self.count = 0
        self.ejected = False
        self._level = 0
        self._returned_at = float("-inf")
        self._forget()

    def _forget(self) -> None:
        self.run = self._failed = self._attempts = 0
        self._start = float("-inf")

    def use(self, settings: OutlierSettings) -> None:
        """Take over other settings; what was counted stays."""
        self._settings = settings

    def succeeded(self) -> None:
        """A request was answered well."""
        self.run = 0

    def failed(self, now: float, attempts: int) -> str | None:
        """A request has failed: why the backend is to be taken out, or None.

        attempts: that the backend was given so far, this one included.
        """
        if self.ejected:
            return None
        if now - self._start >= WINDOW_S:
            self._start, self._attempts, self._failed = now, attempts - 1, 0
        self.run += 1
        self._failed += 1
        if self.run >= self._settings.failures:
            return f"{self.run} failures in a row"
        made, rate = attempts - self._attempts, self._settings.rate
        if rate is not None and made >= LEAST_ATTEMPTS and self._failed >= rate * made:
            return f"{self._failed} failures in {made} requests"
        return None

    def eject(self, now: float) -> float:
        """Take it out; returns for how many seconds.

        Longer each time; each time that it has done well for as long as a first ejection lasts makes up for one.
        """
        time_s = self._settings.time_s
        made_up = (now - self._returned_at) / time_s
        self._level = 1 if made_up >= self._level else self._level - int(made_up) + 1
        self.ejected = True
        self.count += 1
        return time_s * min(self._level, LONGEST)

    def bring_back(self, now: float) -> None:
        """Its time is over, or it is known to be well."""
        self.ejected = False
        self._returned_at = now
        self._forget()
