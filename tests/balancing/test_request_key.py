"""What of a request says where it belongs."""

from __future__ import annotations

import pytest

from wsproxy.balancing.request_key import key_of
from wsproxy.config.choosing import HASH_KEY
from wsproxy.http.codec import read_request_head
from wsproxy.http.messages import HeadLimits, RequestHead


def head(target: bytes = b"/", *lines: bytes) -> RequestHead:
    fields = b"".join(line + b"\r\n" for line in (b"Host: a.example", *lines))
    read = read_request_head(b"GET %b HTTP/1.1\r\n%b\r\n" % (target, fields), HeadLimits())
    assert read is not None
    return read[0]


@pytest.mark.parametrize(
    ("written", "request_head", "expected"),
    [
        ("ip", head(), b"192.0.2.7"),
        ("path", head(b"/a/b?c=d"), b"/a/b"),
        ("header:X-Room", head(b"/", b"x-room: 7"), b"7"),
        ("header:X-Room", head(b"/", b"X-Room: 7", b"X-Room: 8"), b"7,8"),
        ("header:X-Room", head(b"/?X-Room=7"), b""),
        ("header:host", head(), b"a.example"),
        ("cookie:sid", head(b"/", b"Cookie: a=b; sid=42; c=d"), b"42"),
        ("cookie:sid", head(b"/", b'Cookie: sid="4 2"'), b"4"),
        ("cookie:sid", head(b"/", b"Cookie: xsid=1", b"Cookie: a=sid=2;sid=3"), b"3"),
        ("cookie:sid", head(b"/", b"Cookie: SID=1"), b""),
        ("cookie:sid", head(), b""),
        ("query:sid", head(b"/socket.io/?EIO=4&sid=a%2Bb&t=1"), b"a+b"),
        ("query:sid", head(b"/?sid=1&sid=2"), b"1"),
        ("query:sid", head(b"/?xsid=1&Sid=2"), b""),
        ("query:sid", head(b"/?sid="), b""),
        ("query:a.b", head(b"/?aXb=1&a.b=2"), b"2"),
    ],
)
def test_key(written: str, request_head: RequestHead, expected: bytes) -> None:
    assert key_of(HASH_KEY.parse(written))(request_head, "192.0.2.7") == expected
