"""The settings of what a group makes of how its servers answer requests: a part of `model`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class OutlierSettings:
    """Which failures of requests take a server out, and for how long at first."""

    failures: int = 5  # in a row
    rate: float | None = 0.5  # of all, within ten seconds
    time_s: float = 30.0


@dataclass(frozen=True, slots=True)
class BreakerSettings:
    """When a server's circuit breaker opens, for how long, and how many requests then try the server."""

    failures: int = 5  # in a row
    open_s: float = 30.0
    trials: int = 1


@dataclass(frozen=True, slots=True)
class WatchSettings:
    """What a group makes of how its servers answer, besides what probes say.

    slow_start_s: in which the share of a new or recovered server grows. timed: a route goes by how long answers take.
    bad_statuses: of answers that are failures.
    """

    slow_start_s: float | None = None
    bad_statuses: tuple[int, ...] = (502, 503, 504)
    outlier: OutlierSettings | None = OutlierSettings()
    breaker: BreakerSettings | None = None
    timed: bool = False
