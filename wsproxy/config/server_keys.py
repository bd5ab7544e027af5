"""The keys of servers and of what they have in common: pools, probes, ejection, processes, discovery, scaling.

Pure, and data alone; part of the schema, see there.
"""

from __future__ import annotations

from typing import Final

from wsproxy.config import group_settings, watch_settings
from wsproxy.config.addresses import UPSTREAM
from wsproxy.config.discovering import API, DISCOVER, RESOLVER
from wsproxy.config.failing import SHARE, STATUSES
from wsproxy.config.keys import Key, Table
from wsproxy.config.values import (
    BOOLEAN,
    DURATION,
    PATH,
    PROBE_TARGET,
    SECTION_NAME,
    SERVER_NAME,
    VARIABLES,
    WORDS,
    choice,
    integer,
)

_COUNT: Final = integer(1, 1_000_000)

_POOL: Final = (
    Key("max_workers", integer(1, 10_000), "3", "connections to the server at most, each with a worker"),
    Key("min_workers", integer(0, 10_000), "1", "connections kept when idle"),
    Key("worker_timeout", DURATION, "3s", "idle time after which a worker beyond min_workers leaves"),
    Key("buffer_size", integer(0, 1_000_000), "10", "requests that may wait for a worker"),
)

_UPSTREAM_TLS: Final = (
    Key("tls_verify", BOOLEAN, "yes", "check the certificates of servers written https://", field=""),
    Key("tls_ca", PATH, None, "authorities that may have signed them, PEM; the system's by default", field=""),
)

UPSTREAM_TLS: Final = Table(None, _UPSTREAM_TLS)

POOL: Final = Table(group_settings.ServerSettings, _POOL)

SERVER: Final = Table(
    group_settings.ServerSettings,
    (
        Key("addr", UPSTREAM, None, "where it listens; serverN means the same", needed=True, field="address"),
        Key("name", SERVER_NAME, None, "its name in logs and metrics; its address by default"),
        Key("weight", integer(0, 1000), "1", "its share beside the others'; 0 is asked as a backup is"),
        *_POOL,
        *_UPSTREAM_TLS,
        Key("enabled", BOOLEAN, "yes", "whether it takes traffic"),
        Key("backup", BOOLEAN, "no", "asked only when no other server is healthy"),
    ),
)

HEALTH: Final = Table(
    group_settings.HealthSettings,
    (
        Key("enable_health_check", BOOLEAN, "no", "probe with GET health_check_path, not a mere connect", field=""),
        Key("health_check_path", PROBE_TARGET, "/healthCheck", "what the probe asks for", field="path"),
        Key("health_check_type", choice("http", "websocket"), "http", "GET, or handshake and ping", field="kind"),
        Key("health_check_interval", DURATION, "10s", "time between two probes", field="interval_s"),
        Key("health_check_timeout", DURATION, "2s", "time a probe may take", field="timeout_s"),
        Key("health_check_fall", integer(1, 100), "3", "failed probes in a row that take a server out", field="fall"),
        Key("health_check_rise", integer(1, 100), "2", "good probes in a row that bring it back", field="rise"),
    ),
)

WATCH: Final = Table(
    watch_settings.WatchSettings,
    (
        Key("slow_start", DURATION, None, "time in which the share of a new or recovered server grows to its weight"),
        Key("outlier_status", STATUSES, "502 503 504", "answers that are failures", field="bad_statuses"),
    ),
)

OUTLIER: Final = Table(
    watch_settings.OutlierSettings,
    (
        Key("outlier", BOOLEAN, "yes", "take a server out for a while when requests fail; no with breaker", field=""),
        Key("outlier_failures", _COUNT, "5", "failures in a row that take it out", field="failures"),
        Key("outlier_rate", SHARE, "50%", "share of failures that does, of 20 requests in 10 s at least", field="rate"),
        Key("outlier_time", DURATION, "30s", "for how long; longer each time, up to ten times that", field="time_s"),
    ),
)

BREAKER: Final = Table(
    watch_settings.BreakerSettings,
    (
        Key("breaker", BOOLEAN, "no", "ask a server that keeps failing no more, even if it is the last", field=""),
        Key("breaker_failures", _COUNT, "5", "failures in a row that open the breaker", field="failures"),
        Key("breaker_open", DURATION, "30s", "how long it stays open", field="open_s"),
        Key("breaker_trials", integer(1, 1000), "1", "requests that then try the server, to close it", field="trials"),
    ),
)

MANAGED: Final = Table(
    group_settings.ManagedSettings,
    (
        Key("command", WORDS, None, "starts one server: <sock> its socket, <name> its name, <python> this Python"),
        Key("args", WORDS, None, "more words of the command, on as many lines as you like", field=""),
        Key("startup_servers", integer(1, 1000), "1", "servers to start with"),
        Key("max_servers", integer(1, 1000), "1", "servers at most, where load decides; never below startup_servers"),
        Key("environment", VARIABLES, None, "variables for the command"),
        Key("working_directory", PATH, None, "directory the command runs in"),
    ),
)

DISCOVERY: Final = Table(
    None,
    (
        Key("discover", DISCOVER, None, "where servers are found at run time", field=""),
        Key("discover_interval", DURATION, "30s", "time between two looks at most; a shorter TTL counts", field=""),
        Key("discover_zone", SECTION_NAME, None, "the zone we run in, whose servers go first (Kubernetes)", field=""),
        Key("discover_resolver", RESOLVER, None, "the DNS server that is asked, instead of the system's", field=""),
        Key("discover_api", API, None, "the Kubernetes API server, instead of the cluster's own", field=""),
    ),
)

SCALING: Final = Table(
    group_settings.ScalingSettings,
    (
        Key("max_load", _COUNT, "50", "requests a second and WebSockets per server above which one is added"),
        Key("min_load", _COUNT, "10", "those below which one is taken away"),
        Key("upscale_pings", _COUNT, "5", "looks in a row above max_load"),
        Key("downscale_pings", _COUNT, "600", "looks in a row below min_load"),
        Key("interval", DURATION, "1s", "time between two looks"),
    ),
)

GROUP_TABLES: Final = (POOL, UPSTREAM_TLS, HEALTH, WATCH, OUTLIER, BREAKER, MANAGED, DISCOVERY, SCALING)
"""What describes the servers together; these keys may stand in a route that has servers of its own."""
