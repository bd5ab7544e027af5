"""What is said of servers: where a group's come from, what tells them apart, and what of it has an effect.

Pure. Part of `crosscheck`, with its rule: a setting that was refused already is passed over.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from wsproxy.config.choosing import WITHOUT_WEIGHTS
from wsproxy.config.errors import Place, Problem
from wsproxy.config.group_settings import Address, ServerSettings
from wsproxy.config.model import RouteSettings
from wsproxy.config.schema import CHOOSING_KINDS
from wsproxy.config.sections import ParsedSection, Sections, Setting, suggestion
from wsproxy.config.server_keys import BREAKER, GROUP_TABLES, OUTLIER

_SOURCES: Final = ("group", "command", "discover", "redirect", "respond")
"""The keys besides serverN that say who answers."""
_GROUP_KEYS: Final = frozenset(key.name for table in GROUP_TABLES for key in table.keys)
_DEFAULT_MAX_WORKERS: Final = ServerSettings("", Address()).max_workers
_DEFAULT_ALGORITHM: Final = RouteSettings("", "http", "").algorithm


def check_groups(sections: Sections) -> Iterator[Problem]:
    """Every problem of the sections that have servers, or lead to some."""
    yield from _weights(sections)
    for section in sections.values():
        if section.kind.name in CHOOSING_KINDS:
            yield from _route_group(section, sections)
        if section.kind.server_keys:
            yield from _group_name(section, sections)
            yield from _one_source(section)
            yield from _servers(section)
            yield from _pool_sizes(section)
            yield from _upstream_tls(section)
            yield from _switched_off(section)


def group_name(section: ParsedSection) -> str | None:
    """The name of the group that a section defines; None for one that defines none."""
    if section.kind.name == "group":
        return section.name.partition(":")[2]
    owns_servers = bool(section.servers) or any(key in section.settings for key in ("command", "discover"))
    return section.name if section.kind.server_keys and owns_servers else None


def is_on(section: ParsedSection, key: str, by_default: bool) -> bool:
    """What a switch says."""
    setting = section.get(key)
    return by_default if setting is None else bool(setting.value)


def server_name(section: ParsedSection, number: int) -> str:
    """A server's own name, or its address as written by a person; the address must be valid."""
    name = section.servers[number].get("name")
    return str(section.servers[number]["addr"].value if name is None else name.value)


def _weights(sections: Sections) -> Iterator[Problem]:
    """Weights other than 0 and 1, and shares that grow, need a route whose algorithm looks at them."""
    weighing: set[str] = set()
    for route in sections.values():
        if route.kind.name in CHOOSING_KINDS:
            algorithm, group = route.get("algorithm"), route.get("group")
            word = _DEFAULT_ALGORITHM if algorithm is None else algorithm.value
            if word not in WITHOUT_WEIGHTS or (algorithm is None and "algorithm" in route.settings):
                weighing.add(route.name if group is None else group.value)
    for section in sections.values():
        name = group_name(section)
        if name is None or name in weighing:
            continue
        for number, server in section.servers.items():
            weight = server.get("weight")
            if weight is not None and weight.valid and weight.value > 1:
                message = f"'server{number}_weight' has no effect: no route looks at it"
                yield weight.key_place.problem(f"{message} (write algorithm = weighted-round-robin)")
        if (slow_start := section.get("slow_start")) is not None:
            message = "'slow_start' has no effect: no route looks at shares"
            yield slow_start.key_place.problem(f"{message} (write algorithm = weighted-round-robin)")


def _route_group(route: ParsedSection, sections: Sections) -> Iterator[Problem]:
    group = route.get("group")
    if group is None:
        return
    known = [name for section in sections.values() if (name := group_name(section)) is not None]
    if group.value not in known:
        yield group.place.problem(f"there is no [group:{group.value}]{suggestion(group.value, known)}")
    if group_name(route) is None:  # with servers of its own beside the group, that is the one problem
        for key, setting in route.settings.items():
            if key in _GROUP_KEYS and setting.valid:
                message = f"'{key}' has no effect beside 'group = {group.value}' (write it where the servers are)"
                yield setting.key_place.problem(message)


def _group_name(section: ParsedSection, sections: Sections) -> Iterator[Problem]:
    name = group_name(section)
    owner = sections.get(name) if name is not None else None
    if section.kind.name == "group" and owner is not None and group_name(owner) == name:
        where = f"[{owner.name}] (line {owner.place.line})"
        yield section.place.problem(f"the name '{name}' belongs to the servers of {where} (choose another)")


def _one_source(section: ParsedSection) -> Iterator[Problem]:
    """Exactly one of serverN, command and, in a route, group."""
    sources: list[tuple[str, Place]]
    sources = [(key, section.settings[key].key_place) for key in _SOURCES if key in section.settings]
    if section.servers:
        number, server = next(iter(section.servers.items()))
        sources.append((f"server{number}", next(iter(server.values())).key_place))
    sources.sort(key=lambda item: item[1])
    if not sources:
        others = " or group = NAME" if section.kind.name in CHOOSING_KINDS else ""
        wanted = f"servers (server1 = host:port), a command, discover{others}"
        yield section.place.problem(f"[{section.name}] needs {wanted}")
    for key, place in sources[1:]:
        first, first_place = sources[0]
        yield place.problem(f"[{section.name}] has '{key}' beside '{first}' of line {first_place.line} (keep one)")


def _servers(section: ParsedSection) -> Iterator[Problem]:
    """Each server has an address, no two share one or a name, and one at least is enabled."""
    addresses: dict[Any, Place] = {}
    names: dict[str, Place] = {}
    for number, server in sorted(section.servers.items()):
        address = server.get("addr")
        if address is None:
            place = next(iter(server.values())).key_place
            yield place.problem(f"server{number} has no address in [{section.name}] (write server{number} = host:port)")
            continue
        if not all(server[key].valid for key in ("addr", "name") if key in server):
            continue
        first = addresses.setdefault(address.value, address.place)
        if first is not address.place:
            yield address.place.problem(f"server{number} has the same address as the server in line {first.line}")
            continue  # without names of their own the two would have the same name too
        name = server_name(section, number)
        place = server.get("name", address).place
        first = names.setdefault(name, place)
        if first is not place:
            yield place.problem(f"server{number} has the same name as the server in line {first.line}: '{name}'")
    switches = [server.get("enabled") for server in section.servers.values()]
    if switches and all(switch is not None and switch.valid and not switch.value for switch in switches):
        yield section.place.problem(f"[{section.name}] has no enabled server")


def _pool_sizes(section: ParsedSection) -> Iterator[Problem]:
    pairs: list[tuple[Setting | None, Setting | None]]
    pairs = [(section.server_get(n, "min_workers"), section.server_get(n, "max_workers")) for n in section.servers]
    if not section.servers:
        pairs = [(section.get("min_workers"), section.get("max_workers"))]
    for low, high in pairs:
        most = _DEFAULT_MAX_WORKERS if high is None else high.value
        if low is not None and low.value > most:
            where = "the default" if high is None else f"line {high.key_place.line}"
            yield low.place.problem(f"min_workers = {low.value} is more than max_workers = {most} ({where})")


def _upstream_tls(section: ParsedSection) -> Iterator[Problem]:
    """What says how certificates are checked stands only where there are some, and does not contradict itself."""
    addresses = {number: section.server_get(number, "addr") for number in section.servers}
    if any("addr" in server and addresses[number] is None for number, server in section.servers.items()):
        return
    is_tls = {number: address is not None and address.value.tls for number, address in addresses.items()}
    holders = [(section.settings, any(is_tls.values()))]
    holders += [(section.servers[number], is_tls[number]) for number in section.servers]
    for settings, has_effect in holders:
        for key in ("tls_verify", "tls_ca"):
            if key in settings and not has_effect:
                yield settings[key].key_place.problem(f"'{key}' has no effect: there is no https:// server")
        verify, authorities = settings.get("tls_verify"), settings.get("tls_ca")
        if has_effect and authorities is not None and verify is not None and verify.valid and not verify.value:
            yield authorities.key_place.problem("'tls_ca' has no effect beside 'tls_verify = no'")


def _switched_off(section: ParsedSection) -> Iterator[Problem]:
    """What says how something is done that is not done."""
    if any(key in section.settings and section.get(key) is None for key in ("outlier", "breaker")):
        return
    has_breaker = is_on(section, "breaker", False)
    has_outlier = is_on(section, "outlier", not has_breaker)
    idle = [] if has_outlier else [(key.name, "outlier") for key in OUTLIER.keys[1:]]
    idle += [] if has_breaker else [(key.name, "breaker") for key in BREAKER.keys[1:]]
    idle += [] if has_breaker or has_outlier else [("outlier_status", "outlier")]
    for key, switch in idle:
        if key in section.settings:
            yield section.settings[key].key_place.problem(f"'{key}' has no effect without '{switch} = yes'")
