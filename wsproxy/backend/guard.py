"""What the requests to one backend say of it: how long they take, whether they fail, and what follows from that.

Told by workers of what has happened; of successes only while one means something, which they do not while all goes
well. It may look at the clock; whether others can do without this backend is for its home, the group, to say.
"""

from __future__ import annotations

import asyncio
import logging
from time import perf_counter
from typing import Protocol

from wsproxy.balancing.latency import LatencyState
from wsproxy.config.model import WatchSettings
from wsproxy.errors import Failure, Retry, Side
from wsproxy.exchange import Exchange
from wsproxy.protection.outlier import OutlierState

_logger = logging.getLogger("wsproxy.health")

class GuardHome(Protocol):
    """Who decides with it."""

    def may_eject(self, guard: Guard) -> bool:
        """Whether the others can do without this backend for a while."""
        ...

    def guard_changed(self, guard: Guard) -> None:
        """What `allows` says has changed."""
        ...


class Guard:
    """One backend's record. watching: whether successes are to be told. latency: kept for policies that ask for it."""

    __slots__ = (
        "_good_probes",
        "_home",
        "_may_probe_back",
        "_name",
        "_settings",
        "_timer",
        "latency",
        "outlier",
        "watching",
    )

    def __init__(self, settings: WatchSettings, name: str = "", home: GuardHome | None = None) -> None:
        self._name = name
        self._home = home
        self._timer: asyncio.TimerHandle | None = None
        self._may_probe_back = False
        self._good_probes = 0
        self.latency: LatencyState | None = None
        self.outlier: OutlierState | None = None
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
            self.outlier = None
        elif self.outlier is None:
            self.outlier = OutlierState(settings.outlier)
        else:
            self.outlier.use(settings.outlier)
        self._see_what_to_watch()

    def close(self) -> None:
        """The backend is let go."""
        self._home = None
        if self._timer is not None:
            self._timer.cancel()

    @property
    def ejected(self) -> bool:
        """Whether it is out for what it did to requests."""
        return self.outlier is not None and self.outlier.ejected

    @property
    def ejections(self) -> int:
        """How often it was taken out."""
        return 0 if self.outlier is None else self.outlier.count

    @property
    def is_well(self) -> bool:
        """Whether the last request has not failed."""
        return self.outlier is None or not self.outlier.run

    def _see_what_to_watch(self) -> None:
        self.watching = self.latency is not None or not self.is_well

    # What workers tell.

    def answered(self, exchange: Exchange, since: float) -> None:
        """An attempt that was watched from the beginning (perf_counter) has ended with an answer, good or bad."""
        now = perf_counter()
        seconds = (exchange.first_byte_at or now) - since  # the rest is up to what was asked for, and to the client
        is_bad = exchange.response is not None and self._is_bad(exchange.response.status)
        if self.latency is not None:
            self.latency.failed(seconds, now) if is_bad else self.latency.answered(seconds, now)
        if self.outlier is not None and not is_bad:
            self.outlier.succeeded()
            self._see_what_to_watch()

    def saw_status(self, status: int, attempts: int) -> None:
        """An answer with a status from 500 on has begun. attempts: that the backend was given so far."""
        if self._is_bad(status):
            self._count(f"it answered {status}", attempts)

    def failed(self, failure: Failure, since: float, attempts: int) -> None:
        """An attempt has failed; since: as for `answered`, 0 where it was not watched."""
        if failure.side is not Side.UPSTREAM or failure.retry is Retry.FRESH:  # to end an idle connection is no failure
            return
        if self.latency is not None and since:
            now = perf_counter()
            self.latency.failed(now - since, now)
        self._count(failure.detail or failure.message, attempts, failure.is_of_connection)

    def _is_bad(self, status: int) -> bool:
        return self._settings.outlier is not None and status in self._settings.outlier.statuses

    def _count(self, what: str, attempts: int, is_of_connection: bool = False) -> None:
        outlier = self.outlier
        if outlier is None:
            return
        now = perf_counter()
        why = outlier.failed(now, attempts)
        self._see_what_to_watch()
        if why is not None and self._home is not None and self._home.may_eject(self):
            seconds = outlier.eject(now)
            self._may_probe_back, self._good_probes = is_of_connection, 0
            self._timer = asyncio.get_running_loop().call_later(seconds, self._bring_back, "its time is over")
            _logger.warning("%s is ejected for %g s: %s, the last: %s", self._name, seconds, why, what)
            self._home.guard_changed(self)

    def _bring_back(self, why: str) -> None:
        if self.outlier is None or not self.outlier.ejected:
            return
        self.outlier.bring_back(perf_counter())
        self._see_what_to_watch()
        if self._timer is not None:
            self._timer.cancel()
        _logger.info("%s is no longer ejected: %s", self._name, why)
        if self._home is not None:
            self._home.guard_changed(self)

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

    def recovered(self) -> None:
        """Health checks had taken the backend out as well, and bring it back: it is as good as new."""
        self._bring_back("its health checks bring it back")
