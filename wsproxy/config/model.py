"""The frozen settings that a checked ini file becomes; everything else is built from these.

May know: value shapes. The defaults stand here for who builds settings in code, and in `schema` for parsing,
`--help-config` and the manual; a test holds them equal. Durations end in `_s` (seconds), sizes in `_bytes`; None means
"no limit".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from typing import Literal

from wsproxy.config.budget_settings import OverloadSettings
from wsproxy.config.cache_settings import CacheSettings
from wsproxy.config.content_settings import CompressionSettings, StaticSettings
from wsproxy.config.group_settings import GroupSettings

IPNetwork = IPv4Network | IPv6Network
RouteKind = Literal["http", "websocket"]


@dataclass(frozen=True, slots=True)
class CertificateSettings:
    """A certificate chain and its private key, as PEM files."""

    certificate: str
    key: str
    place: str = field(default="", compare=False)  # of the certificate in the ini file, for a file that cannot be used
    key_place: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class ErrorPageSettings:
    """A file that takes the place of the proxy's own error answers."""

    statuses: tuple[int, ...]
    path: str
    media_type: str
    place: str = field(default="", compare=False)  # in the ini file, for a file that cannot be read


@dataclass(frozen=True, slots=True)
class FrontendSettings:
    """One listener and what it allows its clients."""

    name: str  # "frontend" or "frontend:NAME"
    host: str
    port: int
    place: str = field(default="", compare=False)  # of the port in the ini file, for a socket that cannot be opened
    certificates: tuple[CertificateSettings, ...] = ()  # the first is for clients that name no host or an unknown one
    hsts_s: float | None = None  # Strict-Transport-Security: for how long browsers are told to use https only
    redirect_https: bool = False
    proxy_protocol: str | None = None  # "accept": every connection of a trusted proxy begins with a PROXY header
    error_pages: tuple[ErrorPageSettings, ...] = ()
    via: str | None = None  # the proxy's name in Via, which is not written without one
    max_connections: int = 10_000
    max_connections_per_ip: int | None = None
    header_timeout_s: float = 10.0
    body_timeout_s: float = 60.0
    keepalive_timeout_s: float = 75.0
    keepalive_requests: int = 1000
    max_header_size_bytes: int = 16 * 1024
    max_headers: int = 100
    max_body_size_bytes: int | None = None
    trusted_proxies: tuple[IPNetwork, ...] = ()
    underscores_in_headers: bool = False
    drain_delay_s: float | None = None
    shutdown_timeout_s: float = 30.0


@dataclass(frozen=True, slots=True)
class TcpSettings:
    """One `[tcp:NAME]` section: a listener whose connections are relayed byte for byte, and where they go."""

    listener: FrontendSettings  # of its fields those that any connection has; its name is the section's
    group: str  # a GroupSettings name
    algorithm: str = "random"
    connect_timeout_s: float = 3.0
    idle_timeout_s: float | None = 600.0
    send_proxy: Literal["v1", "v2"] | None = None

    @property
    def name(self) -> str:
        """The section's name: `tcp:database`."""
        return self.listener.name


@dataclass(frozen=True, slots=True)
class HeaderMatch:
    """A field that must be there: with this value, or with any when the value is None."""

    name: str
    value: str | None = None


@dataclass(frozen=True, slots=True)
class RequestKey:
    """A part of a request that tells clients or contents apart."""

    source: Literal["header", "cookie", "query", "path", "ip", "route"]  # route: all requests together
    name: str = ""  # of the field, cookie or parameter; a cookie of ours may have none


@dataclass(frozen=True, slots=True)
class Rate:
    """So many in so many seconds, from a bucket that holds that many."""

    amount: int
    period_s: float

    @property
    def a_second(self) -> float:
        """How many a second."""
        return self.amount / self.period_s


@dataclass(frozen=True, slots=True)
class RateLimit:
    """One limit of a route: what it counts by, and how often each may come."""

    rate: Rate
    burst: int  # how many at once
    key: RequestKey = RequestKey("ip")
    name: str = ""  # in the fields of answers: "ip 10/s"


@dataclass(frozen=True, slots=True)
class RateLimitSettings:
    """How often the clients of a route may come."""

    limits: tuple[RateLimit, ...] = ()
    entries: int = 200_000
    store: Literal["memory", "redis"] = "memory"
    redis_url: str | None = None
    place: str = field(default="", compare=False)  # of the store in the ini file, for a client that is not installed


@dataclass(frozen=True, slots=True)
class WebSocketSettings:
    """What a `[websocket…]` route says of the sessions that it relays, besides what every route says."""

    ping_interval_s: float | None = 20.0
    ping_timeout_s: float = 20.0
    idle_timeout_s: float | None = None
    max_lifetime_s: float | None = None
    max_connections: int | None = None
    max_connections_per_ip: int | None = None
    max_message_size_bytes: int | None = None
    message_rate: Rate | None = None  # messages of one client
    byte_rate: Rate | None = None  # bytes of its messages
    rate_action: Literal["throttle", "close"] = "throttle"
    allowed_origins: tuple[str, ...] = ()
    slow_consumer_s: float | None = None  # how long a peer may read nothing; None: it is waited for
    drain_rate: Rate | None = None  # sessions
    rebalance: bool = False
    inspect: bool = False
    on_backend_loss: Literal["close", "reconnect"] = "close"
    reconnect_timeout_s: float = 10.0
    replay_messages: int = 0  # told again to each backend that takes over
    reconnect_buffer_bytes: int = 64 * 1024  # kept of them


@dataclass(frozen=True, slots=True)
class Template:
    """Text with variables: a literal, then each name's value and the literal behind it."""

    literals: tuple[str, ...]  # one more than names
    names: tuple[str, ...] = ()  # "host", "header:accept"

    def __str__(self) -> str:
        """As it was written: `https://{host}{path}`."""
        pairs = zip(self.names, self.literals[1:], strict=True)
        return self.literals[0] + "".join(f"{{{name}}}{literal}" for name, literal in pairs)


@dataclass(frozen=True, slots=True)
class HeaderSetting:
    """A field that a message gets."""

    name: str
    value: Template


@dataclass(frozen=True, slots=True)
class Redirect:
    """Where a route sends its clients instead of answering."""

    status: int
    target: Template


@dataclass(frozen=True, slots=True)
class FixedAnswer:
    """What a route answers by itself; without a text the status says it."""

    status: int
    text: Template


@dataclass(frozen=True, slots=True)
class RouteSettings:
    """One `[http…]`, `[websocket…]` or `[static…]` section: what it matches, and where that goes."""

    name: str  # the section's name: "http", "http:api", "websocket:chat"
    kind: RouteKind
    group: str  # a GroupSettings name; "" for a route that answers by itself
    frontend: str | None = None  # None: every frontend
    path_prefix: str = "/"
    hosts: tuple[str, ...] = ()  # exact, or "*.example.org"; none named: all
    methods: tuple[str, ...] = ()  # none named: all; GET stands for HEAD too
    headers: tuple[HeaderMatch, ...] = ()
    strip_prefix: bool = False
    add_headers: tuple[HeaderSetting, ...] = ()  # to answers, behind what remove_headers takes away
    remove_headers: tuple[str, ...] = ()  # lower-case
    set_request_headers: tuple[HeaderSetting, ...] = ()
    remove_request_headers: tuple[str, ...] = ()  # lower-case
    rewrite_redirects: bool = False
    rewrite_cookies: bool = False
    redirect: Redirect | None = None
    respond: FixedAnswer | None = None
    respond_type: str = "text/plain; charset=utf-8"
    algorithm: str = "random"
    hash_key: RequestKey | None = None  # of algorithm hash
    sticky: RequestKey | None = None  # header, cookie, query or ip
    sticky_ttl_s: float | None = None  # None: a cookie lasts as long as the browser
    sticky_redis: str | None = None  # of sessions that servers name: where several instances know them
    sticky_secret: str | None = None  # None: one that nobody knows, until the proxy stops
    queue_timeout_s: float = 5.0
    connect_timeout_s: float = 3.0
    response_timeout_s: float = 60.0
    body_timeout_s: float = 60.0  # silence inside an upstream body
    request_timeout_s: float | None = None
    retries: int = 1
    retry_statuses: tuple[int, ...] = ()  # of answers that are failures another server may make up for
    pass_trailers: bool = False
    preserve_host: bool = False
    rate_limit: RateLimitSettings = RateLimitSettings()
    compression: CompressionSettings | None = None
    static: StaticSettings | None = None
    cache: bool = False
    cache_control: str | None = None  # in place of what the servers say
    websocket: WebSocketSettings = WebSocketSettings()


@dataclass(frozen=True, slots=True)
class LineTemplate:
    """One form of access lines: fields, and what stands around them, which is one piece more."""

    literals: tuple[str, ...]
    fields: tuple[str, ...]
    is_json: bool = False  # how a field is written that has nothing to say


@dataclass(frozen=True, slots=True)
class AccessFormat:
    """The access lines of requests and of WebSockets that open, and those of WebSockets that have closed."""

    request: LineTemplate
    closing: LineTemplate


@dataclass(frozen=True, slots=True)
class LogSettings:
    """Where log and access lines go, and in which form."""

    level: str = "info"  # debug, info, warning, error
    access: str = "stdout"  # stdout, off, or a path
    format: Literal["text", "json"] = "text"
    access_format: AccessFormat | None = None  # None: as `format` says
    access_place: str = field(default="", compare=False)  # in the ini file, for a file that cannot be opened


@dataclass(frozen=True, slots=True)
class AdminSettings:
    """The listener of the API, the metrics and the dashboard, and who may use it."""

    host: str = "127.0.0.1"
    port: int = 8081
    token: str | None = None  # None: whoever can connect may do everything
    allow: tuple[IPNetwork, ...] = ()  # peers that may come; none named: all
    metrics_allow: tuple[IPNetwork, ...] = ()  # peers that may read the metrics without a token
    dashboard: bool = True
    monitor: bool = True
    place: str = field(default="", compare=False)  # in the ini file, for a socket that cannot be opened


@dataclass(frozen=True, slots=True)
class Config:
    """One checked ini file."""

    source: str
    frontends: tuple[FrontendSettings, ...]
    routes: tuple[RouteSettings, ...]
    groups: tuple[GroupSettings, ...]
    log: LogSettings = field(default_factory=LogSettings)
    admin: AdminSettings | None = None
    cache: CacheSettings = field(default_factory=CacheSettings)
    processes: int = 1  # that carry the traffic; 0: one for each CPU
    takeover_socket: str | None = None  # None: one whose path the ini file's says
    tcp: tuple[TcpSettings, ...] = ()
    overload: OverloadSettings = field(default_factory=OverloadSettings)

    @property
    def listeners(self) -> tuple[FrontendSettings, ...]:
        """Everything that clients connect to: the frontends, then the listeners of the `[tcp:NAME]` sections."""
        return (*self.frontends, *(settings.listener for settings in self.tcp))
