"""A snapshot as prometheus reads it, in its text format or as OpenMetrics.

Knows snapshots and prometheus_client, nothing that runs. Nothing is registered or counted here: each scrape turns the
plain numbers of one moment into families. Labels are names from the configuration; durations are in seconds, sizes in
bytes, as https://prometheus.io/docs/practices/naming/ asks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any, Final, get_args

from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from wsproxy.observe.exposition import encode
from wsproxy.observe.histogram import BOUNDS_S, NO_DURATIONS, Durations
from wsproxy.observe.snapshot import (
    BackendFigures,
    BackendState,
    CacheFigures,
    GroupFigures,
    RouteFigures,
    Snapshot,
    TcpFigures,
    WebSocketFigures,
)

_BOUNDS: Final = (*map(floatToGoString, BOUNDS_S), "+Inf")
_SIZES: Final = range(4, 27)
"""Powers of two, 16 bytes to 64 MiB, by which messages are told apart."""

_BACKEND: Final = ("group", "backend")
_STATES: Final = get_args(BackendState)
_SERVER_STATES: Final = ("starting", "ready", "waiting", "failed", "leaving")

Labels = tuple[str, ...]
Values = Iterable[tuple[Labels, float]]
Row = tuple[str, str, str, str]
"""Kind, name behind the prefix, field of the figures, and what it says."""


def render(snapshot: Snapshot, accept: str) -> tuple[bytes, str]:
    """The body of a scrape and its media type; OpenMetrics where `accept` (an Accept value) asks for it."""
    return encode(SnapshotCollector(snapshot).collect(), accept)


class SnapshotCollector(Collector):
    """The families of one moment."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def describe(self) -> list[Metric]:
        """Nothing, so that registering collects nothing."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Every family."""
        snapshot = self._snapshot
        yield _gauge("wsproxy_build_info", "The version that runs; always 1.", ("version",), [((snapshot.version,), 1)])
        yield from _process(snapshot)
        yield from _frontends(snapshot)
        yield from _requests(snapshot.routes)
        limited = [((route.name,), route.rate_limit) for route in snapshot.routes if route.rate_limit is not None]
        yield from _rows("wsproxy_rate_limit_", ("route",), _RATE_LIMIT, limited)
        yield from _backends(snapshot.backends())
        waiting = [((group.name,), group.waiting) for group in snapshot.groups]
        yield _gauge("wsproxy_group_waiting_requests", "Requests for which no queue has room.", ("group",), waiting)
        yield from _websockets(snapshot.routes)
        yield from _tcp(snapshot.tcp)
        yield from _overload(snapshot)
        yield from _managed(snapshot.groups)
        yield from _found(snapshot.groups)
        yield from _reloads(snapshot)
        yield from _cache(snapshot.cache)
        redis = [((each.use, each.server), each) for each in snapshot.redis]
        yield from _rows("wsproxy_redis_", ("use", "server"), _REDIS, redis)


def _gauge(name: str, text: str, labels: Labels, values: Values) -> Metric:
    family = GaugeMetricFamily(name, text, labels=labels)
    for value_labels, value in values:
        family.add_metric(value_labels, value)
    return family


def _counter(name: str, text: str, labels: Labels, values: Values) -> Metric:
    family = CounterMetricFamily(name, text, labels=labels)
    for value_labels, value in values:
        family.add_metric(value_labels, value)
    return family


def _histogram(name: str, text: str, labels: Labels, values: Iterable[tuple[Labels, Durations]]) -> Metric:
    family = HistogramMetricFamily(name, text, labels=labels)
    for value_labels, durations in values:
        below = 0
        buckets = []
        for bound, count in zip(_BOUNDS, durations.counts, strict=True):
            below += count
            buckets.append((bound, float(below)))
        family.add_metric(value_labels, buckets, durations.sum_s)
    return family


_MAKERS: Final[Mapping[str, Callable[..., Metric]]] = {"gauge": _gauge, "counter": _counter, "histogram": _histogram}


def _rows(prefix: str, labels: Labels, rows: Iterable[Row], items: Sequence[tuple[Labels, Any]]) -> Iterator[Metric]:
    """A family for each row, with a value for each item."""
    for kind, name, field, text in rows:
        read = attrgetter(field)
        yield _MAKERS[kind](prefix + name, text, labels, [(value_labels, read(item)) for value_labels, item in items])


_PROCESS: Final[tuple[Row, ...]] = (
    ("gauge", "process_start_time_seconds", "started_at", "Unix time of the start."),
    ("counter", "process_cpu_seconds", "cpu_s", "CPU time, user and system."),
    ("gauge", "process_resident_memory_bytes", "memory_bytes", "Resident memory."),
    ("gauge", "process_open_fds", "descriptors", "Open file descriptors."),
    ("gauge", "process_max_fds", "max_descriptors", "File descriptors at most."),
    ("gauge", "event_loop_lag_seconds", "lag_s", "Longest delay of the event loop of late."),
    ("counter", "log_lines_dropped", "log_lines_dropped", "Access lines that could not be written."),
    ("counter", "log_messages_dropped", "log_messages_dropped", "Messages that could not be written."),
)

_FRONTEND: Final[tuple[Row, ...]] = (
    ("gauge", "connections", "connections", "Client connections, WebSockets among them."),
    ("gauge", "max_connections", "max_connections", "Client connections at most."),
    ("counter", "connections_accepted", "accepted", "Client connections since the start."),
)

_RATE_LIMIT: Final[tuple[Row, ...]] = (
    ("counter", "refused_requests", "refused", "Requests and handshakes that were too many, and got 429."),
    ("counter", "unchecked_requests", "unchecked", "Requests that passed because the shared store did not answer."),
    ("gauge", "entries", "entries", "Clients remembered by this process."),
    ("counter", "evictions", "evicted", "Clients forgotten too early, because there were too many."),
)

_OVERLOAD: Final[tuple[Row, ...]] = (
    ("gauge", "buffered_bytes", "buffered_bytes", "Bytes held for clients and servers, where they have a budget."),
    ("gauge", "handshakes", "opening", "WebSockets that are opening."),
    ("counter", "closed_websockets", "closed", "WebSockets closed for the bytes that they held."),
)

_POOL: Final[tuple[Row, ...]] = (
    ("gauge", "weight", "weight", "Its share beside the others'."),
    ("gauge", "websockets", "websockets", "WebSockets that it holds."),
    ("gauge", "workers", "pool.workers", "Workers in its pool."),
    ("gauge", "workers_idle", "pool.idle", "Workers without a request."),
    ("gauge", "workers_max", "pool.max_workers", "Workers at most."),
    ("counter", "workers_grown", "pool.grown", "Workers that were added."),
    ("counter", "workers_shrunk", "pool.shrunk", "Workers that left."),
    ("gauge", "queue_depth", "pool.queue", "Requests in its queue."),
    ("gauge", "queue_size", "pool.queue_size", "Requests in its queue at most."),
    ("gauge", "queue_oldest_seconds", "pool.oldest_wait_s", "How long the first in its queue has waited."),
    ("counter", "queue_timeouts", "pool.queue_timeouts", "Requests that waited in its queue in vain."),
    ("histogram", "queue_wait_seconds", "pool.queue_wait", "Waits of requests that a worker took later than at once."),
    ("counter", "exchanges", "pool.exchanges", "Attempts that its workers made."),
    ("counter", "connections_opened", "pool.opened", "Connections to it."),
    ("counter", "connections_reused", "pool.reused", "Attempts over a connection that was open."),
    ("counter", "connections_stale", "pool.stale", "Open connections that turned out to be closed."),
    ("counter", "connect_failures", "pool.connect_failures", "Connections that could not be opened."),
    ("histogram", "connect_seconds", "pool.connect", "Time to open a connection."),
    ("gauge", "healthy", "health.up", "1 if its health checks say so."),
    ("counter", "health_flips", "health.flips", "Changes between healthy and not."),
    ("counter", "ejections", "ejections", "Times it was taken out for failing requests."),
    ("counter", "breaker_opened", "breaker_opened", "Times its circuit breaker has opened."),
    ("gauge", "unreachable", "pool.unreachable", "1 while requests are refused because no connection is to be had."),
)

_WEBSOCKET: Final[tuple[Row, ...]] = (
    ("counter", "drained_sessions", "drained", "WebSockets told to go by a drain."),
    ("counter", "reconnects", "reconnects", "Servers that were connected to anew behind a client's back."),
    ("counter", "replayed_messages", "replayed", "Messages of clients told again to a server that took over."),
    ("counter", "paused_seconds", "paused_s", "Time in which a side was not read, because the other took nothing."),
    ("counter", "ended_sessions", "ended", "WebSockets that have ended."),
    ("counter", "lifetime_seconds", "lived_s", "How long those lived."),
    ("counter", "round_trips", "round_trips", "Pings of the proxy that were answered."),
    ("counter", "round_trip_seconds", "round_trip_s", "How long that took."),
)

_CACHE: Final[tuple[Row, ...]] = (
    ("gauge", "entries", "entries", "Answers in memory."),
    ("gauge", "bytes", "used_bytes", "What they take, about."),
    ("gauge", "max_bytes", "max_bytes", "What they may take."),
    ("gauge", "fetches", "fetching", "Fetches under way that others may share."),
    ("counter", "stored", "stored", "Answers that were kept."),
    ("counter", "refused", "refused", "Answers that turned out to be too large, or for which there was no room."),
    ("counter", "evictions", "evicted", "Answers that had to make room."),
    ("counter", "purged", "purged", "Answers let go at an operator's word."),
    ("counter", "background_fetches", "background", "Fetches that nobody waited for."),
    ("counter", "store_faults", "faults", "What Redis did not do, or not in time."),
)

_REDIS: Final[tuple[Row, ...]] = (
    ("gauge", "unreachable", "unreachable", "1 while it is left alone, as it does not answer."),
    ("counter", "faults", "faults", "Questions that it did not answer, or not in time."),
)

_CARRIED: Final[tuple[Row, ...]] = (
    ("counter", "payload_bytes", "data_bytes", "Payload bytes relayed."),
    ("counter", "pings", "pings", "Pings relayed."),
    ("counter", "pongs", "pongs", "Pongs relayed."),
)


def _process(snapshot: Snapshot) -> Iterator[Metric]:
    processes = [((str(process.pid),), process) for process in snapshot.processes]
    yield from _rows("wsproxy_", ("pid",), _PROCESS, processes)
    yield _gauge("wsproxy_processes", "Processes, the parent among them.", (), [((), len(processes))])
    text = "Processes that ended and were started again."
    yield _counter("wsproxy_process_deaths", text, (), [((), snapshot.process_deaths)])


def _frontends(snapshot: Snapshot) -> Iterator[Metric]:
    frontends = [((frontend.name,), frontend) for frontend in snapshot.frontends]
    yield from _rows("wsproxy_frontend_", ("frontend",), _FRONTEND, frontends)
    refused = [((*name, str(code)), count) for name, each in frontends for code, count in each.refused.items()]
    text = "Requests answered before they had a route."
    yield _counter("wsproxy_frontend_refused_requests", text, ("frontend", "code"), refused)


def _requests(routes: tuple[RouteFigures, ...]) -> Iterator[Metric]:
    keys = ("route", "backend")
    counts: list[tuple[Labels, float]] = []
    total: dict[Labels, Durations] = {}
    first: dict[Labels, Durations] = {}
    for route in routes:
        for each in route.answered:
            key = (route.name, each.backend)
            counts.append(((*key, str(each.code)), each.total.count))
            total[key] = total.get(key, NO_DURATIONS) + each.total
            first[key] = first.get(key, NO_DURATIONS) + each.first_byte
    text = "Requests that have ended, by the status that the client got."
    yield _counter("wsproxy_http_requests", text, (*keys, "code"), counts)
    text = "From a request's head to the end of its answer."
    yield _histogram("wsproxy_http_request_duration_seconds", text, keys, total.items())
    text = "From a request's head to the head of its answer."
    yield _histogram("wsproxy_http_first_byte_duration_seconds", text, keys, first.items())
    retries = [((route.name,), route.retries) for route in routes]
    yield _counter("wsproxy_http_retries", "Attempts after a request's first.", ("route",), retries)


def _backends(backends: list[BackendFigures]) -> Iterator[Metric]:
    named = [((backend.group, backend.name), backend) for backend in backends]
    states = [((*key, state), backend.state == state) for key, backend in named for state in _STATES]
    yield _gauge("wsproxy_backend_state", "1 for the state that it is in.", (*_BACKEND, "state"), states)
    yield from _rows("wsproxy_backend_", _BACKEND, _POOL, named)
    failed = [((*key, side), count) for key, backend in named for side, count in backend.pool.failed.items()]
    text = "Attempts that failed, by whose fault it was."
    yield _counter("wsproxy_backend_failures", text, (*_BACKEND, "fault"), failed)
    probes = [((*key, "good"), backend.health.good) for key, backend in named]
    probes += [((*key, "bad"), backend.health.bad) for key, backend in named]
    yield _counter("wsproxy_backend_probes", "Health probes, by outcome.", (*_BACKEND, "outcome"), probes)


def _websockets(routes: tuple[RouteFigures, ...]) -> Iterator[Metric]:
    named = [((route.name,), route.websockets) for route in routes if route.websockets is not None]
    open_now = [((*name, backend), count) for name, each in named for backend, count in each.open.items()]
    yield _gauge("wsproxy_websocket_sessions", "WebSockets open now.", ("route", "backend"), open_now)
    handshakes = [((*name, result), count) for name, each in named for result, count in each.handshakes.items()]
    yield _counter("wsproxy_websocket_handshakes", "Handshakes, by outcome.", ("route", "result"), handshakes)
    closes = [((*name, by, str(code)), count) for name, each in named for (by, code), count in each.closes.items()]
    text = "WebSockets that ended, by who began it and with which code."
    yield _counter("wsproxy_websocket_closes", text, ("route", "initiator", "code"), closes)
    yield from _rows("wsproxy_websocket_", ("route",), _WEBSOCKET, named)
    sides = [((*name, "client"), each.client) for name, each in named]
    sides += [((*name, "upstream"), each.upstream) for name, each in named]
    messages = [((*key, "text"), carried.texts) for key, carried in sides]
    messages += [((*key, "binary"), carried.messages - carried.texts) for key, carried in sides]
    yield _counter("wsproxy_websocket_messages", "Messages relayed.", ("route", "sender", "type"), messages)
    yield from _rows("wsproxy_websocket_", ("route", "sender"), _CARRIED, sides)
    yield _message_sizes(named)


def _message_sizes(named: Iterable[tuple[Labels, WebSocketFigures]]) -> Metric:
    text = "Payload of the messages relayed, as it passed: compressed, where the two sides compress."
    family = HistogramMetricFamily("wsproxy_websocket_message_size_bytes", text, labels=("route", "sender"))
    for name, each in named:
        for sender, sizes, carried in (
            ("client", each.client_sizes, each.client),
            ("upstream", each.upstream_sizes, each.upstream),
        ):
            below = [
                (str(float(2**bound)), float(sum(count for size, count in sizes.items() if size <= bound)))
                for bound in _SIZES
            ]
            family.add_metric((*name, sender), [*below, ("+Inf", float(sum(sizes.values())))], carried.data_bytes)
    return family


def _overload(snapshot: Snapshot) -> Iterator[Metric]:
    items = [] if snapshot.overload is None else [((), snapshot.overload)]
    text = "Requests and TCP connections refused for what there was too much of: connections, handshakes, bytes or lag."
    refused = [((reason,), float(count)) for _, overload in items for reason, count in overload.refused.items()]
    yield _counter("wsproxy_overload_refused_requests", text, ("excess",), refused)
    yield from _rows("wsproxy_overload_", (), _OVERLOAD, items)


def _cache(figures: CacheFigures | None) -> Iterator[Metric]:
    results = {} if figures is None else figures.results
    counts = [((result,), float(count)) for result, count in results.items()]
    yield _counter("wsproxy_cache_requests", "Requests of caching routes, by outcome.", ("result",), counts)
    yield from _rows("wsproxy_cache_", (), _CACHE, [] if figures is None else [((), figures)])


def _reloads(snapshot: Snapshot) -> Iterator[Metric]:
    reloads = snapshot.reloads
    outcomes = [(("done",), float(reloads.done)), (("refused",), float(reloads.refused))]
    yield _counter("wsproxy_reloads", "Reloads, by outcome.", ("outcome",), outcomes)
    sessions = [(("kept",), float(reloads.sessions_kept)), (("drained",), float(reloads.sessions_drained))]
    text = "WebSockets that were there at reloads, by what became of them."
    yield _counter("wsproxy_reload_sessions", text, ("fate",), sessions)


def _tcp(sections: Sequence[TcpFigures]) -> Iterator[Metric]:
    by_backend = ("listener", "backend")
    yield _gauge(
        "wsproxy_tcp_open_connections",
        "Connections that are relayed now.",
        by_backend,
        (((each.name, backend), count) for each in sections for backend, count in each.open.items()),
    )
    yield _counter(
        "wsproxy_tcp_connections",
        "Connections that have ended, by how.",
        (*by_backend, "result"),
        (((each.name, *key), count) for each in sections for key, count in each.ended.items()),
    )
    for side in ("client", "upstream"):
        yield _counter(
            f"wsproxy_tcp_{side}_bytes",
            f"Bytes that {side}s have sent.",
            by_backend,
            (((each.name, name), size) for each in sections for name, size in getattr(each, f"{side}_bytes").items()),
        )


_SERVER_ROWS: Final[tuple[Row, ...]] = (
    ("gauge", "memory_bytes", "memory_bytes", "Resident bytes of a server that the proxy has started."),
    ("counter", "cpu_seconds", "cpu_s", "CPU time of a server that the proxy has started."),
    ("counter", "restarts", "restarts", "Starts after an end of its own."),
)


def _managed(groups: Sequence[GroupFigures]) -> Iterator[Metric]:
    names = ("group", "server")
    servers = [((group.name, server.name), server) for group in groups for server in group.servers]
    yield from _rows("wsproxy_managed_server_", names, _SERVER_ROWS, servers)
    yield _gauge(
        "wsproxy_managed_servers",
        "Servers that the proxy has started, by what they are doing.",
        ("group", "state"),
        (
            ((group.name, state), float(sum(server.state == state for server in group.servers)))
            for group in groups
            if group.servers
            for state in _SERVER_STATES
        ),
    )
    yield _gauge(
        "wsproxy_scaling_load",
        "Requests a second and WebSockets by server, where they decide how many servers there are.",
        ("group",),
        (((group.name,), group.load) for group in groups if group.load is not None),
    )


_FOUND_ROWS: Final[tuple[Row, ...]] = (
    ("gauge", "servers", "servers", "Servers that were found at the last good answer."),
    ("gauge", "answer_timestamp_seconds", "at", "When that was, in Unix time."),
    ("counter", "errors", "errors", "Questions in vain: what was found before stays."),
)


def _found(groups: Sequence[GroupFigures]) -> Iterator[Metric]:
    items = [((group.name,), group.found) for group in groups if group.found is not None]
    yield from _rows("wsproxy_discovery_", ("group",), _FOUND_ROWS, items)
