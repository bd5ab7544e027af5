"""What the requests to one backend say of it: how long they take, whether they fail, and what follows from that.

Told by workers of what has happened; of successes only while one means something, which they do not while all goes
well. It may look at the clock; whether others can do without this backend is for its home, the group, to say.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from time import perf_counter
from typing import Protocol

from wsproxy.backend.circuit import CircuitBreaker
from wsproxy.balancing.latency import LatencyState
from wsproxy.config.watch_settings import BreakerSettings, WatchSettings
from wsproxy.errors import Failure, Retry, Side
from wsproxy.exchange import Exchange
from wsproxy.protection.outlier import OutlierState

_logger = logging.getLogger("wsproxy.health")


class GuardHome(Protocol):
    """Who decides with it."""

    def may_eject(self, guard: Guard) -> bool:
        """Whether the others can do without this backend for a while."""
        ...

    def has_others(self, guard: Guard, tried: Sequence[str]) -> bool:
        """Whether there are others that may be chosen and were not tried."""
        ...

    def guard_changed(self, guard: Guard) -> None:
        """Whether it may be asked has changed."""
        ...


class Guard:
    """One backend's record.

    watching: whether successes are to be told. latency: kept for policies that ask for it. outlier, breaker: None where
    the configuration wants none.
    """

    __slots__ = (
        "_ejected_before",
        "_good_probes",
        "_home",
        "_may_probe_back",
        "_name",
        "_opened_before",
        "_recoveries",
        "_settings",
        "_timer",
        "breaker",
        "latency",
        "outlier",
        "watching",
    )

    def __init__(self, settings: WatchSettings, name: str = "", home: GuardHome | None = None) -> None:
        self._name = name
        self._home = home
        self._timer: asyncio.TimerHandle | None = None
        self._may_probe_back = False
        self._good_probes = self._recoveries = self._ejected_before = self._opened_before = 0
        self.latency: LatencyState | None = None
        self.outlier: OutlierState | None = None
        self.breaker: CircuitBreaker | None = None
        self.watching = False
        self.use(settings)

    def use(self, settings: WatchSettings) -> None:
        """Take over other settings; what is known stays."""
        self._settings = settings
        if not settings.timed:
            self.latency = None
        elif self.latency is None:
            self.latency = LatencyState()
        if settings.outlier is None:
            self._bring_back("outliers are not looked for any more")
            self._ejected_before, self.outlier = self.ejections, None
        elif self.outlier is None:
            self.outlier = OutlierState(settings.outlier)
        else:
            self.outlier.use(settings.outlier)
        self._use_breaker(settings.breaker)
        self._see_what_to_watch()

    def _use_breaker(self, settings: BreakerSettings | None) -> None:
        if settings is not None:
            if self.breaker is None:
                self.breaker = CircuitBreaker(settings, self._name, self._changed)
            else:
                self.breaker.use(settings)
        elif self.breaker is not None:
            self.breaker.close()
            self._opened_before, self.breaker = self.breaker_opened, None
            self._changed()

    def close(self) -> None:
        """The backend is let go."""
        self._home = None
        if self._timer is not None:
            self._timer.cancel()
        if self.breaker is not None:
            self.breaker.close()

    @property
    def ejected(self) -> bool:
        """Whether it is out for what it did to requests."""
        return self.outlier is not None and self.outlier.ejected

    @property
    def ejections(self) -> int:
        """How often it was taken out."""
        return self._ejected_before + (0 if self.outlier is None else self.outlier.count)

    @property
    def breaker_opened(self) -> int:
        """How often its breaker has opened."""
        return self._opened_before + (0 if self.breaker is None else self.breaker.state.count)

    def go_on_from(self, ejections: int, breaker_opened: int) -> None:
        """Count on from what another has counted."""
        self._ejected_before += ejections
        self._opened_before += breaker_opened

    @property
    def is_open(self) -> bool:
        """Whether its breaker is against asking it."""
        return self.breaker is not None and self.breaker.is_open

    @property
    def is_half_open(self) -> bool:
        """Whether its breaker lets trials through, and nothing else."""
        return self.breaker is not None and self.breaker.is_half_open

    @property
    def is_well(self) -> bool:
        """Whether the last request has not failed."""
        return self.outlier is None or not self.outlier.run

    def _see_what_to_watch(self) -> None:
        listens = self.breaker is not None and self.breaker.listens
        self.watching = listens or self.latency is not None or not self.is_well

    def _changed(self) -> None:
        self._see_what_to_watch()
        if self._home is not None:
            self._home.guard_changed(self)

    # What workers ask and tell.

    def has_others(self, tried: Sequence[str]) -> bool:
        """Whether a request could go to another backend that it has not been at."""
        return self._home is not None and self._home.has_others(self, tried)

    def answered(self, exchange: Exchange, since: float) -> None:
        """An attempt that was watched from the beginning (perf_counter) has ended with an answer, good or bad."""
        now = perf_counter()
        seconds = (exchange.first_byte_at or now) - since  # the rest is up to what was asked for, and to the client
        self._judge(200 if exchange.response is None else exchange.response.status, seconds, since)

    def _judge(self, status: int, seconds: float, since: float) -> None:
        now = perf_counter()
        is_bad = self._is_bad(status)
        if self.latency is not None:
            self.latency.failed(seconds, now) if is_bad else self.latency.answered(seconds, now)
        if not is_bad:
            self.went_well(since)
        elif self.breaker is not None and self.breaker.is_half_open:  # while it is closed `saw_status` has counted it
            self.breaker.failed("it answered badly", since)
            self._see_what_to_watch()

    def went_well(self, since: float) -> None:
        """What began then (perf_counter) is no failure: an answer, or a connection for bytes of any kind."""
        if self.outlier is not None:
            self.outlier.succeeded()
        if self.breaker is not None:
            self.breaker.succeeded(since)
        self._see_what_to_watch()

    def saw_status(self, status: int, attempts: int) -> None:
        """An answer with a status from 500 on has begun. attempts: that the backend was given so far."""
        if self._is_bad(status):
            self._count(f"it answered {status}", attempts)

    def failed(self, failure: Failure, since: float, attempts: int) -> None:
        """An attempt has failed; since: as for `answered`, 0 where it was not watched."""
        if failure.side is not Side.UPSTREAM or failure.retry is Retry.FRESH:  # to end an idle connection is no failure
            if self.breaker is not None:
                self.breaker.state.take_back(since)
            return
        if failure.is_answer:  # `saw_status` has counted it
            if since:
                self._judge(failure.status, perf_counter() - since, since)
            return
        if self.latency is not None and since:
            now = perf_counter()
            self.latency.failed(now - since, now)
        self._count(failure.detail or failure.message, attempts, since, failure.is_of_connection)

    def _is_bad(self, status: int) -> bool:
        return status in self._settings.bad_statuses

    def _count(self, what: str, attempts: int, since: float = 0.0, is_of_connection: bool = False) -> None:
        now = perf_counter()
        if self.breaker is not None:
            self.breaker.failed(what, since)
        outlier = self.outlier
        why = None if outlier is None else outlier.failed(now, attempts)
        self._see_what_to_watch()
        if outlier is None:
            return
        if why is not None and self._home is not None and self._home.may_eject(self):
            seconds = outlier.eject(now)
            self._may_probe_back, self._good_probes = is_of_connection, 0
            self._timer = asyncio.get_running_loop().call_later(seconds, self._bring_back, "its time is over")
            _logger.warning("%s is ejected for %g s: %s, the last: %s", self._name, seconds, why, what)
            self._changed()

    def _bring_back(self, why: str) -> None:
        if self.outlier is None or not self.outlier.ejected:
            return
        self.outlier.bring_back(perf_counter())
        self._forget_latency()
        if self._timer is not None:
            self._timer.cancel()
        _logger.info("%s is no longer ejected: %s", self._name, why)
        self._changed()

    # What health checks tell.

    def probed(self, is_good: bool, needed: int) -> bool:
        """A probe has ended; `needed` good ones in a row end an ejection, if what failed were connections.

        Of answers that fail a probe says nothing, or there would have been no ejection. True while the next probe is to
        come soon.
        """
        if not self.ejected or not self._may_probe_back:
            return False
        self._good_probes = self._good_probes + 1 if is_good else 0
        if self._good_probes >= needed:
            self._bring_back("it can be reached again")
        return self.ejected

    def heard_of_recoveries(self, count: int) -> None:
        """How often probes that are made elsewhere have gone well again so far: one more is as good as `probed`."""
        if count > self._recoveries and self.ejected and self._may_probe_back:
            self._bring_back("it can be reached again")
        self._recoveries = count

    def recovered(self) -> None:
        """Health checks had taken the backend out as well, and bring it back: it is as good as new."""
        self._bring_back("its health checks bring it back")
        if self.breaker is not None:
            self.breaker.begin_trials()
        self._forget_latency()

    def _forget_latency(self) -> None:
        """What is known of the time before an absence says nothing of the time after it."""
        if self.latency is not None:
            self.latency = LatencyState()
