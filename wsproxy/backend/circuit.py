"""The circuit breaker of one backend at run time: its clock, what it tells the log, and who is told of a change."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from time import perf_counter

from wsproxy.config.watch_settings import BreakerSettings
from wsproxy.protection.breaker import BreakerState, Circuit

_logger = logging.getLogger("wsproxy.health")


class CircuitBreaker:
    """A breaker; `changed` is called whenever it opens, lets trials through or closes. since: as for BreakerState."""

    __slots__ = ("_changed", "_name", "_open_until", "_settings", "_timer", "state")

    def __init__(self, settings: BreakerSettings, name: str, changed: Callable[[], None]) -> None:
        self.state = BreakerState(settings)
        self._settings = settings
        self._name = name
        self._changed = changed
        self._timer: asyncio.TimerHandle | None = None
        self._open_until = 0.0

    def use(self, settings: BreakerSettings) -> None:
        """Take over other settings."""
        self._settings = settings
        self.state.use(settings)

    def close(self) -> None:
        """It is needed no more."""
        if self._timer is not None:
            self._timer.cancel()

    @property
    def is_open(self) -> bool:
        """Nobody may ask."""
        return self.state.circuit is Circuit.OPEN

    @property
    def open_for_s(self) -> float:
        """How long nobody may ask it, from now on."""
        return max(self._open_until - asyncio.get_running_loop().time(), 0.0) if self.is_open else 0.0

    @property
    def is_half_open(self) -> bool:
        """Only trials may."""
        return self.state.circuit is Circuit.HALF_OPEN

    @property
    def listens(self) -> bool:
        """Whether it matters that an attempt goes well."""
        return self.state.run > 0 or self.is_half_open

    def failed(self, what: str, since: float) -> None:
        """An attempt has failed."""
        if self.state.failed(since):
            open_s = self._settings.open_s
            self.close()
            loop = asyncio.get_running_loop()
            self._open_until = loop.time() + open_s
            self._timer = loop.call_at(self._open_until, self.begin_trials)
            _logger.warning("%s: its breaker opens for %g s; the last failure: %s", self._name, open_s, what)
            self._changed()

    def succeeded(self, since: float) -> None:
        """An attempt has gone well."""
        if self.state.succeeded(since):
            _logger.info("%s: its breaker closes: it answers again", self._name)
            self._changed()

    def begin_trials(self) -> None:
        """It was open for long enough, or there is reason to believe that the backend is well."""
        if self.is_open:
            self.close()
            self.state.begin_trials(perf_counter())
            _logger.info("%s: its breaker lets %d requests try it", self._name, self._settings.trials)
            self._changed()

    def may_try(self) -> bool:
        """Whether one more trial may go."""
        return self.state.may_try(perf_counter())

    def give_trial(self) -> None:
        """One goes."""
        self.state.give_trial(perf_counter())
