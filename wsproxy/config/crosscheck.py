"""What two keys or two sections must say of each other.

Pure. Each check is a generator of problems over the parsed sections; a setting that was refused already is passed over,
so that one mistake is one problem. The checks stand beside what they are about: listeners, routes, groups, the cache.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from wsproxy.config.cache_checks import check_cache, check_caching_route
from wsproxy.config.errors import Problem
from wsproxy.config.group_checks import check_groups
from wsproxy.config.listener_checks import check_listeners
from wsproxy.config.managed_checks import check_managed
from wsproxy.config.route_checks import check_routes
from wsproxy.config.schema import MATCHING_KINDS, ROUTE_KINDS
from wsproxy.config.sections import Sections, Setting

_FOR_ALL_FRONTENDS: Final = ("processes", "takeover_socket")


def check(sections: Sections, source: str) -> Iterator[Problem]:
    """Every problem between keys and between sections; `source` is the file's name."""
    yield from _whole_file(sections, source)
    for key in _FOR_ALL_FRONTENDS:
        yield from _once(sections, key)
    yield from check_listeners(sections)
    yield from check_routes(sections)
    yield from check_groups(sections)
    yield from check_managed(sections)
    if (cache := sections.get("cache")) is not None:
        yield from check_cache(cache)
    for section in sections.values():
        if section.kind.name in ROUTE_KINDS:
            yield from check_caching_route(section)


def _whole_file(sections: Sections, source: str) -> Iterator[Problem]:
    kinds = {section.kind.name for section in sections.values()}
    if "tcp" in kinds and not kinds & {"frontend", *MATCHING_KINDS}:
        return  # it listens and serves by itself
    if "frontend" not in kinds:
        yield Problem(source, 1, 1, "no [frontend]: nothing would listen (write [frontend] with a port)")
    if not kinds & set(MATCHING_KINDS):
        yield Problem(source, 1, 1, "no route: nothing would be served (write [http] or [websocket] with server1)")


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
