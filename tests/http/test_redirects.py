"""Redirects to https: where they lead, and that nothing can be smuggled into them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsproxy.http.codec import read_request_head
from wsproxy.http.messages import HeadLimits, MalformedRequestError, RequestHead
from wsproxy.http.redirects import https_required


def head(method: bytes, target: bytes, authority: bytes) -> RequestHead:
    return RequestHead(method, target, 1, authority, b"", 0, True)


@pytest.mark.parametrize(
    ("target", "authority", "port", "location"),
    [
        (b"/a?b", b"a.example", 443, b"https://a.example/a?b"),
        (b"/", b"a.example:80", 443, b"https://a.example/"),
        (b"/", b"a.example:80", 8443, b"https://a.example:8443/"),
        (b"/", b"a.example:", 443, b"https://a.example/"),
        (b"/", b"[::1]", 443, b"https://[::1]/"),
        (b"/", b"[::1]:80", 8443, b"https://[::1]:8443/"),
        (b"//evil.example/", b"a.example", 443, b"https://a.example//evil.example/"),
        (b"*", b"a.example", 443, b"https://a.example/"),
    ],
)
def test_where_it_leads(target: bytes, authority: bytes, port: int, location: bytes) -> None:
    assert https_required(head(b"GET", target, authority), port).fields == b"Location: %b\r\n" % location


@pytest.mark.parametrize(("method", "status"), [(b"GET", 301), (b"HEAD", 301), (b"POST", 308), (b"get", 308)])
def test_other_methods_keep_theirs(method: bytes, status: int) -> None:
    assert https_required(head(method, b"/", b"a"), 443).status == status


def test_without_a_host_there_is_nowhere_to_go() -> None:
    with pytest.raises(MalformedRequestError) as caught:
        https_required(head(b"GET", b"/", b""), 443)
    assert caught.value.status == 400


@given(st.binary(max_size=40), st.binary(max_size=40), st.integers(1, 65535))
def test_whatever_the_codec_lets_through_makes_one_clean_line(target: bytes, host: bytes, port: int) -> None:
    raw = b"GET /%b HTTP/1.1\r\nHost: %b\r\n\r\n" % (target, host)
    try:
        parsed = read_request_head(raw, HeadLimits())
    except MalformedRequestError:
        return
    if parsed is not None:
        fields = https_required(parsed[0], port).fields
        assert re.fullmatch(rb"Location: https://[A-Za-z0-9._~\-:\[\]]+/[^\x00-\x20\x7f]*\r\n", fields)
