"""PURE: what a new configuration changes: the plan of a reload, as one can read it before it is carried out.

Compares settings only. A frontend, a route and a group are the same when their names are; a server is the same when its
group, name and address are. What stands in neither list of a `Changes` is untouched, and keeps its connections.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from wsproxy.config.group_settings import GroupSettings, ServerSettings
from wsproxy.config.model import Config, FrontendSettings, RouteSettings, TcpSettings


@dataclass(frozen=True, slots=True)
class Changes:
    """Names by what becomes of them."""

    kept: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether everything stays as it is."""
        return not (self.changed or self.added or self.removed)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a reload does. servers: by group, for the groups that are there before and after."""

    frontends: Changes
    routes: Changes
    groups: Changes
    servers: Mapping[str, Changes]
    log_changed: bool = False
    admin_changed: bool = False
    overload_changed: bool = False
    tcp: Changes = Changes()
    cache_changed: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether the new configuration is the old one."""
        parts = (self.frontends, self.tcp, self.routes, self.groups, *self.servers.values())
        return not self.sections and all(part.is_empty for part in parts)

    @property
    def sections(self) -> tuple[str, ...]:
        """Those that stand in a file but once, and have changed."""
        all_of_them = {
            "log": self.log_changed,
            "admin": self.admin_changed,
            "overload": self.overload_changed,
            "cache": self.cache_changed,
        }
        return tuple(name for name, changed in all_of_them.items() if changed)

    def lines(self) -> list[str]:
        """A line for each kind: `routes: 3 kept; changed: http:api; removed: http:old`."""
        titled = [("frontends", self.frontends), ("routes", self.routes), ("groups", self.groups)]
        if self.tcp != Changes():
            titled.insert(1, ("tcp listeners", self.tcp))
        titled += [(f"servers of {group}", changes) for group, changes in self.servers.items() if not changes.is_empty]
        return [_line(*each) for each in titled] + [f"{section}: changed" for section in self.sections]


def make_plan(old: Config, new: Config) -> Plan:
    """Compare two configurations."""
    old_groups = {group.name: group for group in old.groups}
    new_groups = {group.name: group for group in new.groups}
    return Plan(
        frontends=_changes(_named(old.frontends), _named(new.frontends)),
        routes=_changes(_named(old.routes), _named(new.routes)),
        groups=_changes(old_groups, new_groups),
        servers={
            name: _changes(_servers(old_groups[name]), _servers(group))
            for name, group in new_groups.items()
            if name in old_groups
        },
        log_changed=old.log != new.log,
        admin_changed=old.admin != new.admin,
        overload_changed=old.overload != new.overload,
        tcp=_changes(_named(old.tcp), _named(new.tcp)),
        cache_changed=old.cache != new.cache,
    )


def server_key(server: ServerSettings) -> str:
    """What makes a server the same one before and after."""
    return f"{server.name} at {server.address}" if server.name != str(server.address) else server.name


def needs_new_listener(old: FrontendSettings, new: FrontendSettings) -> bool:
    """Whether a frontend's connections have to come in another way; other changes are taken over in place."""
    return (
        (old.host, old.port) != (new.host, new.port)
        or old.certificates != new.certificates
        or old.proxy_protocol != new.proxy_protocol
        or old.max_connections_per_ip != new.max_connections_per_ip
        or old.redirect_https != new.redirect_https
    )


def _named(items: Iterable[FrontendSettings | RouteSettings | TcpSettings]) -> dict[str, object]:
    return {item.name: item for item in items}


def _servers(group: GroupSettings) -> dict[str, ServerSettings]:
    return {server_key(server): server for server in group.servers}


def _changes(old: Mapping[str, object], new: Mapping[str, object]) -> Changes:
    both = [name for name in new if name in old]
    return Changes(
        kept=tuple(name for name in both if old[name] == new[name]),
        changed=tuple(name for name in both if old[name] != new[name]),
        added=tuple(name for name in new if name not in old),
        removed=tuple(name for name in old if name not in new),
    )


def _line(title: str, changes: Changes) -> str:
    parts = [f"{len(changes.kept)} kept"]
    for word in ("changed", "added", "removed"):
        names = getattr(changes, word)
        if names:
            parts.append(f"{word}: {', '.join(names)}")
    return f"{title}: {'; '.join(parts)}"
