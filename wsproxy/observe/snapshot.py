"""What the proxy is and has done, at one moment: the one shape that metrics, admin API and dashboard are made of.

Plain data, without a reference into what runs; counters only grow while the process lives, all other figures are of the
moment. Durations in seconds, sizes in bytes, `at` in seconds of the loop's clock unless a field says Unix time. Names
come from the configuration and from what an operator added, never from a request. Snapshots of several processes of one
configuration become one with `merged`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from wsproxy.observe.histogram import NO_DURATIONS, Durations

BackendState = Literal["up", "down", "ejected", "open", "half-open", "disabled", "draining"]
"""`up` and `down` are the health checks' word on an enabled backend; `ejected` is what requests say of one that is
up, `open` and `half-open` its breaker; `disabled` and `draining` are an operator's."""

Phase = Literal["starting", "running", "stopping"]


@dataclass(frozen=True, slots=True)
class Answered:
    """The requests of one route that one backend answered (or none: "") with one status code.

    total: from the head's arrival to the last byte given to the client's socket. first_byte: to the answer's head.
    """

    backend: str
    code: int
    total: Durations
    first_byte: Durations


@dataclass(frozen=True, slots=True)
class Carried:
    """What one side of a route's WebSockets has sent: messages (texts among them), payload bytes, pings and pongs."""

    messages: int = 0
    texts: int = 0
    data_bytes: int = 0
    pings: int = 0
    pongs: int = 0


@dataclass(frozen=True, slots=True)
class WebSocketFigures:
    """The WebSockets of one route.

    open: by backend. handshakes: by result. closes: by (initiator, code). lived_s: of those that have ended.
    round_trip_s: the sum of all answered pings of ours. paused_s: time for which a side was not read because the other
    took nothing. drained: told to go by a drain. client_sizes, upstream_sizes: how many messages had a payload of 2 to
    the power of k bytes at most, and more than half of that, by k; those that nobody sent are not there.
    """

    open: dict[str, int] = field(default_factory=dict)
    handshakes: dict[str, int] = field(default_factory=dict)
    closes: dict[tuple[str, int], int] = field(default_factory=dict)
    client: Carried = Carried()
    upstream: Carried = Carried()
    ended: int = 0
    lived_s: float = 0.0
    drained: int = 0
    reconnects: int = 0
    replayed: int = 0
    round_trips: int = 0
    round_trip_s: float = 0.0
    paused_s: float = 0.0
    client_sizes: dict[int, int] = field(default_factory=dict)
    upstream_sizes: dict[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RateLimitFigures:
    """The rate limits of one route.

    refused: requests that got 429. unchecked: those that passed because the shared store did not answer. entries:
    clients remembered now. evicted: clients forgotten too early, because there were too many.
    """

    refused: int = 0
    unchecked: int = 0
    entries: int = 0
    evicted: int = 0


@dataclass(frozen=True, slots=True)
class RouteFigures:
    """One route. retries: attempts after the first. websockets: None for an `[http…]` route.

    rate_limit: None where nothing is limited.
    """

    name: str
    kind: str
    group: str
    answered: tuple[Answered, ...] = ()
    retries: int = 0
    websockets: WebSocketFigures | None = None
    rate_limit: RateLimitFigures | None = None


@dataclass(frozen=True, slots=True)
class PoolFigures:
    """The worker pool of one backend.

    workers: now, idle among them. queue: exchanges that wait now. oldest_wait_s: how long the first of them has waited.
    opened: connections. reused: requests over a connection that was there. stale: reused connections that turned out to
    be closed. exchanges: taken by a worker. failed: by whose fault ("client", "upstream", "proxy").
    unreachable: requests are refused because no connection was to be had for long.
    queue_wait: of those that had to wait. connect: of connections that opened.
    """

    workers: int = 0
    idle: int = 0
    min_workers: int = 0
    max_workers: int = 0
    queue: int = 0
    queue_size: int = 0
    oldest_wait_s: float = 0.0
    grown: int = 0
    shrunk: int = 0
    exchanges: int = 0
    opened: int = 0
    reused: int = 0
    stale: int = 0
    connect_failures: int = 0
    unreachable: bool = False
    queue_timeouts: int = 0
    failed: dict[str, int] = field(default_factory=dict)
    queue_wait: Durations = NO_DURATIONS
    connect: Durations = NO_DURATIONS


@dataclass(frozen=True, slots=True)
class HealthFigures:
    """What the probes of one backend say. up: not while nobody probes it, as it is not enabled.

    flips: changes of the verdict. reason: of the last bad probe, or "".
    """

    up: bool = True
    good: int = 0
    bad: int = 0
    flips: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class BackendFigures:
    """One backend. url: as a person would write it. websockets: the relays that hold a lease on it now.

    tcp_connections: those of `[tcp:NAME]` listeners now.
    ejections: how often it was taken out for failing requests. breaker_opened: how often its circuit breaker did.
    added: by an operator at run time, so not in the file.
    """

    group: str
    name: str
    url: str
    state: BackendState = "up"
    weight: int = 1
    websockets: int = 0
    tcp_connections: int = 0
    ejections: int = 0
    breaker_opened: int = 0
    added: bool = False
    pool: PoolFigures = PoolFigures()
    health: HealthFigures = HealthFigures()

    @property
    def leases(self) -> int:
        """What holds a connection to it outside its pool."""
        return self.websockets + self.tcp_connections

    @property
    def current_connections(self) -> int:
        """What keeps it busy now: requests that a worker carries, WebSockets and connections over TCP."""
        return self.pool.workers - self.pool.idle + self.leases


@dataclass(frozen=True, slots=True)
class ServerFigures:
    """One server that the proxy has started itself, with all that it has started in turn.

    state: starting, ready, waiting (for its next start), failed (given up after a crash loop) or leaving. pid: 0 while
    there is no process. restarts: after ends of its own.
    """

    name: str
    state: str
    pid: int = 0
    restarts: int = 0
    cpu_s: float = 0.0
    memory_bytes: int = 0


@dataclass(frozen=True, slots=True)
class FoundFigures:
    """The finding of one group's servers. source: as in the file. servers: of the last set. at: Unix time of the last
    good answer, 0 before the first. errors: questions in vain."""

    source: str
    servers: int = 0
    at: float = 0.0
    errors: int = 0


@dataclass(frozen=True, slots=True)
class GroupFigures:
    """The backends of one group. waiting: requests for which no queue has room.

    parting: servers that have left and still have something in hand, 1 each. servers: those that the proxy has started.
    load: requests a second and WebSockets by server, None where they do not decide how many there are.
    found: where servers are found, None where they are not.
    """

    name: str
    waiting: int = 0
    backends: tuple[BackendFigures, ...] = ()
    parting: dict[str, int] = field(default_factory=dict)
    servers: tuple[ServerFigures, ...] = ()
    load: float | None = None
    found: FoundFigures | None = None


@dataclass(frozen=True, slots=True)
class FrontendFigures:
    """One listener. connections: now, WebSockets among them. refused: requests that found no route, by code."""

    name: str
    addresses: tuple[str, ...] = ()
    connections: int = 0
    max_connections: int = 0
    accepted: int = 0
    refused: dict[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TcpFigures:
    """One `[tcp:NAME]` section. open: connections by backend. ended: by (backend or "", result).

    client_bytes, upstream_bytes: what each side has sent, by backend.
    """

    name: str
    group: str
    open: dict[str, int] = field(default_factory=dict)
    ended: dict[tuple[str, str], int] = field(default_factory=dict)
    client_bytes: dict[str, int] = field(default_factory=dict)
    upstream_bytes: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class OverloadFigures:
    """What the process has taken on. buffered_bytes: held for clients and servers, if there is a budget for them.

    opening: WebSockets whose handshake is under way. refused: requests, by what there was too much of. closed:
    WebSockets let go for the bytes they held.
    """

    buffered_bytes: int = 0
    opening: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    closed: int = 0


@dataclass(frozen=True, slots=True)
class CacheFigures:
    """The cache. results: requests of caching routes by outcome. entries, used_bytes: now, 0 where the store is shared.

    stored: answers kept. refused: those for which there was no room. evicted: those that had to make room. purged: at
    an operator's word. background: fetches that nobody waited for. faults: what the store did not do in time.
    """

    results: dict[str, int] = field(default_factory=dict)
    entries: int = 0
    used_bytes: int = 0
    max_bytes: int = 0
    fetching: int = 0
    stored: int = 0
    refused: int = 0
    evicted: int = 0
    purged: int = 0
    background: int = 0
    faults: int = 0


@dataclass(frozen=True, slots=True)
class ReloadFigures:
    """Reloads: how many took effect and how many were refused; `sessions_kept`, `sessions_drained` over all of them."""

    done: int = 0
    refused: int = 0
    sessions_kept: int = 0
    sessions_drained: int = 0


@dataclass(frozen=True, slots=True)
class ProcessFigures:
    """One OS process. started_at: Unix time. lag_s: the longest delay of the event loop in the last seconds."""

    pid: int
    started_at: float
    cpu_s: float = 0.0
    memory_bytes: int = 0
    descriptors: int = 0
    max_descriptors: int = 0
    lag_s: float = 0.0
    log_lines_dropped: int = 0
    log_messages_dropped: int = 0


@dataclass(frozen=True, slots=True)
class RedisFigures:
    """One Redis server, for one of its uses. use: the key or section that names it. server: its URL without secrets.

    unreachable: it is left alone, as it does not answer. faults: questions that it did not answer.
    """

    use: str
    server: str
    unreachable: bool = False
    faults: int = 0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything but the single WebSockets. at: Unix time. overload: None where there is no budget.

    process_deaths: of processes that were started again. trouble: what a person should know of that, or "".
    """

    at: float
    version: str
    phase: Phase = "running"
    frontends: tuple[FrontendFigures, ...] = ()
    routes: tuple[RouteFigures, ...] = ()
    groups: tuple[GroupFigures, ...] = ()
    reloads: ReloadFigures = ReloadFigures()
    overload: OverloadFigures | None = None
    cache: CacheFigures | None = None
    processes: tuple[ProcessFigures, ...] = ()
    tcp: tuple[TcpFigures, ...] = ()
    redis: tuple[RedisFigures, ...] = ()
    process_deaths: int = 0
    trouble: str = ""

    def backends(self) -> list[BackendFigures]:
        """Those of all groups, in the order of the configuration."""
        return [backend for group in self.groups for backend in group.backends]


@dataclass(frozen=True, slots=True)
class SessionFigures:
    """One WebSocket. id: unique over all processes. round_trip_s: of the client's last answered ping, or None.

    inspected: it can be tapped.
    """

    id: str
    route: str
    backend: str
    peer: str
    age_s: float
    idle_s: float
    closing: bool
    client: Carried
    upstream: Carried
    round_trip_s: float | None = None
    inspected: bool = False
