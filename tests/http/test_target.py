"""One spelling for paths that mean the same."""

from __future__ import annotations

import pytest

from wsproxy.http.messages import MalformedRequestError
from wsproxy.http.target import normal_path


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (b"/", "/"),
        (b"*", "*"),
        (b"/a/b.c?x=/../y&z=%00", "/a/b.c"),
        (b"/a?b?c", "/a"),
        (b"/%61%2Dz%7e", "/a-z~"),
        (b"/a%2fb%5C%e4", "/a%2Fb%5C%E4"),
        (b"/a%zz%", "/a%zz%"),
        (b"/%2561", "/%2561"),
        (b"/%25%36%31", "/%2561"),
        (b"/a/./b/../c", "/a/c"),
        (b"/a/%2e%2E/b", "/b"),
        (b"/a/..", "/"),
        (b"/a/.", "/a/"),
        (b"/.", "/"),
        (b"/a/b/..", "/a/"),
        (b"/a//../b", "/a/b"),
        (b"/...", "/..."),
        (b"/.hidden/..x", "/.hidden/..x"),
        (b"//a", "//a"),
    ],
)
def test_paths(target: bytes, path: str) -> None:
    assert normal_path(target) == path


@pytest.mark.parametrize("target", [b"/..", b"/../a", b"/a/../..", b"/%2e%2e/a", b"/a/.%2e/..", b"/a%00b"])
def test_refused(target: bytes) -> None:
    with pytest.raises(MalformedRequestError) as caught:
        normal_path(target)
    assert caught.value.status == 400
