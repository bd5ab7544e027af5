"""The relays of one route: who may come, who is there, and the sweep that looks after them.

Knows relays and their limits. One coarse sweep over all sessions takes the place of timers: each is looked at once a
second, a quarter of them at each tick, so that no tick is long.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from math import ceil
from typing import Final

from wsproxy.backend.backend import Backend
from wsproxy.backend.group import Group
from wsproxy.config.model import RouteSettings, WebSocketSettings
from wsproxy.errors import Failure, Side
from wsproxy.frontend.drain import Drain
from wsproxy.frontend.relay import Relay
from wsproxy.frontend.terms import RelayTerms
from wsproxy.net.deadlines import NEVER, TICK_S, Deadlines
from wsproxy.ws.control import SERVICE_RESTART
from wsproxy.ws.drain import Random, default_rate
from wsproxy.ws.rebalance import surplus

SWEEP_S: Final = 1.0
"""How often each session is looked at: fine enough for clocks of 20 s, and 2 us a second for each."""

PRECISION: Final = 0.25
"""The share of the shortest clock by which it may be late, where that is less than a sweep."""

ROUTE_FULL: Final = Failure(Side.PROXY, 503, "too many WebSockets on this route", retry_after_s=5)
PEER_FULL: Final = Failure(Side.CLIENT, 429, "too many WebSockets from this address", retry_after_s=5)


class Relays:
    """What a `[websocket…]` route holds at run time.

    open: the relays that run. terms: what they go by. totals: the counters, theirs among them. drain_period_s: in which
    a drain without a `drain_rate` of its own empties the route.
    """

    def __init__(
        self, settings: RouteSettings, group: Group, deadlines: Deadlines, rng: Random, drain_period_s: float
    ) -> None:
        self.open: set[Relay] = set()
        self.terms = RelayTerms(settings.websocket, rng)
        self.totals = self.terms.totals
        self._before: list[Relays] = []
        self.drain_period_s = drain_period_s
        self.deadline = NEVER
        self._deadlines = deadlines
        self._rng = rng
        self._places = 0
        self._entered = 0
        self._by_peer: Counter[str] = Counter()
        self._round: list[Relay] = []  # who is still to be looked at in this round, and how many at each tick
        self._share = 0
        self._group = group
        self._retiring = False
        self._rebalanced_at = deadlines.now
        self._drains: set[Drain] = set()
        self._sweep_s = _sweep_s(settings.websocket)
        group.watchers.append(self)

    def use(self, settings: WebSocketSettings) -> None:
        """Take over other limits and clocks; a session keeps the sizes, rates and pings that it began with."""
        self.terms.use(settings)
        self._sweep_s = _sweep_s(settings)

    def go_on_from(self, old: Relays) -> None:
        """Take the place of another of this name, before the first session: both count in one place from now on."""
        self.totals = self.terms.totals = old.totals
        self._before, old._before = [old, *(each for each in old._before if each.open)], []
        self._entered = old._entered  # numbers name sessions

    @property
    def running(self) -> list[Relay]:
        """Those that count here: `open`, and what is left of others in whose place these are."""
        self._before = [each for each in self._before if each.open]
        return [*self.open, *(relay for each in self._before for relay in each.open)]

    def retire(self) -> None:
        """The route is gone: forget about the group once the last session is."""
        self._retiring = True
        if not self.open:
            self._group.watchers.remove(self)

    # Who may come.

    def try_reserve(self, peer: str) -> Failure | None:
        """Take a place for a client at this address, to be given back by `release`, or say why there is none."""
        settings = self.terms.settings
        if settings.max_connections is not None and self._places >= settings.max_connections:
            return ROUTE_FULL
        if settings.max_connections_per_ip is not None:
            if self._by_peer[peer] >= settings.max_connections_per_ip:
                return PEER_FULL
            self._by_peer[peer] += 1
        self._places += 1
        return None

    def release(self, peer: str) -> None:
        """The handshake has failed, or the session is over."""
        self._places -= 1
        if peer in self._by_peer:  # not those from before a reload that brought the limit
            self._by_peer[peer] -= 1
            if not self._by_peer[peer]:
                del self._by_peer[peer]

    @property
    def opening(self) -> int:
        """Handshakes under way."""
        return self._places - len(self.open)

    # Who is there.

    def enter(self, relay: Relay) -> None:
        """A relay begins."""
        if not self.open:
            self._deadlines.watch(self)
            self.deadline = 0.0  # looked at in every sweep while there is one
        self.open.add(relay)
        self._entered += 1
        relay.number = self._entered
        self._lease(relay)
        if relay.home.stopping:
            relay.begin_close(relay.home.parting_code)

    def leave(self, relay: Relay) -> None:
        """A relay is over."""
        self.open.discard(relay)
        self._deadlines.forget(relay)
        if relay.backend is not None:
            relay.backend.release_lease()
        self.release(relay.peer)
        self.totals.add_ended(relay.state, self._deadlines.now - relay.opened_at)
        if relay.access_entry is not None and relay.home.access is not None:
            relay.home.access.closed(relay.access_entry, relay.state)
        if not self.open:
            self._deadlines.forget(self)
            if self._retiring:
                self._group.watchers.remove(self)

    def expire(self) -> None:
        """At every tick: look at the next share of the relays."""
        now = self._deadlines.now
        if self.terms.settings.rebalance and now - self._rebalanced_at >= 1.0:
            self._rebalanced_at = now
            self._rebalance()
        if not self._round:
            self._round = list(self.open)
            self._share = ceil(len(self._round) * TICK_S / max(self._sweep_s, TICK_S))
        for _ in range(min(self._share, len(self._round))):
            relay = self._round.pop()
            if relay in self.open:
                relay.look(now)

    def moved(self, relay: Relay, backend: Backend | None) -> None:
        """A relay goes on with another backend."""
        if relay.backend is not None:
            relay.backend.release_lease()
        relay.backend = backend
        self._lease(relay)
        self.totals.reconnects += 1

    def _lease(self, relay: Relay) -> None:
        """Let the backend know of the relay; one that was let go during the handshake is left at once."""
        if relay.backend is not None:
            relay.backend.acquire_lease()
        if relay.backend is None or relay.backend.leaving:
            relay.drain(SERVICE_RESTART)

    # Who must go.

    def backend_leaving(self, backend: Backend) -> None:
        """The group lets a backend go: its relays are drained."""
        self.drain([relay for relay in self.open if relay.backend is backend], SERVICE_RESTART)

    def _rebalance(self) -> None:
        """Each second: let a few of those go that a newly come backend should have."""
        servers = self._group.healthy.snapshot()
        if servers is None:  # a writer waits: a second later will do
            return
        held: dict[Backend, list[Relay]] = {server: [] for server in servers}
        for relay in self.open:
            if relay.backend in held and not relay.is_closing:
                held[relay.backend].append(relay)
        for backend, count in surplus({backend: len(relays) for backend, relays in held.items()}).items():
            idle_first = sorted(held[backend], key=lambda relay: relay.idle_since)
            self.drain(idle_first[:count], SERVICE_RESTART)

    def drain(self, relays: Collection[Relay], client_code: int) -> None:
        """Close these relays at the route's pace, those idle for longest first."""
        leaving = sorted((relay for relay in relays if not relay.is_closing), key=lambda relay: relay.idle_since)
        if not leaving:
            return
        rate = self.terms.settings.drain_rate
        pace = default_rate(len(leaving), self.drain_period_s) if rate is None else rate.a_second
        drain = Drain(leaving, client_code, pace, self._rng)
        drain.start(self._drain_ended)
        self._drains.add(drain)

    def _drain_ended(self, drain: Drain) -> None:
        self._drains.discard(drain)
        self.totals.drained += drain.told

    def abort(self) -> None:
        """End what is left."""
        for drain in tuple(self._drains):
            drain.cancel()
        for relay in tuple(self.open):
            relay.abort()


def _sweep_s(settings: WebSocketSettings) -> float:
    """How often to look, for the shortest of the durations that the sweep keeps."""
    clocks = [settings.ping_interval_s, settings.idle_timeout_s, settings.max_lifetime_s, settings.slow_consumer_s]
    if settings.ping_interval_s is not None:
        clocks.append(settings.ping_timeout_s)
    return min([SWEEP_S, *(clock_s * PRECISION for clock_s in clocks if clock_s is not None)])
