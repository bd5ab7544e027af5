"""PURE: which route a request takes: host, then header fields, then the longest path prefix, at segment borders."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Generic, TypeVar

from wsproxy.config.model import HeaderMatch, RouteSettings
from wsproxy.http.messages import field_values

R = TypeVar("R")

Prefixes = dict[str, R]


class RouteTable(Generic[R]):
    """The routes of one kind that a frontend serves. A look-up is a few dictionary reads, however many there are."""

    def __init__(self, routes: Sequence[tuple[RouteSettings, R]]) -> None:
        self._hosts: dict[str, list[tuple[tuple[HeaderMatch, ...], Prefixes[R]]]] = {}
        for settings, route in routes:
            by_fields = self._hosts.setdefault(settings.host or "*", [])
            for fields, prefixes in by_fields:  # noqa: B007 - the one found is used below
                if fields == settings.headers:
                    break
            else:
                prefixes = {}
                by_fields.append((settings.headers, prefixes))
                by_fields.sort(key=lambda entry: -len(entry[0]))  # the more a route asks for, the earlier it is asked
            prefixes[settings.path_prefix] = route
        self._any_host = list(self._hosts) == ["*"]
        self._only = next((route for settings, route in routes if len(routes) == 1 and _takes_all(settings)), None)

    def match(self, authority: bytes, path: str, fields: bytes) -> R | None:
        """The route for a Host value, a normalised path and a canonical block of fields, or None."""
        if self._only is not None and path.startswith(("/", "*")):
            return self._only
        for host in ("*",) if self._any_host else _hosts(authority):
            for wanted, prefixes in self._hosts.get(host, ()):
                if not wanted or _has(fields, wanted):
                    route = _longest(path, prefixes)
                    if route is not None:
                        return route
        return None


def _takes_all(settings: RouteSettings) -> bool:
    return settings.host is None and not settings.headers and settings.path_prefix == "/"


def _hosts(authority: bytes) -> Iterator[str]:
    """The names to look under: exact, then the wildcards from the nearest to the widest, then any host."""
    host = authority.decode("latin-1").lower()
    host = host[: host.index("]") + 1] if host.startswith("[") and "]" in host else host.partition(":")[0]
    host = host.rstrip(".")
    yield host
    parent = host
    while "." in parent:
        parent = parent.partition(".")[2]
        yield f"*.{parent}"
    yield "*"


def _longest(path: str, prefixes: Prefixes[R]) -> R | None:
    """Look `path` up, then what is left of it at each slash from the right, with the slash and without."""
    if len(prefixes) == 1 and "/" in prefixes:
        return prefixes["/"]
    route = prefixes.get(path)
    end = len(path)
    while route is None and end > 0:
        end = path.rfind("/", 0, end)
        if end < 0:
            break
        route = prefixes.get(path[: end + 1])
        if route is None and end:
            route = prefixes.get(path[:end])
    if route is None and path == "*":  # OPTIONS *: for the server as a whole
        route = prefixes.get("/")
    return route


def _has(fields: bytes, wanted: tuple[HeaderMatch, ...]) -> bool:
    for match in wanted:
        values = field_values(fields, match.name.encode("latin-1"))
        if not values or (match.value is not None and match.value.encode("latin-1") not in values):
            return False
    return True
