"""Assembly: takes the snapshot of one process: reads the plain numbers of everything that runs.

Knows every object that counts; changes nothing.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import wsproxy
from wsproxy.backend.backend import Backend
from wsproxy.cache.cache import Cache
from wsproxy.cache.outcomes import MEANINGS
from wsproxy.config.group_settings import Address
from wsproxy.finder import Finder
from wsproxy.frontend.frontend import Frontend
from wsproxy.frontend.relay import Relay
from wsproxy.frontend.relays import Relays
from wsproxy.frontend.route import Route
from wsproxy.frontend.tcp import TcpFrontend
from wsproxy.frontend.totals import Traffic
from wsproxy.groups import Groups
from wsproxy.listeners import Listeners
from wsproxy.logbook import Logbook
from wsproxy.managed.place import ServerLook
from wsproxy.observe.histogram import Durations
from wsproxy.observe.process import LoopLag, family_usage, process_figures
from wsproxy.observe.snapshot import (
    BackendFigures,
    BackendState,
    CacheFigures,
    Carried,
    FoundFigures,
    FrontendFigures,
    GroupFigures,
    HealthFigures,
    OverloadFigures,
    Phase,
    PoolFigures,
    RateLimitFigures,
    RedisFigures,
    RouteFigures,
    ServerFigures,
    SessionFigures,
    Snapshot,
    TcpFigures,
    WebSocketFigures,
)
from wsproxy.reload_count import ReloadCount
from wsproxy.routes import Routes
from wsproxy.running import RunningGroup

if TYPE_CHECKING:
    from wsproxy.backend.pool import WorkerPool
    from wsproxy.frontend.overload import Overload
    from wsproxy.limiting.gate import RouteGate
    from wsproxy.ws.frames import FrameScanner


class Figures:
    """Reads what serves. started_at: Unix time. reloads: who counts them. lag: of the event loop, once that runs."""

    def __init__(
        self,
        listeners: Listeners,
        routes: Routes,
        groups: Groups,
        logbook: Logbook,
        phase: Callable[[], Phase],
    ) -> None:
        self.started_at = time.time()
        self.reloads = ReloadCount(routes)
        self.lag = LoopLag()
        self._listeners = listeners
        self._routes = routes
        self._groups = groups
        self._logbook = logbook
        self._phase = phase

    @property
    def phase(self) -> Phase:
        """Where in its life the application is."""
        return self._phase()

    @property
    def is_accepting(self) -> bool:
        """Whether clients are accepted, as in a stop they are for `drain_delay`."""
        return self._listeners.have_started and not self._listeners.are_draining

    def snapshot(self) -> Snapshot:
        """Everything at this moment."""
        listeners, routes = self._listeners, self._routes
        return Snapshot(
            at=time.time(),
            version=wsproxy.__version__,
            phase=self.phase,
            frontends=tuple(_frontend(frontend) for frontend in listeners.accepting),
            routes=tuple(_route(route) for route in routes.values()),
            groups=tuple(_group(running) for running in self._groups.values()),
            reloads=self.reloads.so_far,
            overload=_overload(routes.guards.overload),
            tcp=tuple(_tcp(frontend, listeners.retired) for frontend in listeners.tcp_by_name.values()),
            cache=_cache(routes.caching.cache),
            redis=tuple(
                RedisFigures(link.used_for, link.server, not link.is_open, link.faults)
                for user in (routes.guards, routes.remembering, routes.caching)
                for link in user.links
            ),
            processes=(process_figures(self.started_at, self.lag.longest_s, self._logbook.access_lost),),
        )


def url_of(address: Address) -> str:
    """An address as a URL, which is how the API names servers; `unix:/path` for a socket."""
    written = str(address)
    return written if "://" in written or address.unix_path else f"http://{written}"


def backend_figures(running: RunningGroup, backend: Backend) -> BackendFigures:
    """One backend of a group."""
    group = running.group
    record = running.record_of(backend)
    counts = (0, 0, 0, "") if record is None else (record.good, record.bad, record.flips, record.reason)
    return BackendFigures(
        group=group.name,
        name=backend.name,
        url=url_of(backend.address),
        state=_state(backend),
        weight=backend.settings.weight,
        websockets=backend.leases - backend.tcp_connections,
        tcp_connections=backend.tcp_connections,
        ejections=backend.guard.ejections,
        breaker_opened=backend.guard.breaker_opened,
        added=running.is_added(backend.name),
        pool=_pool(backend.pool),
        health=HealthFigures(backend.up and backend in running.checker.records, *counts),
    )


def session_id(route: Route, relay: Relay) -> str:
    """What names a WebSocket for as long as the process lives."""
    return f"{route.settings.name}.{relay.number}"


def session_figures(route: Route, relay: Relay, now: float) -> SessionFigures:
    """One WebSocket; `now` is the loop's time."""
    return SessionFigures(
        id=session_id(route, relay),
        route=route.settings.name,
        backend="" if relay.backend is None else relay.backend.name,
        peer=relay.peer,
        age_s=max(now - relay.opened_at, 0.0),
        idle_s=max(now - relay.idle_since, 0.0),
        closing=relay.is_closing,
        client=_carried(relay.state.client),
        upstream=_carried(relay.state.upstream),
        round_trip_s=relay.round_trip_s,
        inspected=relay.is_inspected,
    )


def _state(backend: Backend) -> BackendState:
    if backend.leaving:
        return "draining"
    if not backend.enabled:
        return "disabled"
    if not backend.up:
        return "down"
    guard = backend.guard
    if guard.is_open or guard.is_half_open:
        return "open" if guard.is_open else "half-open"
    return "ejected" if guard.ejected else "up"


def _tcp(frontend: TcpFrontend, retired: Sequence[Frontend | TcpFrontend]) -> TcpFigures:
    """One section, with the connections that are left of listeners in whose place it is."""
    totals = frontend.totals
    relays = dict(frontend.relays)
    for old in retired:
        if isinstance(old, TcpFrontend) and old.totals is totals:
            relays.update(old.relays)
    client_bytes, upstream_bytes = Counter(totals.client_bytes), Counter(totals.upstream_bytes)
    for relay, backend in relays.items():
        client_bytes[backend.name] += relay.client.received_bytes
        upstream_bytes[backend.name] += relay.upstream.received_bytes
    return TcpFigures(
        name=frontend.tcp.name,
        group=frontend.tcp.group,
        open=dict(Counter(backend.name for backend in relays.values())),
        ended=dict(totals.connections),
        client_bytes=dict(client_bytes),
        upstream_bytes=dict(upstream_bytes),
    )


def _frontend(frontend: Frontend | TcpFrontend) -> FrontendFigures:
    return FrontendFigures(
        name=frontend.settings.name,
        addresses=tuple(_addresses(frontend)),
        connections=frontend.connections,
        max_connections=frontend.settings.max_connections,
        accepted=frontend.accepted,
        refused=dict(frontend.service.refused) if isinstance(frontend, Frontend) else {},
    )


def _addresses(frontend: Frontend | TcpFrontend) -> Iterator[str]:
    for listening in frontend.sockets:
        if listening.fileno() >= 0:
            host, port = listening.getsockname()[:2]
            yield f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _group(running: RunningGroup) -> GroupFigures:
    group = running.group
    backends = sorted(group.backends.values(), key=lambda backend: backend.position)
    return GroupFigures(
        name=group.name,
        waiting=len(group.waiting),
        backends=tuple(backend_figures(running, backend) for backend in backends),
        parting=dict.fromkeys(running.parting, 1),
        servers=() if running.managed is None else tuple(_server(look) for look in running.managed.look()),
        load=None if running.scaler is None else running.scaler.load,
        found=None if running.finder is None else _found(running.finder),
    )


def _found(finder: Finder) -> FoundFigures:
    return FoundFigures(str(finder.settings.target), finder.count, finder.at, finder.errors)


def _server(look: ServerLook) -> ServerFigures:
    cpu_s, memory_bytes = family_usage(look.pid) if look.pid else (0.0, 0)
    return ServerFigures(look.name, look.state, look.pid, look.restarts, cpu_s, memory_bytes)


def _pool(pool: WorkerPool) -> PoolFigures:
    totals = pool.totals
    return PoolFigures(
        workers=len(pool.workers),
        idle=pool.idle,
        min_workers=pool.settings.min_workers,
        max_workers=pool.settings.max_workers,
        queue=len(pool.queue),
        queue_size=pool.queue.size,
        oldest_wait_s=pool.oldest_wait_s,
        grown=pool.grown,
        shrunk=pool.shrunk,
        exchanges=pool.exchanges,
        opened=pool.connections_opened,
        reused=totals.reused(pool.exchanges),
        stale=totals.stale,
        connect_failures=totals.connect_failures,
        unreachable=pool.reach.is_lost,
        queue_timeouts=totals.queue_timeouts,
        failed={side.value: count for side, count in totals.failed.items()},
        queue_wait=Durations.of(totals.queue_wait),
        connect=Durations.of(totals.connect),
    )


def _route(route: Route) -> RouteFigures:
    return RouteFigures(
        name=route.settings.name,
        kind=route.settings.kind,
        group=route.group.name,
        answered=tuple(route.totals.answered()),
        retries=route.totals.retries,
        websockets=None if route.relays is None else _websockets(route.relays),
        rate_limit=None if route.gate is None or route.gate.limits is None else _rate_limit(route.gate.limits),
    )


def _overload(overload: Overload) -> OverloadFigures | None:
    if not overload.is_on:
        return None
    return OverloadFigures(overload.buffered_bytes, overload.handshakes, dict(overload.refused), overload.closed)


def _rate_limit(gate: RouteGate) -> RateLimitFigures:
    return RateLimitFigures(gate.refused, gate.unchecked, gate.entries, gate.evicted)


def _websockets(relays: Relays) -> WebSocketFigures:
    totals, running = relays.totals, relays.running
    client, upstream = totals.traffic([relay.state for relay in running])
    open_by_backend = Counter("" if relay.backend is None else relay.backend.name for relay in running)
    return WebSocketFigures(
        open=dict(open_by_backend),
        handshakes=dict(totals.handshakes),
        closes=dict(totals.closes),
        client=_carried(client),
        upstream=_carried(upstream),
        ended=totals.ended,
        lived_s=totals.lived_s,
        drained=totals.drained,
        reconnects=totals.reconnects,
        replayed=totals.replayed,
        round_trips=totals.round_trips,
        round_trip_s=totals.round_trip_s,
        paused_s=totals.paused_s,
        client_sizes=_by_size(totals.client_sizes),
        upstream_sizes=_by_size(totals.upstream_sizes),
    )


def _by_size(counts: Sequence[int]) -> dict[int, int]:
    return {exponent: count for exponent, count in enumerate(counts) if count}


def _cache(cache: Cache | None) -> CacheFigures | None:
    if cache is None:
        return None
    totals, store = cache.totals, cache.store
    return CacheFigures(
        results={outcome: totals.results[outcome] for outcome in MEANINGS},
        entries=store.entries,
        used_bytes=store.used_bytes,
        max_bytes=cache.settings.max_size_bytes if cache.memory is not None else 0,
        fetching=len(cache.flights),
        stored=totals.stored,
        refused=totals.refused,
        evicted=totals.evicted + store.evicted,
        purged=totals.purged,
        background=totals.background,
        faults=totals.faults + store.faults,
    )


def _carried(counted: Traffic | FrameScanner) -> Carried:
    return Carried(counted.messages, counted.texts, counted.data_bytes, counted.pings, counted.pongs)
