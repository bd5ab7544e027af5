"""PURE: which route a request takes: host, then header fields, then the longest path prefix, then the method.

Hosts, values of fields, prefixes and methods are looked up in dictionaries, so that a thousand routes cost what ten do;
only sets of field names that differ are gone through one by one. A prefix ends at a segment's border.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Generic, TypeVar

from wsproxy.config.model import HeaderMatch, RouteSettings
from wsproxy.http.messages import field_values

R = TypeVar("R")

ANY_METHOD: Final = b""
"""Stands for the methods that no other route of the same path has."""

ANY_HOST: Final = "*"

LONGEST_HOST: Final = 253
"""Characters of a DNS name at most (RFC 1035 section 2.3.4): a longer one is nobody's, and not taken apart."""

Methods = dict[bytes, R]


class RouteTable(Generic[R]):
    """The routes of one kind that a frontend serves. A look-up is a few dictionary reads, however many there are."""

    def __init__(self, routes: Sequence[tuple[RouteSettings, R]]) -> None:
        self._hosts: dict[str, list[_SameFields[R]]] = {}
        for settings, route in routes:
            for host in settings.hosts or (ANY_HOST,):
                paths = self._paths(host, settings.headers)
                for method in settings.methods or ("",):
                    paths.add(settings.path_prefix, method.encode("ascii"), route)
        for alternatives in self._hosts.values():
            alternatives.sort(key=lambda same: same.breadth)  # the more a route asks for, the earlier it is asked
            for same in alternatives:
                same.finish()
        self._any_host = list(self._hosts) == [ANY_HOST]
        everybody = self._hosts.get(ANY_HOST, [])
        self._by_path_alone = everybody[0].of_all() if self._any_host and len(everybody) == 1 else None
        self._only = next((route for settings, route in routes if len(routes) == 1 and _takes_all(settings)), None)

    def _paths(self, host: str, wanted: tuple[HeaderMatch, ...]) -> _Paths[R]:
        exact = sorted((match.name.lower(), match.value) for match in wanted if match.value is not None)
        present = sorted(match.name.lower() for match in wanted if match.value is None)
        names = _encoded(name for name, _ in exact), _encoded(present)
        alternatives = self._hosts.setdefault(host, [])
        same = next((same for same in alternatives if same.names == names), None)
        if same is None:
            same = _SameFields(*names)
            alternatives.append(same)
        return same.paths_of(_encoded(value for _, value in exact))

    def match(self, method: bytes, authority: bytes, path: str, fields: bytes) -> R | None:
        """The route for a method, a Host value, a normalised path and a canonical block of fields, or None."""
        if self._only is not None and path.startswith(("/", "*")):
            return self._only
        if self._by_path_alone is not None:  # the usual table: 1 us less than by way of the candidates
            return self._by_path_alone.find(path, method)
        for paths in self._candidates(authority, fields):
            route = paths.find(path, method)
            if route is not None:
                return route
        return None

    def methods(self, authority: bytes, path: str, fields: bytes) -> list[bytes]:
        """With which methods there would be a route, in order; empty where there is none with any."""
        allowed = {method for paths in self._candidates(authority, fields) for method in paths.methods(path)}
        return sorted(allowed)

    def _candidates(self, authority: bytes, fields: bytes) -> Iterator[_Paths[R]]:
        for host in (ANY_HOST,) if self._any_host else _hosts(authority):
            for same in self._hosts.get(host, ()):
                yield from same.fitting(fields)


class _SameFields(Generic[R]):
    """The routes of one host that ask for fields of the same names: some with certain values, some with any."""

    def __init__(self, exact: tuple[bytes, ...], present: tuple[bytes, ...]) -> None:
        self.names = exact, present
        self.breadth = -len(exact) - len(present), -len(exact)
        self._by_values: dict[tuple[bytes, ...], _Paths[R]] = {}
        self._beginnings: set[tuple[bytes, ...]] = set()  # of their keys, so that a look-up leaves dead ends at once

    def paths_of(self, values: tuple[bytes, ...]) -> _Paths[R]:
        """Where the routes are kept that want these values."""
        self._beginnings.update(values[:count] for count in range(len(values) + 1))
        return self._by_values.setdefault(values, _Paths())

    def fitting(self, fields: bytes) -> Iterable[_Paths[R]]:
        """Those whose wishes a block of fields fulfils; any of several lines of one name may do it."""
        exact, present = self.names
        if not exact and not present:
            return self._by_values.values()
        for name in present:
            if not field_values(fields, name):
                return ()
        keys: list[tuple[bytes, ...]] = [()]
        for name in exact:
            values = dict.fromkeys(field_values(fields, name))
            keys = [longer for key in keys for value in values if (longer := (*key, value)) in self._beginnings]
        return [self._by_values[key] for key in keys]

    def of_all(self) -> _Paths[R] | None:
        """Those of all requests, where no field is asked for."""
        return self._by_values.get(()) if self.names == ((), ()) else None

    def finish(self) -> None:
        """All routes are there."""
        for paths in self._by_values.values():
            paths.finish()


class _Paths(Generic[R]):
    """Path prefixes, and below each the methods."""

    def __init__(self) -> None:
        self._by_prefix: dict[str, Methods[R]] = {}
        self._of_any_method: dict[str, R] | None = None  # the same, where no route asks for a method
        self._longest = 0

    def add(self, prefix: str, method: bytes, route: R) -> None:
        self._by_prefix.setdefault(prefix, {})[method] = route
        self._longest = max(self._longest, len(prefix))

    def finish(self) -> None:
        """Once all routes are there: who takes GET takes HEAD, unless another route does."""
        for methods in self._by_prefix.values():
            if b"GET" in methods:
                methods.setdefault(b"HEAD", methods[b"GET"])
        if all(methods.keys() == {ANY_METHOD} for methods in self._by_prefix.values()):
            self._of_any_method = {prefix: methods[ANY_METHOD] for prefix, methods in self._by_prefix.items()}

    def find(self, path: str, method: bytes) -> R | None:
        """The route of the longest prefix that has the method."""
        if self._of_any_method is not None:
            return self._find(path, self._of_any_method)
        for methods in self._covering(path):
            route = methods.get(method)
            if route is None:
                route = methods.get(ANY_METHOD)
            if route is not None:
                return route
        return None

    def _find(self, path: str, routes: dict[str, R]) -> R | None:
        """As `_covering`, written out: generators would take three times as long."""
        if path == "*":
            path = "/"
        route = routes.get(path)
        end = self._longest + 1
        while route is None and (end := path.rfind("/", 0, end)) >= 0:
            route = routes.get(path[: end + 1])
            if route is None and end:
                route = routes.get(path[:end])
        return route

    def methods(self, path: str) -> Iterator[bytes]:
        """All that stand below any prefix of the path."""
        for methods in self._covering(path):
            yield from methods

    def _covering(self, path: str) -> Iterator[Methods[R]]:
        """What is there at `path`, then at each slash from the right, with the slash and without.

        Looks at no more of a path than the longest prefix has: one of 4,000 slashes costs what a short one does.
        """
        by_prefix = self._by_prefix
        if path == "*":  # OPTIONS *: for the server as a whole
            path = "/"
        if (methods := by_prefix.get(path)) is not None:
            yield methods
        end = self._longest + 1
        while (end := path.rfind("/", 0, end)) >= 0:
            if end + 1 < len(path) and (methods := by_prefix.get(path[: end + 1])) is not None:
                yield methods
            if end and (methods := by_prefix.get(path[:end])) is not None:
                yield methods


def _encoded(texts: Iterable[str]) -> tuple[bytes, ...]:
    return tuple(text.encode("latin-1") for text in texts)


def _takes_all(settings: RouteSettings) -> bool:
    is_narrow = settings.hosts or settings.headers or settings.methods
    return not is_narrow and settings.path_prefix == "/"


def _hosts(authority: bytes) -> Iterator[str]:
    """The names to look under: exact, then the wildcards from the nearest to the widest, then any host."""
    host = authority.decode("latin-1").lower()
    host = host[: host.index("]") + 1] if host.startswith("[") and "]" in host else host.partition(":")[0]
    host = host.rstrip(".")
    yield host
    parent = host if len(host) <= LONGEST_HOST else ""
    while "." in parent:
        parent = parent.partition(".")[2]
        yield f"*.{parent}"
    yield ANY_HOST
