"""What two keys or two sections must say of each other.

Pure. Each check is a generator of problems over the parsed sections; a setting that was refused already is passed over,
so that one mistake is one problem.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from wsproxy.config.admin_token import is_loopback
from wsproxy.config.choosing import WITHOUT_WEIGHTS
from wsproxy.config.crosscheck_cache import check_cache, check_caching_route
from wsproxy.config.errors import Place, Problem
from wsproxy.config.managed_checks import check_managed
from wsproxy.config.model import Address, RouteSettings, ServerSettings
from wsproxy.config.route_checks import check_routes
from wsproxy.config.schema import CHOOSING_KINDS, FRONTEND, LISTENING_KINDS, MATCHING_KINDS, ROUTE_KINDS, TCP_LISTENER
from wsproxy.config.sections import ParsedSection, Setting, suggestion
from wsproxy.config.server_keys import BREAKER, GROUP_TABLES, OUTLIER

Sections = Mapping[str, ParsedSection]

_SOURCES: Final = ("group", "command", "discover", "redirect", "respond")
"""The keys besides serverN that say who answers."""
_GROUP_KEYS: Final = frozenset(key.name for table in GROUP_TABLES for key in table.keys)
_FOR_ALL_FRONTENDS: Final = ("processes", "takeover_socket")
_DEFAULT_MAX_WORKERS: Final = ServerSettings("", Address()).max_workers
_DEFAULT_ALGORITHM: Final = RouteSettings("", "http", "").algorithm


def check(sections: Sections, source: str) -> Iterator[Problem]:
    """Every problem between keys and between sections; `source` is the file's name."""
    yield from _whole_file(sections, source)
    yield from _listeners(sections)
    for key in _FOR_ALL_FRONTENDS:
        yield from _once(sections, key)
    frontends = [section for section in sections.values() if section.kind.name == "frontend"]
    has_tls = any("tls_certificate" in section.settings for section in frontends)
    for section in frontends:
        yield from _redirect(section, has_tls)
    for section in sections.values():
        if section.kind.name in LISTENING_KINDS:
            yield from _certificates(section)
            yield from _proxy_protocol(section)
    if (admin := sections.get("admin")) is not None:
        yield from _admin(admin)
    if (overload := sections.get("overload")) is not None:
        yield from _overload(overload, [each for each in sections.values() if each.kind.name in LISTENING_KINDS])
    yield from check_routes(sections)
    if (cache := sections.get("cache")) is not None:
        yield from check_cache(cache)
    yield from _weights(sections)
    yield from check_managed(sections)
    for section in sections.values():
        if section.kind.name == "frontend":
            yield from _error_pages(section)
        if section.kind.name in ROUTE_KINDS:
            yield from _inspected_relay(section)
            yield from _choosing(section)
            yield from _replayed_messages(section)
            yield from check_caching_route(section)
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


def _whole_file(sections: Sections, source: str) -> Iterator[Problem]:
    kinds = {section.kind.name for section in sections.values()}
    if "tcp" in kinds and not kinds & {"frontend", *MATCHING_KINDS}:
        return  # it listens and serves by itself
    if "frontend" not in kinds:
        yield Problem(source, 1, 1, "no [frontend]: nothing would listen (write [frontend] with a port)")
    if not kinds & set(MATCHING_KINDS):
        yield Problem(source, 1, 1, "no route: nothing would be served (write [http] or [websocket] with server1)")


def _error_pages(section: ParsedSection) -> Iterator[Problem]:
    """A status has one page."""
    pages = section.get("error_page")
    seen: dict[int, Place] = {}
    for (statuses, _), place in zip(pages.value, pages.places, strict=True) if pages is not None else ():
        for status in statuses:
            first = seen.setdefault(status, place)
            if first is not place:
                yield place.problem(f"{status} has a page already (line {first.line})")


def _listeners(sections: Sections) -> Iterator[Problem]:
    seen: dict[tuple[str, int], ParsedSection] = {}
    for section in sections.values():
        port = section.get("port") if section.kind.name in LISTENING_KINDS else None
        host = section.settings.get("host")
        if port is None or port.value == 0:  # any free port is never the same twice
            continue
        if host is not None and not host.valid:
            continue
        listener = (section.fields(FRONTEND)["host"], port.value)
        first = seen.setdefault(listener, section)
        if first is not section:
            where = f"[{first.name}] (line {first.place.line})"
            yield port.place.problem(f"[{section.name}] listens on the same host and port as {where}")


def written_once(sections: Sections, key: str) -> list[Setting]:
    """Every time that a key of all frontends is written, in order."""
    found = [section.get(key) for section in sections.values() if section.kind.name == "frontend"]
    return [setting for setting in found if setting is not None]


def _once(sections: Sections, key: str) -> Iterator[Problem]:
    """What is for all frontends is said once, or says the same."""
    written = written_once(sections, key)
    for other in written[1:]:
        if other.value != written[0].value:
            line = written[0].key_place.line
            yield other.key_place.problem(f"'{key}' is for all frontends, and line {line} says otherwise (keep one)")


def _overload(section: ParsedSection, listeners: list[ParsedSection]) -> Iterator[Problem]:
    """Clients who find a frontend full wait outside, so that a budget of more than all frontends is never met."""
    limit = section.get("max_connections")
    together = sum(listener.fields(TCP_LISTENER)["max_connections"] for listener in listeners)
    if limit is not None and listeners and limit.value >= together:
        message = f"{limit.value} has no effect: the listeners take {together} together"
        yield limit.place.problem(f"{message} (raise their max_connections)")


def _admin(section: ParsedSection) -> Iterator[Problem]:
    """A host that others can reach needs a token: who comes in there can take servers away."""
    host = section.get("host")
    if host is not None and "token" not in section.settings and not is_loopback(host.value):
        yield host.place.problem(f"'{host.value}' can be reached from elsewhere, so [admin] needs a 'token'")


def _certificates(section: ParsedSection) -> Iterator[Problem]:
    """As many keys as certificates, and nothing that needs one without one."""
    settings = section.settings
    for key, wanted in (("tls_certificate", "tls_key"), ("tls_key", "tls_certificate"), ("hsts", "tls_certificate")):
        if key in settings and wanted not in settings:
            yield settings[key].key_place.problem(f"'{key}' needs a '{wanted}' in [{section.name}]")
    chains, keys = section.get("tls_certificate"), section.get("tls_key")
    for name, files in (("tls_certificate", chains), ("tls_key", keys)):
        if files is not None and not files.value:
            yield files.key_place.problem(f"'{name}' has no value (write one, or remove the key)")
            return
    if chains is not None and keys is not None and len(chains.value) != len(keys.value):
        counts = f"{len(chains.value)} and {len(keys.value)}"
        yield keys.place.problem(f"each tls_certificate needs its tls_key, in the same order (there are {counts})")


def _redirect(section: ParsedSection, has_tls: bool) -> Iterator[Problem]:
    redirect = section.get("redirect_https")
    if redirect is None or not redirect.value:
        return
    if "tls_certificate" in section.settings:
        message = f"[{section.name}] has a tls_certificate: its requests come over https already"
        yield redirect.key_place.problem(message)
    elif not has_tls:
        yield redirect.key_place.problem("'redirect_https' needs a frontend with a tls_certificate to redirect to")


def _proxy_protocol(section: ParsedSection) -> Iterator[Problem]:
    proxy_protocol, trusted = section.get("proxy_protocol"), section.settings.get("trusted_proxies")
    if proxy_protocol is not None and (trusted is None or (trusted.valid and not trusted.value)):
        yield proxy_protocol.key_place.problem("'proxy_protocol' needs 'trusted_proxies' (who may send the header)")


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


def _inspected_relay(route: ParsedSection) -> Iterator[Problem]:
    """An inspector has a memory of one backend's frames, which the next one's would not fit."""
    inspect, loss = route.get("inspect"), route.get("on_backend_loss")
    if inspect is not None and inspect.value and loss is not None and loss.value == "reconnect":
        yield inspect.key_place.problem("'inspect' cannot stand beside 'on_backend_loss = reconnect' (keep one)")


def _replayed_messages(route: ParsedSection) -> Iterator[Problem]:
    """Nobody is told anything again where clients go with their backend."""
    replay, loss = route.get("replay_messages"), route.get("on_backend_loss")
    if replay is not None and replay.value and (loss is None or loss.value != "reconnect"):
        yield replay.key_place.problem("'replay_messages' needs 'on_backend_loss = reconnect' (add it)")


def _choosing(route: ParsedSection) -> Iterator[Problem]:
    """A key to hash stands beside `algorithm = hash`, and what is said of cookies beside `sticky = cookie`."""
    algorithm, sticky = route.get("algorithm"), route.get("sticky")
    is_hash = algorithm is not None and algorithm.value == "hash"
    if is_hash and algorithm is not None and "hash_key" not in route.settings:
        yield algorithm.place.problem("algorithm = hash needs a 'hash_key' (such as hash_key = header:NAME)")
    if "hash_key" in route.settings and not is_hash and (algorithm is not None or "algorithm" not in route.settings):
        yield route.settings["hash_key"].key_place.problem("'hash_key' has no effect without algorithm = hash")
    if "sticky" in route.settings and sticky is None:
        return
    rebalance = route.get("rebalance")
    if rebalance is not None and rebalance.value and sticky is not None:
        message = "'rebalance' has no effect beside 'sticky': clients would come back (keep one)"
        yield rebalance.key_place.problem(message)
    shared = route.settings.get("sticky_redis")
    if shared is not None and (sticky is None or (sticky.value.source, sticky.value.name) != ("query", "sid")):
        yield shared.key_place.problem("'sticky_redis' has no effect without sticky = query:sid")
    for key in ("sticky_ttl", "sticky_secret"):
        if key in route.settings and (sticky is None or sticky.value.source != "cookie"):
            yield route.settings[key].key_place.problem(f"'{key}' has no effect without sticky = cookie")


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

