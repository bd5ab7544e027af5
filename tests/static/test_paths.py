"""Which file a path means, and which paths mean none."""

from __future__ import annotations

import pytest

from wsproxy.static.paths import directory_location, quoted, relative_path


@pytest.mark.parametrize(
    ("path", "prefix", "expected"),
    [
        ("/", "/", b""),
        ("/a", "/", b"a"),
        ("/a/", "/", b"a/"),
        ("/a/b.txt", "/", b"a/b.txt"),
        ("//a///b", "/", b"a/b"),
        ("/a//", "/", b"a/"),
        ("/files", "/files", b""),
        ("/files/", "/files", b""),
        ("/files/a", "/files", b"a"),
        ("/files/a", "/files/", b"a"),
        ("/a%20b", "/", b"a b"),
        ("/%E2%82%AC", "/", "€".encode()),
        ("/%FF", "/", b"\xff"),
        ("/\xe9", "/", b"\xe9"),
        ("/%252e", "/", b"%2e"),
        ("/.well-known/x", "/", b".well-known/x"),
        ("/.well-known", "/", b".well-known"),
        ("/a/.well-known/x", "/", None),
        ("/.git/config", "/", None),
        ("/a/.hidden", "/", None),
        ("/%2Egit", "/", None),
        ("/%2E%2E/a", "/", None),
        ("/a%2Fb", "/", None),
        ("/..%2Fb", "/", None),
        ("/a\\b", "/", None),
        ("/a%5Cb", "/", None),
        ("/a%00b", "/", None),
        ("/...", "/", None),
    ],
)
def test_name_below_the_directory(path: str, prefix: str, expected: bytes | None) -> None:
    assert relative_path(path, prefix) == expected


@pytest.mark.parametrize(
    ("path", "target", "expected"),
    [
        ("/a", b"/a", b"/a/"),
        ("/a", b"/a?x=1?y", b"/a/?x=1?y"),
        ("//evil.example", b"//evil.example", b"/evil.example/"),
        ("/a%20b", b"/a%20b", b"/a%20b/"),
        ("/a%0D%0AX:y", b"/a%0d%0aX:y", b"/a%0D%0AX:y/"),
        ("/\xe9", b"/\xe9", b"/%E9/"),
    ],
)
def test_where_a_directory_is(path: str, target: bytes, expected: bytes) -> None:
    assert directory_location(path, target) == expected


def test_links() -> None:
    assert quoted(b'a b?c#d%e"<') == "a%20b%3Fc%23d%25e%22%3C"
