"""Keys, Vary, and what a change makes stale."""

from __future__ import annotations

import pytest

from tests.cache.answers import block, head
from wsproxy.cache.selecting import also_changed, key_of, varies_by, with_cache_control


def test_keys() -> None:
    assert key_of("http", b"http", b"A.example", b"/x?y") == key_of("http", b"http", b"a.EXAMPLE", b"/x?y")
    keys = {key_of(*parts) for parts in [("http", b"http", b"a", b"/"), ("http", b"https", b"a", b"/")]}
    keys |= {key_of("http:b", b"http", b"a", b"/"), key_of("http", b"http", b"a", b"/?")}
    assert len(keys) == 4


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], ()),
        (["Vary: Foo"], (b"foo",)),
        (["Vary: Foo, bar", "Vary: BAZ"], (b"bar", b"baz", b"foo")),
        (["Vary: *"], None),
        (["Vary: , *"], None),
        (["Vary: Foo, *"], None),
        (["Vary: ,"], ()),
        (["Vary: X-Forwarded-For"], None),
        (["Vary: X-Forwarded-Proto"], (b"x-forwarded-proto",)),
    ],
)
def test_vary(lines: list[str], expected: tuple[bytes, ...] | None) -> None:
    assert varies_by(block(*lines)) == expected


def test_a_route_has_the_last_word() -> None:
    response = head("A: 1", "Cache-Control: private", "Expires: 0", "CDN-Cache-Control: no-store", "Pragma: no-cache")
    changed = with_cache_control(response, b"max-age=5")
    assert changed.fields == block("A: 1", "Cache-Control: max-age=5")
    assert b"private" in response.fields


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("Location: /b?c#d", {b"/b?c"}),
        ("Location: b", {b"/x/b"}),
        ("Content-Location: http://SITE:8080/b", {b"/b"}),
        ("Location: http://site:8080", {b"/"}),
        ("Location: http://other/b", set()),
        ("Location: https://site:8080/b", set()),
        ("Location: http://[b", set()),
        ("Other: /b", set()),
    ],
)
def test_also_changed(line: str, expected: set[bytes]) -> None:
    assert also_changed(block(line), b"http", b"site:8080", b"/x/a?y") == expected
