"""The table of every section and key: the one source of parsing, defaults, --help-config and the manual's reference.

Pure, and data alone. A key is one line here and one field of `model`; the field's name is the key's plus its parser's
unit unless `field` says otherwise. A default is written as a user would write it and read by the key's own parser; None
leaves the model's own (which means "not set"). The keys of servers are in
`server_keys`.
"""

from __future__ import annotations

from typing import Final

from wsproxy.config import budget_settings, model
from wsproxy.config.access_format import ACCESS_FORMAT
from wsproxy.config.addresses import LISTEN_HOST, NETWORKS
from wsproxy.config.admin_token import TOKEN
from wsproxy.config.cache_settings import CacheSettings
from wsproxy.config.caching import CACHE_CONTROL, CACHED_METHODS, IGNORED
from wsproxy.config.choosing import ALGORITHM, CONNECTION_ALGORITHM, HASH_KEY, LIMIT_KEYS, STICKY, STICKY_SECRET
from wsproxy.config.content_keys import COMPRESSION, STATIC
from wsproxy.config.failing import STATUSES
from wsproxy.config.keys import Key, SectionKind, Table
from wsproxy.config.limits import (
    BURSTS,
    BYTE_RATE,
    OPTIONAL_DURATION,
    ORIGINS,
    RATE,
    RATES,
    REDIS_URL,
    SESSION_RATE,
    SLOW_CONSUMER,
)
from wsproxy.config.pages import ERROR_PAGES, VIA_NAME
from wsproxy.config.route_keys import ANSWER_EDITS, HTTP_ROUTE, ROUTE_EDITS
from wsproxy.config.server_keys import GROUP_TABLES, SCALING, SERVER
from wsproxy.config.values import (
    BOOLEAN,
    DURATION,
    HEADER_MATCHES,
    HOST_PATTERNS,
    LOG_TARGET,
    PATH,
    PATHS,
    PROCESSES,
    SECTION_NAME,
    URL_PATH,
    choice,
    integer,
    size,
)

_COUNT: Final = integer(1, 1_000_000)
_PORT: Final = integer(0, 65535)

FRONTEND: Final = Table(
    model.FrontendSettings,
    (
        Key("host", LISTEN_HOST, "0.0.0.0", "address to listen on"),
        Key("port", _PORT, None, "port to listen on; 0 takes any free one", needed=True),
        Key("redirect_https", BOOLEAN, "no", "answer every request with a redirect to https"),
        Key("proxy_protocol", choice("accept"), None, "the PROXY header that peers must send; trusted_proxies only"),
        Key("max_connections", _COUNT, "10000", "clients at a time; beyond it accepting stops"),
        Key("max_connections_per_ip", _COUNT, None, "those of one address; trusted_proxies are not counted"),
        Key("error_page", ERROR_PAGES, None, "files in place of the proxy's own error answers", field=""),
        Key("via", VIA_NAME, None, "name in Via, added to requests and answers; a request that has it is a loop (508)"),
        Key("processes", PROCESSES, "1", "processes that carry the traffic; auto: one for each CPU", field=""),
        Key("takeover_socket", PATH, None, "unix socket where a successor asks for the listeners", field=""),
        Key("tls_certificate", PATHS, None, "certificate chains, PEM; chosen by the host a client names", field=""),
        Key("tls_key", PATHS, None, "private keys, PEM, in the same order", field=""),
        Key("hsts", DURATION, None, "time for which browsers are told to use https only"),
        Key("header_timeout", DURATION, "10s", "time a client has to send a request's head"),
        Key("body_timeout", DURATION, "60s", "silence allowed inside a request's body"),
        Key("keepalive_timeout", DURATION, "75s", "idle time between two requests of a connection"),
        Key("keepalive_requests", integer(1, 10**9), "1000", "requests a connection may carry"),
        Key("max_header_size", size(256), "16k", "a request's head at most"),
        Key("max_headers", integer(1, 10_000), "100", "fields of a request's head at most"),
        Key("max_body_size", size(1, optional=True), "none", "a request's body at most"),
        Key("trusted_proxies", NETWORKS, None, "peers whose X-Forwarded-… and Forwarded are believed"),
        Key("underscores_in_headers", BOOLEAN, "no", "forward field names that hold an underscore"),
        Key("drain_delay", DURATION, None, "time a stop goes on accepting for, with /readyz red already"),
        Key("shutdown_timeout", DURATION, "30s", "time a stop leaves to requests and WebSockets in progress"),
    ),
)

_MATCH: Final = (
    Key("path_prefix", URL_PATH, "/", "matches requests whose path begins so"),
    Key("host", HOST_PATTERNS, None, "matches requests to these hosts", field="hosts"),
    Key("header", HEADER_MATCHES, None, "matches requests with these fields", field="headers"),
    Key("frontend", SECTION_NAME, None, "matches requests of this frontend", field=""),
)

MATCH: Final = Table(model.RouteSettings, (*_MATCH, *ANSWER_EDITS))

ROUTE: Final = Table(
    model.RouteSettings,
    (
        *_MATCH,
        *ROUTE_EDITS,
        Key("group", SECTION_NAME, None, "the servers of [group:NAME], or of the route so named", field=""),
        Key("algorithm", ALGORITHM, "random", "how a server is chosen; the first two do not look at weights"),
        Key("hash_key", HASH_KEY, None, "what algorithm = hash sends to the same server"),
        Key("sticky", STICKY, None, "what binds a client to its server; a cookie is the proxy's own"),
        Key("sticky_ttl", DURATION, None, "how long a cookie binds; without it until the browser is closed"),
        Key("sticky_redis", REDIS_URL, None, "where instances share what sticky = query:sid has learnt"),
        Key("sticky_secret", STICKY_SECRET, None, "signs the cookies; without it a restart unbinds all clients"),
        Key("queue_timeout", DURATION, "5s", "time a request may wait for a free worker"),
        Key("connect_timeout", DURATION, "3s", "time a connection to a server may take"),
        Key("response_timeout", DURATION, "60s", "time to the first byte of the answer"),
        Key("request_timeout", DURATION, None, "time a whole exchange may take; a WebSocket's handshake"),
        Key("retries", integer(0, 10), "1", "attempts on other servers after a failure that allows it"),
        Key("retry_status", STATUSES, "none", "answers that are such failures", field="retry_statuses"),
        Key("pass_trailers", BOOLEAN, "no", "forward trailer fields of chunked messages, both ways"),
        Key("preserve_host", BOOLEAN, "no", "servers written as a URL get the client's Host too"),
        Key("cache", BOOLEAN, "no", "keep answers in the cache"),
        Key("cache_control", CACHE_CONTROL, None, "Cache-Control in place of the servers' own; needs cache"),
    ),
)

RATE_LIMIT: Final = Table(
    model.RateLimitSettings,
    (
        Key("rate_limit", RATES, None, "requests and handshakes per rate_limit_key; others get 429", field=""),
        Key("rate_limit_burst", BURSTS, None, "how many of them at once; by default as the rate says", field=""),
        Key("rate_limit_key", LIMIT_KEYS, None, "what rate_limit counts by: ip, if not said", field=""),
        Key("rate_limit_entries", integer(1000, 100_000_000), "200000", "clients remembered at most", field="entries"),
        Key("rate_limit_store", choice("memory", "redis"), "memory", "where they are remembered", field="store"),
        Key("redis_url", REDIS_URL, None, "the server of rate_limit_store = redis; that of [cache] by default"),
    ),
)

WEBSOCKET: Final = Table(
    model.WebSocketSettings,
    (
        Key("ping_interval", OPTIONAL_DURATION, "20s", "silence after which a peer is pinged"),
        Key("ping_timeout", DURATION, "20s", "time a peer has to show life after a ping"),
        Key("idle_timeout", OPTIONAL_DURATION, "none", "time without a message after which a WebSocket is closed"),
        Key("max_lifetime", OPTIONAL_DURATION, "none", "age at which a WebSocket is closed, up to a tenth earlier"),
        Key("max_connections", _COUNT, None, "WebSockets of the route at a time"),
        Key("max_connections_per_ip", _COUNT, None, "WebSockets of one client address at a time"),
        Key("max_message_size", size(1, optional=True), "none", "a message at most"),
        Key("message_rate", RATE, None, "messages a client may send"),
        Key("byte_rate", BYTE_RATE, None, "bytes of messages a client may send"),
        Key("rate_action", choice("throttle", "close"), "throttle", "a client over its rate is read later, or closed"),
        Key("allowed_origins", ORIGINS, None, "Origins let in"),
        Key("slow_consumer", SLOW_CONSUMER, "block", "a peer that does not read is waited for, or closed"),
        Key("drain_rate", SESSION_RATE, None, "WebSockets closed per second in a drain"),
        Key("rebalance", BOOLEAN, "no", "let sessions move to servers that have come later, 1 % a second at most"),
        Key("on_backend_loss", choice("close", "reconnect"), "close", "a client may outlive its server"),
        Key("reconnect_timeout", DURATION, "10s", "time to find another server for a client that stays"),
        Key("replay_messages", integer(0, 100), "0", "the first messages of a client, told to each new server"),
        Key("reconnect_buffer", size(1), "64k", "bytes kept of a client for replay_messages, at most"),
        Key("inspect", BOOLEAN, "no", "check payloads: text, compression, protocol; costs a multiple of a plain relay"),
    ),
)

TCP_LISTENER: Final = Table(
    model.FrontendSettings,
    (
        Key("host", LISTEN_HOST, "0.0.0.0", "address to listen on"),
        Key("port", _PORT, None, "port to listen on; 0 takes any free one", needed=True),
        Key("max_connections", _COUNT, "10000", "clients at a time; beyond it accepting stops"),
        Key("max_connections_per_ip", _COUNT, None, "those of one address; trusted_proxies are not counted"),
        Key("takeover_socket", PATH, None, "unix socket where a successor asks for the listeners", field=""),
        Key("tls_certificate", PATHS, None, "certificate chains, PEM: TLS ends here; without them it passes", field=""),
        Key("tls_key", PATHS, None, "private keys, PEM, in the same order", field=""),
        Key("proxy_protocol", choice("accept"), None, "the PROXY header that peers must send; trusted_proxies only"),
        Key("trusted_proxies", NETWORKS, None, "peers whose PROXY header is believed"),
        Key("header_timeout", DURATION, "10s", "time a client has for its PROXY header and its TLS handshake"),
        Key("shutdown_timeout", DURATION, "30s", "time a stop leaves to connections"),
    ),
)

TCP: Final = Table(
    model.TcpSettings,
    (
        Key("group", SECTION_NAME, None, "the servers of [group:NAME], or of the section so named", field=""),
        Key("algorithm", CONNECTION_ALGORITHM, "random", "how a server is chosen for each connection"),
        Key("connect_timeout", DURATION, "3s", "time a connection to a server may take, before the next one is tried"),
        Key("idle_timeout", OPTIONAL_DURATION, "10m", "silence of both sides after which a connection is closed"),
        Key("send_proxy", choice("v1", "v2"), None, "the PROXY header that servers get, in this version"),
    ),
)

CACHE: Final = Table(
    CacheSettings,
    (
        Key("store", choice("memory", "redis"), "memory", "where answers are kept"),
        Key("redis_url", REDIS_URL, None, "the Redis server, which may serve several proxies"),
        Key("redis_timeout", DURATION, "250ms", "time Redis may take; then the request goes to the server"),
        Key("max_size", size(64 * 1024), "64m", "all answers in memory together at most; Redis has its own maxmemory"),
        Key("max_entry_size", size(1024), "1m", "one answer at most; a larger one is passed through"),
        Key("default_ttl", DURATION, None, "freshness of answers that state none; without it they are not kept"),
        Key("heuristic", BOOLEAN, "no", "guess the freshness of such answers from their Last-Modified"),
        Key("stale_while_revalidate", DURATION, None, "time a stale answer is given out for while another is fetched"),
        Key("stale_if_error", DURATION, None, "time a stale answer is given out for when the servers fail"),
        Key("wait_timeout", DURATION, "5s", "time a request waits for another's fetch of the same answer"),
        Key("obey_clients", BOOLEAN, "yes", "clients may ask for a fresh answer, or for kept ones only"),
        Key("methods", CACHED_METHODS, "GET HEAD", "methods that are answered from what is kept"),
        Key("cache_ignore", IGNORED, None, "paths, and methods, that the cache leaves alone"),
    ),
)

OVERLOAD: Final = Table(
    budget_settings.OverloadSettings,
    (
        Key("max_connections", _COUNT, None, "clients of all frontends; the first request of one more gets 503"),
        Key("max_handshakes", _COUNT, None, "WebSockets that are opening; one more gets 503"),
        Key("max_buffered", size(1024 * 1024), None, "bytes held for clients and servers; above, new requests get 503"),
        Key("max_lag", DURATION, None, "delay of the event loop above which new requests get 503"),
    ),
)

ADMIN: Final = Table(
    model.AdminSettings,
    (
        Key("host", LISTEN_HOST, "127.0.0.1", "address to listen on"),
        Key("port", _PORT, "8081", "port to listen on"),
        Key("token", TOKEN, None, "what a caller must present; needed where others can reach the host"),
        Key("allow", NETWORKS, None, "peers that may use it; by default whoever can connect"),
        Key("metrics_allow", NETWORKS, None, "peers that may read the metrics without a token"),
        Key("dashboard", BOOLEAN, "yes", "serve the live dashboard"),
        Key("monitor", BOOLEAN, "yes", "serve the live figures"),
    ),
)

LOG: Final = Table(
    model.LogSettings,
    (
        Key("level", choice("debug", "info", "warning", "error"), "info", "the least severe messages written"),
        Key("format", choice("text", "json"), "text", "form of messages; of access lines too, without access_format"),
        Key("access", LOG_TARGET, "stdout", "where the line per request goes"),
        Key("access_format", ACCESS_FORMAT, None, "form of the line per request"),
    ),
)

SECTIONS: Final = (
    SectionKind("frontend", "a listener", (FRONTEND,), may_be_named=True),
    SectionKind(
        "http",
        "a route for HTTP requests; without NAME the default route",
        (ROUTE, HTTP_ROUTE, RATE_LIMIT, COMPRESSION, *GROUP_TABLES),
        may_be_named=True,
        server_keys=SERVER.keys,
    ),
    SectionKind(
        "websocket",
        "a route for WebSockets; without NAME the default route",
        (ROUTE, RATE_LIMIT, WEBSOCKET, *GROUP_TABLES),
        may_be_named=True,
        server_keys=SERVER.keys,
    ),
    SectionKind(
        "group",
        "servers that routes share by `group = NAME`",
        GROUP_TABLES,
        may_be_plain=False,
        may_be_named=True,
        server_keys=SERVER.keys,
    ),
    SectionKind("scaling", "when managed servers are added and taken away", (SCALING,)),
    SectionKind(
        "static",
        "a route to files",
        (MATCH, STATIC, RATE_LIMIT, COMPRESSION),
        may_be_plain=False,
        may_be_named=True,
    ),
    SectionKind(
        "tcp",
        "a listener that relays bytes: any protocol over TCP",
        (TCP_LISTENER, TCP, *GROUP_TABLES),
        may_be_plain=False,
        may_be_named=True,
        server_keys=SERVER.keys,
    ),
    SectionKind("cache", "the cache of answers, for routes with `cache = yes`", (CACHE,)),
    SectionKind("overload", "what the whole proxy has room for; past it new work is refused", (OVERLOAD,)),
    SectionKind("admin", "the API, the metrics and the dashboard; only where this section stands", (ADMIN,)),
    SectionKind("log", "logs and access lines", (LOG,)),
)

ROUTE_KINDS: Final = ("http", "websocket")
"""The routes that lead to servers."""

MATCHING_KINDS: Final = (*ROUTE_KINDS, "static")
"""The sections that become a RouteSettings."""
LISTENING_KINDS: Final = ("frontend", "tcp")
"""The sections that listen for clients."""
CHOOSING_KINDS: Final = (*ROUTE_KINDS, "tcp")
"""The sections that choose among the servers of a group, their own or another's."""
