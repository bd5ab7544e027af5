"""Assembly: looks at the load of a group of managed servers now and then, and has one more started or one let go.

Joins the decision of `protection.autoscale` with those who count requests and those who start servers.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import anyio

from wsproxy.config.group_settings import ScalingSettings
from wsproxy.managed.servers import ManagedServers
from wsproxy.protection.autoscale import AutoscaleState, Look

_logger = logging.getLogger("wsproxy.scaling")


@dataclass(frozen=True, slots=True)
class BackendLoad:
    """What one server has had to do. exchanges: since it is there. leases: the WebSockets that it holds."""

    exchanges: int
    leases: int


Measure = Callable[[], Awaitable[Mapping[str, BackendLoad]]]
"""The load of each server of a group that is ready, by name."""


class Scaler:
    """The scaling of one group. enabled: an operator lets it. load: a server's average at the last look."""

    def __init__(self, group: str, settings: ScalingSettings, managed: ManagedServers, measure: Measure) -> None:
        self.enabled = True
        self._group = group
        self._state = AutoscaleState(settings)
        self._managed = managed
        self._measure = measure
        self._before: dict[str, int] = {}

    @property
    def load(self) -> float:
        """Requests a second and WebSockets, by server."""
        return self._state.load

    def use(self, settings: ScalingSettings) -> None:
        """Take over other limits."""
        self._state.use(settings)

    async def run(self) -> None:
        """Look until cancelled."""
        looked_at = anyio.current_time()
        while True:
            await anyio.sleep(self._state.settings.interval_s)
            loads = await self._measure()
            now = anyio.current_time()
            self._look(loads, now - looked_at)
            looked_at = now

    def _look(self, loads: Mapping[str, BackendLoad], passed_s: float) -> None:
        """What a server has carried before it was first seen is nobody's load now."""
        before, self._before = self._before, {name: load.exchanges for name, load in loads.items()}
        requests = sum(max(0, load.exchanges - before.get(name, load.exchanges)) for name, load in loads.items())
        managed = self._managed
        ready = managed.ready
        coming = sum(server.state in ("starting", "leaving") for server in managed.look())
        look = Look(requests, sum(load.leases for load in loads.values()), ready, coming)
        step = self._state.decide(look, passed_s)
        if not step or not self.enabled:
            return
        name = managed.start_one() if step > 0 else managed.stop_one()
        if name is not None:
            what = "one more is started" if step > 0 else "one is let go"
            _logger.info("%s: load %.0f by server, %d servers: %s (%s)", self._group, self.load, ready, what, name)
