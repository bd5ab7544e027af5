"""Which route a request takes: host, then header fields, then the longest path prefix at a segment's border."""

from __future__ import annotations

from functools import partial
from typing import SupportsIndex

import pytest

from wsproxy.balancing.routing import RouteTable
from wsproxy.config.model import HeaderMatch, RouteSettings

FIELDS = b"Host: example.test\r\nX-Version: 2\r\nAccept: a\r\nAccept: b\r\n"


settings = partial(RouteSettings, name="http", kind="http", group="g")


def table(*routes: tuple[str, str | None, tuple[HeaderMatch, ...]]) -> RouteTable[str]:
    """Routes of (path prefix, host, header fields), each standing for its own text."""
    return RouteTable(
        [
            (
                settings(path_prefix=prefix, hosts=(host,) if host else (), headers=headers),
                f"{host or ''}{prefix}" + "".join(f" {match.name}={match.value}" for match in headers),
            )
            for prefix, host, headers in routes
        ]
    )


def paths(*prefixes: str) -> RouteTable[str]:
    return table(*((prefix, None, ()) for prefix in prefixes))


def by_method(*routes: tuple[str, tuple[str, ...]]) -> RouteTable[str]:
    return RouteTable(
        [
            (settings(path_prefix=prefix, methods=methods), f"{prefix} {' '.join(methods)}".rstrip())
            for prefix, methods in routes
        ]
    )


@pytest.mark.parametrize(
    ("prefixes", "path", "expected"),
    [
        (("/",), "/", "/"),
        (("/",), "/anything/at/all", "/"),
        (("/",), "*", "/"),  # OPTIONS *
        (("/", "/api"), "*", "/"),
        (("/api",), "*", None),
        (("/", "/api"), "/api", "/api"),
        (("/", "/api"), "/api/", "/api"),
        (("/", "/api"), "/api/v1/users", "/api"),
        (("/", "/api"), "/apis", "/"),
        (("/", "/api"), "/other/api", "/"),
        (("/", "/api", "/api/v1"), "/api/v1/users", "/api/v1"),
        (("/", "/api", "/api/v1"), "/api/v2/users", "/api"),
        (("/", "/api/"), "/api", "/"),  # a prefix with a slash is a folder
        (("/", "/api/"), "/api/", "/api/"),
        (("/", "/api/"), "/api/v1", "/api/"),
        (("/api", "/api/"), "/api/v1", "/api/"),
        (("/api",), "/", None),
        (("/api",), "/other", None),
        (("/api", "/b"), "no-slash", None),
        ((), "/", None),
    ],
)
def test_path(prefixes: tuple[str, ...], path: str, expected: str | None) -> None:
    assert paths(*prefixes).match(b"GET", b"example.test", path, FIELDS) == expected
    beside = by_method(*((prefix, ()) for prefix in prefixes), ("/elsewhere/far/away", ("PUT",)))
    assert beside.match(b"GET", b"example.test", path, FIELDS) == expected, "looked up another way"


HOSTS = table(
    ("/", None, ()),
    ("/", "example.test", ()),
    ("/", "*.example.test", ()),
    ("/", "*.deep.example.test", ()),
    ("/", "[::1]", ()),
    ("/only", "paths.test", ()),
)


@pytest.mark.parametrize(
    ("authority", "path", "expected"),
    [
        (b"example.test", "/", "example.test/"),
        (b"EXAMPLE.Test", "/", "example.test/"),
        (b"example.test:8080", "/", "example.test/"),
        (b"example.test.", "/", "example.test/"),
        (b"a.example.test", "/", "*.example.test/"),
        (b"a.b.example.test", "/", "*.example.test/"),
        (b"a.deep.example.test", "/", "*.deep.example.test/"),
        (b"badexample.test", "/", "/"),
        (b"other.test", "/", "/"),
        (b"", "/", "/"),
        (b"[::1]:8080", "/", "[::1]/"),
        (b"[::1]", "/", "[::1]/"),
        (b"[::2]", "/", "/"),
        (b"paths.test", "/only/here", "paths.test/only"),
        (b"paths.test", "/elsewhere", "/"),  # the host has no such path: any host's route takes it
        ("\xe9.test".encode("latin-1"), "/", "/"),
    ],
)
def test_host(authority: bytes, path: str, expected: str) -> None:
    assert HOSTS.match(b"GET", authority, path, FIELDS) == expected


def test_a_table_of_named_hosts_leaves_the_others_out() -> None:
    assert table(("/", "example.test", ())).match(b"GET", b"other.test", "/", FIELDS) is None


ANY_VERSION = HeaderMatch("X-Version")
VERSION_2, VERSION_3 = (HeaderMatch("x-version", value) for value in "23")


@pytest.mark.parametrize(
    ("routes", "expected"),
    [
        ([("/", None, ()), ("/", None, (VERSION_2,))], "/ x-version=2"),
        ([("/", None, ()), ("/", None, (VERSION_3,))], "/"),
        ([("/", None, (ANY_VERSION,))], "/ X-Version=None"),
        ([("/", None, (HeaderMatch("X-Missing"),))], None),
        ([("/", None, (HeaderMatch("accept", "b"),))], "/ accept=b"),  # any of several lines
        ([("/", None, (VERSION_2, HeaderMatch("X-Missing")))], None),  # all of several fields
        ([("/", None, (VERSION_2,)), ("/", None, (VERSION_2, HeaderMatch("Accept")))], "/ x-version=2 Accept=None"),
        ([("/long", None, ()), ("/", None, (VERSION_2,))], "/ x-version=2"),  # fields come before the path
        ([("/", "example.test", ()), ("/", None, (VERSION_2,))], "example.test/"),  # the host comes before fields
        ([("/x", None, (VERSION_2,)), ("/", None, ())], "/"),  # the fields fit, the path does not
        ([("/", None, (VERSION_2,)), ("/long", None, (VERSION_2,))], "/long x-version=2"),
    ],
)
def test_header(routes: list[tuple[str, str | None, tuple[HeaderMatch, ...]]], expected: str | None) -> None:
    assert table(*routes).match(b"GET", b"example.test", "/long/path", FIELDS) == expected


METHODS = by_method(
    ("/", ()), ("/a", ("GET", "PUT")), ("/a", ("POST",)), ("/a/b", ("DELETE",)), ("/h", ("GET",)), ("/h", ("HEAD",))
)


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        (b"GET", "/a", "/a GET PUT"),
        (b"PUT", "/a/x", "/a GET PUT"),
        (b"HEAD", "/a", "/a GET PUT"),  # GET stands for HEAD
        (b"HEAD", "/h", "/h HEAD"),  # unless a route asks for it
        (b"POST", "/a", "/a POST"),
        (b"DELETE", "/a", "/"),  # no route of this path: that of the shorter one
        (b"DELETE", "/a/b/c", "/a/b DELETE"),
        (b"POST", "/a/b/c", "/a POST"),
        (b"get", "/a", "/"),  # methods are case-sensitive
        (b"BREW", "/", "/"),
        (b"OPTIONS", "*", "/"),
    ],
)
def test_method(method: bytes, path: str, expected: str) -> None:
    assert METHODS.match(method, b"example.test", path, FIELDS) == expected


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/a", [b"GET", b"HEAD", b"POST", b"PUT"]),
        ("/a/b", [b"DELETE", b"GET", b"HEAD", b"POST", b"PUT"]),
        ("/other", []),
    ],
)
def test_methods_there_would_be_a_route_for(path: str, allowed: list[bytes]) -> None:
    routes = by_method(("/a", ("GET", "PUT")), ("/a", ("POST",)), ("/a/b", ("DELETE",)))
    assert routes.match(b"BREW", b"example.test", path, FIELDS) is None
    assert routes.methods(b"example.test", path, FIELDS) == allowed


def test_only_route_asks_for_its_method_too() -> None:
    assert by_method(("/", ("POST",))).match(b"GET", b"", "/", FIELDS) is None


def test_route_of_several_hosts() -> None:
    routes = RouteTable([(settings(hosts=("a.test", "*.b.test")), "both")])
    found = [routes.match(b"GET", host, "/", FIELDS) for host in (b"a.test", b"x.b.test", b"b.test")]
    assert found == ["both", "both", None]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (b"X-A: 1\r\nX-B: 2\r\n", "1 2"),
        (b"X-A: 1\r\nX-B: 3\r\n", "1 3"),
        (b"X-A: 2\r\nX-B: 2\r\n", "any"),
        (b"X-A: 1\r\n", "any"),
        (b"X-A: 0\r\nX-A: 1\r\nX-B: 9\r\nX-B: 3\r\n", "1 3"),  # one of several lines of each
        (b"", None),
    ],
)
def test_routes_that_differ_in_the_values_of_fields(fields: bytes, expected: str | None) -> None:
    def route(*matches: HeaderMatch) -> RouteSettings:
        return settings(headers=matches)

    routes = RouteTable(
        [
            (route(HeaderMatch("x-a")), "any"),
            (route(HeaderMatch("x-a", "1"), HeaderMatch("x-b", "2")), "1 2"),
            (route(HeaderMatch("x-b", "3"), HeaderMatch("x-a", "1")), "1 3"),
        ]
    )
    assert routes.match(b"GET", b"", "/", fields) == expected


def test_certain_value_is_asked_before_any_value() -> None:
    routes = RouteTable([(settings(headers=(ANY_VERSION,)), "any"), (settings(headers=(VERSION_2,)), "2")])
    assert routes.match(b"GET", b"", "/", FIELDS) == "2"


class CountedText(str):
    """A path that counts what is cut out of it."""

    cuts = 0

    def __getitem__(self, key: SupportsIndex | slice) -> str:
        CountedText.cuts += 1
        return super().__getitem__(key)


def test_look_up_costs_the_same_for_a_thousand_routes_and_a_path_of_a_thousand_slashes() -> None:
    routes = RouteTable(
        [
            (settings(hosts=(f"h{n % 10}.test",), path_prefix=f"/s{n}/t", methods=(method,), headers=headers), n)
            for n in range(1000)
            for method in ("GET", "POST")
            for headers in ((), (HeaderMatch("x-tenant", f"t{n}"),))
        ]
    )
    fields = b"Host: h7.test\r\nX-Tenant: t997\r\n"
    CountedText.cuts = 0
    assert routes.match(b"POST", b"h7.test", CountedText("/s997/t/u"), fields) == 997
    assert CountedText.cuts < 10
    CountedText.cuts = 0
    assert routes.match(b"POST", b"h7.test", CountedText("/a" * 4000), fields) is None
    assert CountedText.cuts < 50


def test_fields_repeated_a_hundred_times_lead_into_no_maze() -> None:
    names = ("a", "b", "c", "d")
    routes = RouteTable([(settings(headers=tuple(HeaderMatch(name, "1") for name in names)), "found")])
    fields = b"".join(b"%b: %d\r\n" % (name.encode(), n) for name in names for n in range(25))
    assert routes.match(b"GET", b"", "/", fields) == "found"


def test_host_longer_than_any_name_is_any_host() -> None:
    routes = RouteTable([(settings(hosts=("*.test",)), "named"), (settings(), "any")])
    assert routes.match(b"GET", b"a." * 120 + b"test", "/", b"") == "named"
    assert routes.match(b"GET", b"a." * 4000 + b"test", "/", b"") == "any"
