"""PURE: what one of several processes may use of the limits that the ini file gives to all of them together.

Knows settings and counts. Pools, queues and connections are shared out, the remainder to the first processes, and at
least 1 to each, since a process with none could serve nobody. A pool that the file says nothing of has the defaults in
each process. What counts time, or looks at one client's own connection, stays as it is, and so do rate limits, which
all processes count together.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from wsproxy.config.cache_settings import CacheSettings
from wsproxy.config.group_settings import GroupSettings, ServerSettings
from wsproxy.config.model import Config, FrontendSettings, Rate, RouteSettings


@dataclass(frozen=True, slots=True)
class Share:
    """The share of process `index` (from 0) of `count`."""

    index: int
    count: int

    def of(self, total: int) -> int:
        """Its part of a limit; a limit of 0 is 0 for everybody."""
        if not total:
            return 0
        return max(1, total // self.count + (self.index < total % self.count))

    def of_optional(self, total: int | None) -> int | None:
        """Its part of a limit that may not be there."""
        return None if total is None else self.of(total)

    def of_rate(self, rate: Rate) -> Rate:
        """The same amount in as many times the period."""
        return replace(rate, period_s=rate.period_s * self.count)


def share_config(config: Config, share: Share) -> Config:
    """The settings of one process; it runs neither the admin listener nor managed servers."""
    return replace(
        config,
        frontends=tuple(_frontend(frontend, share) for frontend in config.frontends),
        routes=tuple(_route(route, share) for route in config.routes),
        groups=tuple(_group(group, share) for group in config.groups),
        tcp=tuple(replace(tcp, listener=_frontend(tcp.listener, share)) for tcp in config.tcp),
        cache=_cache(config.cache, share),
        admin=None,
        overload=replace(
            config.overload,
            max_connections=share.of_optional(config.overload.max_connections),
            max_handshakes=share.of_optional(config.overload.max_handshakes),
            max_buffered_bytes=share.of_optional(config.overload.max_buffered_bytes),
        ),
    )


def share_server(server: ServerSettings, share: Share) -> ServerSettings:
    """The pool and the queue that one process has for a server: its part of what the file says, or the defaults.

    A default shared out would be another default: of 3 workers two processes had 2 and 1, and a request took 1.3 times
    the CPU that it takes with 3.
    """

    def part(key: str, total: int) -> int:
        return share.of(total) if key in server.pool_keys else total

    max_workers = part("max_workers", server.max_workers)
    return replace(
        server,
        max_workers=max_workers,
        min_workers=min(part("min_workers", server.min_workers), max_workers),
        buffer_size=part("buffer_size", server.buffer_size),
    )


def effective_total(total: int, count: int) -> int:
    """What `count` processes have together of a limit, which is more than the limit where it is below `count`."""
    return sum(Share(index, count).of(total) for index in range(count))


def _frontend(frontend: FrontendSettings, share: Share) -> FrontendSettings:
    return replace(
        frontend,
        max_connections=share.of(frontend.max_connections),
        max_connections_per_ip=_of_one_client(frontend.max_connections_per_ip, share),
    )


def _route(route: RouteSettings, share: Share) -> RouteSettings:
    websocket = route.websocket
    mine = replace(
        websocket,
        max_connections=share.of_optional(websocket.max_connections),
        max_connections_per_ip=_of_one_client(websocket.max_connections_per_ip, share),
        drain_rate=None if websocket.drain_rate is None else share.of_rate(websocket.drain_rate),
    )
    return replace(route, websocket=mine)


def _cache(cache: CacheSettings, share: Share) -> CacheSettings:
    """Its part of the room: each process keeps what comes to it."""
    size = share.of(cache.max_size_bytes)
    return replace(cache, max_size_bytes=size, max_entry_size_bytes=min(cache.max_entry_size_bytes, size))


def _of_one_client(total: int | None, share: Share) -> int | None:
    """Rounded up: where the connections of one client come in is chance, and a low limit would refuse it by chance."""
    return None if total is None else -(-total // share.count)


def _group(group: GroupSettings, share: Share) -> GroupSettings:
    return replace(
        group,
        servers=tuple(share_server(server, share) for server in group.servers),
        template=None,
        managed=None,
    )
