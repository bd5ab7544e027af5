"""What files are, by their names."""

from __future__ import annotations

import pytest

from wsproxy.static.media_types import media_type


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (b"index.html", b"text/html; charset=utf-8"),
        (b"a/b.CSS", b"text/css; charset=utf-8"),
        (b"app.js", b"text/javascript; charset=utf-8"),
        (b"app.mjs", b"text/javascript; charset=utf-8"),
        (b"data.json", b"application/json"),
        (b"feed.xml", b"application/xml; charset=utf-8"),
        (b"logo.svg", b"image/svg+xml"),
        (b"photo.jpg", b"image/jpeg"),
        (b"photo.webp", b"image/webp"),
        (b"font.woff2", b"font/woff2"),
        (b"module.wasm", b"application/wasm"),
        (b"release.tar.gz", b"application/gzip"),
        (b"film.mp4", b"video/mp4"),
        (b"README", b"application/octet-stream"),
        (b"a.b/README", b"application/octet-stream"),
        (b"x.unknown", b"application/octet-stream"),
        (b"x." + b"y" * 100, b"application/octet-stream"),
        (b"\xff.\xff", b"application/octet-stream"),
        (b".html", b"application/octet-stream"),
    ],
)
def test_type(name: bytes, expected: bytes) -> None:
    assert media_type(name) == expected
