"""A server's own URLs as its clients have to spell them; what leads elsewhere stays as it is."""

from __future__ import annotations

import pytest

from wsproxy.http.messages import ResponseHead
from wsproxy.http.rewriting import OwnUrls, may_hold_urls, with_own_cookies, with_own_redirects

BELOW = OwnUrls(b"http", b"Inner.example:80", b"/base", b"/api", b"site.example")
PLAIN = OwnUrls(b"https", b"inner.example", b"", b"", b"inner.example")
STRIPPED = OwnUrls(b"http", b"127.0.0.1:9000", b"", b"/api", b"site.example:8080")
SOCKET = OwnUrls(b"http", b"", b"", b"/api", b"site.example")


@pytest.mark.parametrize(
    ("urls", "written", "seen"),
    [
        (BELOW, b"http://inner.example/base/x?y#z", b"/api/x?y#z"),
        (BELOW, b"HTTP://INNER.example:80/base", b"/api"),
        (BELOW, b"//inner.example/base/", b"/api/"),
        (BELOW, b"/base/x", b"/api/x"),
        (BELOW, b"/base?y", b"/api?y"),
        (BELOW, b"http://site.example/base/x", b"http://site.example/api/x"),
        (BELOW, b"https://site.example/base/x", b"https://site.example/api/x"),
        (BELOW, b"https://inner.example/base/x", b"https://inner.example/base/x"),  # not how it is reached
        (BELOW, b"http://inner.example:8080/base/x", b"http://inner.example:8080/base/x"),
        (BELOW, b"http://inner.example/other", b"http://inner.example/other"),  # no client can get there
        (BELOW, b"/basement", b"/basement"),
        (BELOW, b"http://else.example/base/x", b"http://else.example/base/x"),
        (BELOW, b"ftp://site.example/base/x", b"ftp://site.example/base/x"),
        (BELOW, b"x/y", b"x/y"),
        (BELOW, b"?page=2", b"?page=2"),
        (BELOW, b"", b""),
        (BELOW, b"/base?a\nb", b"/base?a\nb"),  # no field holds it
        (BELOW, b"mailto:a@b", b"mailto:a@b"),
        (BELOW, b"urn:/base/x", b"urn:/base/x"),
        (PLAIN, b"https://inner.example:443", b"/"),
        (PLAIN, b"https://inner.example/x", b"/x"),
        (PLAIN, b"https://inner.example//evil.example/x", b"/evil.example/x"),
        (PLAIN, b"http://inner.example/x", b"http://inner.example/x"),
        (STRIPPED, b"http://127.0.0.1:9000/x", b"/api/x"),
        (STRIPPED, b"/", b"/api/"),
        (STRIPPED, b"http://site.example:8080/x", b"http://site.example:8080/api/x"),
        (SOCKET, b"http:///x", b"http:///x"),
        (SOCKET, b"/x", b"/api/x"),
    ],
)
def test_reference(urls: OwnUrls, written: bytes, seen: bytes) -> None:
    assert urls.reference(written) == seen


@pytest.mark.parametrize(
    ("written", "seen"),
    [
        (b"5; url=http://inner.example/base/x", b"5; url=/api/x"),
        (b"0;URL='/base/x'", b"0;URL='/api/x'"),
        (b"1, /base/", b"1, /api/"),
        (b"5", b"5"),
        (b"5; url=http://else.example/", b"5; url=http://else.example/"),
    ],
)
def test_refresh(written: bytes, seen: bytes) -> None:
    assert BELOW.refresh(written) == seen


@pytest.mark.parametrize(
    ("urls", "written", "seen"),
    [
        (BELOW, b"a=b; Path=/base/x; HttpOnly", b"a=b; Path=/api/x; HttpOnly"),
        (BELOW, b"a=b; path = /base", b"a=b; path = /api"),
        (BELOW, b"a=b; Path=/; Secure", b"a=b; Path=/api; Secure"),
        (BELOW, b"a=b; Path=/other", b"a=b; Path=/other"),
        (BELOW, b"a=b; Path=relative", b"a=b; Path=relative"),
        (BELOW, b"a=b; Domain=inner.example; Path=/base", b"a=b; Path=/api"),
        (BELOW, b"a=b;domain=.Example;Max-Age=1", b"a=b;Max-Age=1"),
        (BELOW, b"a=b; Domain=ample", b"a=b; Domain=ample"),
        (BELOW, b"a=b; Domain=else.example", b"a=b; Domain=else.example"),
        (BELOW, b"a=b; Domain=", b"a=b; Domain="),
        (BELOW, b"__Host-a=b; Path=/; Secure", b"__Host-a=b; Path=/; Secure"),
        (BELOW, b"path=/base; Path=/base", b"path=/base; Path=/api"),  # a cookie of that name
        (PLAIN, b"a=b; Path=/", b"a=b; Path=/"),
        (STRIPPED, b"a=b; Path=/x", b"a=b; Path=/api/x"),
        (STRIPPED, b"a=b; Path=/", b"a=b; Path=/api"),
    ],
)
def test_cookie(urls: OwnUrls, written: bytes, seen: bytes) -> None:
    assert urls.cookie(written) == seen


def test_all_lines_of_a_head() -> None:
    fields = (
        b"location: /base/a\r\nContent-Location: /base/b\r\nRefresh: 1; url=/base/c\r\nX-Location: /base/d\r\n"
        b"Set-Cookie: a=b; Path=/base\r\nSet-Cookie: c=d; Path=/base/e\r\n"
    )
    head = ResponseHead(302, b"Found", 1, fields, 0, True)
    assert may_hold_urls(head)
    assert with_own_redirects(head, BELOW) == (
        b"location: /api/a\r\nContent-Location: /api/b\r\nRefresh: 1; url=/api/c\r\nX-Location: /base/d\r\n"
        b"Set-Cookie: a=b; Path=/base\r\nSet-Cookie: c=d; Path=/base/e\r\n"
    )
    assert with_own_cookies(head, BELOW) == fields.replace(b"Path=/base", b"Path=/api")
    assert not may_hold_urls(ResponseHead(200, b"OK", 1, b"X-Location: /base\r\n", 0, True))
