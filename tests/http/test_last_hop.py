"""What an OPTIONS or TRACE gets that goes no further than to us."""

from __future__ import annotations

import pytest

from wsproxy.http.h11_codec import judge_request
from wsproxy.http.last_hop import last_hop_answer
from wsproxy.http.messages import HeadLimits, RequestHead


def head_of(raw: bytes) -> RequestHead:
    return judge_request(raw, HeadLimits())


@pytest.mark.parametrize(
    ("version", "close", "connection"),
    [
        (b"1.1", False, b""),
        (b"1.1", True, b"Connection: close\r\n"),
        (b"1.0", True, b"Connection: close\r\n"),
        (b"1.0", False, b"Connection: keep-alive\r\n"),
    ],
)
def test_options(version: bytes, close: bool, connection: bytes) -> None:
    head = head_of(b"OPTIONS * HTTP/" + version + b"\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n")
    assert last_hop_answer(head, close) == b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" + connection + b"\r\n"


def test_trace_shows_the_request_without_its_secrets() -> None:
    shown = b"TRACE /a?b HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\nX-Cookie: 1\r\n"
    secrets = b"COOKIE: x\r\nCookie: y\r\nauthorization: z\r\nProxy-Authorization: z\r\n"
    answer = last_hop_answer(head_of(shown + secrets + b"\r\n"), close=False)
    fields, _, body = answer.partition(b"\r\n\r\n")
    assert body == shown + b"\r\n"
    assert fields == b"HTTP/1.1 200 OK\r\nContent-Type: message/http\r\nContent-Length: %d" % len(body)
