"""PURE: what the ini file says of servers: where they are, their pools and queues, and how a group of them is kept.

May know: value shapes. The defaults stand here for who builds settings in code, and in the schema for parsing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from wsproxy.config.discovery_settings import DiscoverySettings
from wsproxy.config.watch_settings import WatchSettings


@dataclass(frozen=True, slots=True)
class Address:
    """Where one upstream server listens: `host:port`, `unix:/path`, `http://host[:port]` or `https://…`."""

    host: str = ""  # a name or an IP literal without brackets; "" for a unix socket
    port: int = 0
    unix_path: str = ""
    tls: bool = False
    authority: str = ""  # written as a URL: the Host such a server gets; "" keeps the client's Host
    base_path: str = ""  # the path of a URL, without a trailing slash
    tls_verify: bool = True  # check that its certificate is good and is for this host
    tls_ca: str = ""  # file with the authorities that may have signed it; "" for the system's

    def __str__(self) -> str:
        """As a person would write it: `127.0.0.1:9001`, `[::1]:9001`, `unix:/run/a.sock`, `https://api.example`."""
        if self.unix_path:
            return f"unix:{self.unix_path}"
        if self.authority:
            return f"{'https' if self.tls else 'http'}://{self.authority}{self.base_path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """One upstream server of a group: its address, its bounded queue and its worker pool."""

    name: str
    address: Address
    weight: int = 1
    max_workers: int = 3
    min_workers: int = 1
    worker_timeout_s: float = 3.0
    buffer_size: int = 10  # requests waiting in the queue, besides those that workers hold
    enabled: bool = True
    backup: bool = False
    tls_place: str = field(default="", compare=False)  # in the ini file, of what its tls_ or its https:// is
    pool_keys: frozenset[str] = frozenset()  # which of the pool's keys the file sets: several processes share those out


@dataclass(frozen=True, slots=True)
class HealthSettings:
    """How a group's backends are probed; without a path a TCP (or unix) connect is the probe."""

    path: str | None = None
    interval_s: float = 10.0
    timeout_s: float = 2.0
    fall: int = 3
    rise: int = 2
    kind: Literal["http", "websocket"] = "http"


@dataclass(frozen=True, slots=True)
class ManagedSettings:
    """Servers that the proxy starts itself: one process per server, each on a unix socket of its own."""

    command: tuple[str, ...]  # argv; <sock>: the socket's path, <name>: the server's, <python>: the interpreter
    startup_servers: int = 1
    max_servers: int = 1
    environment: tuple[tuple[str, str], ...] = ()
    working_directory: str | None = None


@dataclass(frozen=True, slots=True)
class ScalingSettings:
    """When one more managed server is started, up to `max_servers`, and when one goes, down to `startup_servers`.

    Load is requests a second and WebSockets held, by server.
    """

    max_load: int = 50
    min_load: int = 10
    upscale_pings: int = 5  # looks in a row above max_load
    downscale_pings: int = 600  # looks in a row below min_load
    interval_s: float = 1.0  # between two looks


@dataclass(frozen=True, slots=True)
class GroupSettings:
    """The backends that routes choose among; a route that lists its own servers owns a group of the same name."""

    name: str
    servers: tuple[ServerSettings, ...] = ()
    template: ServerSettings | None = None  # the pool of servers that come at run time; name and address are filled in
    health: HealthSettings = HealthSettings()
    watch: WatchSettings = field(default_factory=WatchSettings)
    managed: ManagedSettings | None = None
    scaling: ScalingSettings | None = None  # of managed servers that may become more
    discovery: DiscoverySettings | None = None  # where servers are found, each with the pool of `template`
