"""Which route a request takes: host, then header fields, then the longest path prefix at a segment's border."""

from __future__ import annotations

import pytest

from wsproxy.balancing.routing import RouteTable
from wsproxy.config.model import HeaderMatch, RouteSettings

FIELDS = b"Host: example.test\r\nX-Version: 2\r\nAccept: a\r\nAccept: b\r\n"


def table(*routes: tuple[str, str | None, tuple[HeaderMatch, ...]]) -> RouteTable[str]:
    """Routes of (path prefix, host, header fields), each standing for its own text."""
    return RouteTable(
        [
            (
                RouteSettings(name="http", kind="http", group="g", path_prefix=prefix, host=host, headers=headers),
                f"{host or ''}{prefix}" + "".join(f" {match.name}={match.value}" for match in headers),
            )
            for prefix, host, headers in routes
        ]
    )


def paths(*prefixes: str) -> RouteTable[str]:
    return table(*((prefix, None, ()) for prefix in prefixes))


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
    assert paths(*prefixes).match(b"example.test", path, FIELDS) == expected


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
    assert HOSTS.match(authority, path, FIELDS) == expected


def test_a_table_of_named_hosts_leaves_the_others_out() -> None:
    assert table(("/", "example.test", ())).match(b"other.test", "/", FIELDS) is None


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
    assert table(*routes).match(b"example.test", "/long/path", FIELDS) == expected
