"""What a route's own keys must say of each other, and which requests two routes may not both match.

Pure. Part of `crosscheck`, with its rule: a setting that was refused already is passed over.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any, Final

from wsproxy.config.content_keys import COMPRESSION
from wsproxy.config.errors import Problem
from wsproxy.config.model import HeaderMatch, RouteSettings
from wsproxy.config.rate_limits import rate_limit_problems
from wsproxy.config.schema import MATCHING_KINDS, ROUTE_KINDS
from wsproxy.config.sections import ParsedSection, Sections, suggestion
from wsproxy.config.server_keys import GROUP_TABLES

_MATCHING: Final = ("frontend", "host", "path_prefix", "header", "method")
_FOR_SERVERS: Final = frozenset(
    {"strip_prefix", "set_request_header", "remove_request_header", "rewrite_redirects", "rewrite_cookies"}
    | {"preserve_host", "algorithm", "sticky", "retries"}
    | {key.name for table in GROUP_TABLES for key in table.keys if key.name not in ("command", "discover")}
)
_DEFAULT_PATH_PREFIX: Final = RouteSettings("", "http", "").path_prefix


def check_routes(sections: Sections) -> Iterator[Problem]:
    """Every problem of routes that has nothing to do with which servers they lead to."""
    yield from _matches(sections)
    for section in sections.values():
        if section.kind.name in MATCHING_KINDS:
            yield from _route_frontend(section, sections)
            yield from rate_limit_problems(section, sections)
            yield from _without_servers(section)
            yield from _prefix(section)
        if section.kind.name in ROUTE_KINDS:
            yield from _inspected_relay(section)
            yield from _replayed_messages(section)
            yield from _choosing(section)
        if COMPRESSION in section.kind.tables:
            yield from _compression(section)


def frontend_name(written: str, sections: Sections) -> str | None:
    """The frontend section that a route's `frontend = NAME` means: `[frontend:NAME]`, or the section so named."""
    names = [name for name in (f"frontend:{written}", written) if name in sections]
    return names[0] if names and sections[names[0]].kind.name == "frontend" else None


def answers_itself(section: ParsedSection) -> bool:
    """Whether a route needs no servers."""
    return "redirect" in section.settings or "respond" in section.settings


def _matches(sections: Sections) -> Iterator[Problem]:
    """Two routes of a kind that match the same requests: which one gets them would be chance."""
    seen: dict[tuple[Any, ...], ParsedSection] = {}
    for section in sections.values():
        if section.kind.name not in MATCHING_KINDS:
            continue
        written = {key: section.get(key) for key in _MATCHING}
        if any(key in section.settings and setting is None for key, setting in written.items()):
            continue
        values = {key: setting.value for key, setting in written.items() if setting is not None}
        headers: tuple[HeaderMatch, ...] = values.get("header", ())
        told: set[str] = set()
        for host, method in product(values.get("host") or (None,), values.get("method") or (None,)):
            match = (
                section.kind.name == "websocket",
                frontend_name(values["frontend"], sections) if "frontend" in values else None,
                host,
                values.get("path_prefix", _DEFAULT_PATH_PREFIX),
                frozenset(headers),
                method,
            )
            first = seen.setdefault(match, section)
            if first is not section and first.name not in told:
                told.add(first.name)
                where = f"[{first.name}] (line {first.place.line})"
                yield section.place.problem(f"[{section.name}] matches the same requests as {where}")


def _route_frontend(route: ParsedSection, sections: Sections) -> Iterator[Problem]:
    frontend = route.get("frontend")
    if frontend is None or frontend_name(frontend.value, sections) is not None:
        return
    known = [name.removeprefix("frontend:") for name, section in sections.items() if section.kind.name == "frontend"]
    yield frontend.place.problem(f"there is no [frontend:{frontend.value}]{suggestion(frontend.value, known)}")


def _without_servers(route: ParsedSection) -> Iterator[Problem]:
    """What is said of servers stands beside some, and of an answer beside one."""
    for answer in ("redirect", "respond"):
        if answer in route.settings:
            for key, setting in route.settings.items():
                if key in _FOR_SERVERS:
                    yield setting.key_place.problem(f"'{key}' has no effect beside '{answer}': no server is asked")
            break
    if "respond_type" in route.settings and "respond" not in route.settings:
        yield route.settings["respond_type"].key_place.problem("'respond_type' has no effect without 'respond'")


def _prefix(route: ParsedSection) -> Iterator[Problem]:
    strip, prefix = route.get("strip_prefix"), route.settings.get("path_prefix")
    if strip is not None and strip.value and (prefix is None or (prefix.valid and prefix.value == "/")):
        yield strip.key_place.problem("'strip_prefix' has no effect without a 'path_prefix'")


def _compression(route: ParsedSection) -> Iterator[Problem]:
    """What is said of compression has a meaning only where there is some."""
    if "compress" not in route.settings:
        for key in COMPRESSION.keys:
            if key.name in route.settings:
                message = f"'{key.name}' has no effect without 'compress' (write compress = gzip)"
                yield route.settings[key.name].key_place.problem(message)


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
