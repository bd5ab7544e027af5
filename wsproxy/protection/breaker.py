"""PURE: the circuit breaker of one backend: closed, open, half-open.

While it is open nobody asks the backend. Then some trial requests may: if all of them go well it closes, if one fails
it opens again.
"""

from __future__ import annotations

from enum import Enum

from wsproxy.config.watch_settings import BreakerSettings


class Circuit(Enum):
    """Whether requests get through."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


class BreakerState:
    """What a breaker knows. run: failures in a row while closed. count: how often it has opened so far.

    All times are of one clock. `since` is when an attempt began: what began before the trials is none of them.
    """

    __slots__ = ("_given", "_given_at", "_good", "_settings", "_trials_from", "circuit", "count", "run")

    def __init__(self, settings: BreakerSettings) -> None:
        self._settings = settings
        self.circuit = Circuit.CLOSED
        self.run = self.count = 0
        self._given = self._good = 0
        self._given_at = self._trials_from = 0.0

    def use(self, settings: BreakerSettings) -> None:
        """Take over other settings; what is open stays open for as long as it was said."""
        self._settings = settings

    def failed(self, since: float) -> bool:
        """An attempt has failed; True when that opens the circuit."""
        if self.circuit is Circuit.CLOSED:
            self.run += 1
            if self.run < self._settings.failures:
                return False
        elif self.circuit is Circuit.OPEN or since < self._trials_from:
            return False
        self.circuit = Circuit.OPEN
        self.run = 0
        self.count += 1
        return True

    def succeeded(self, since: float) -> bool:
        """An attempt has gone well; True when that closes the circuit."""
        if self.circuit is Circuit.CLOSED:
            self.run = 0
        elif self.circuit is Circuit.HALF_OPEN and since >= self._trials_from:
            self._good += 1
            if self._good >= self._settings.trials:
                self.circuit = Circuit.CLOSED
                return True
        return False

    def begin_trials(self, now: float) -> None:
        """It was open for long enough."""
        self.circuit = Circuit.HALF_OPEN
        self._given = self._good = 0
        self._given_at = self._trials_from = now

    def may_try(self, now: float) -> bool:
        """Whether one more trial request may go; those of which nothing is heard for `open_s` are given up."""
        return self._given < self._settings.trials or now - self._given_at >= self._settings.open_s

    def give_trial(self, now: float) -> None:
        """One goes."""
        if self._given >= self._settings.trials:
            self._given = self._good
        self._given += 1
        self._given_at = now

    def take_back(self, since: float) -> None:
        """A trial has ended without a word about the backend (its client left): another one may go."""
        if self.circuit is Circuit.HALF_OPEN and since >= self._trials_from and self._given > self._good:
            self._given -= 1
