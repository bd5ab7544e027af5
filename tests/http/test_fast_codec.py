"""The quick reader: which heads it takes, which it doubts. That it agrees with the judge is checked on every one."""

from __future__ import annotations

import pytest

from wsproxy.http.fast_codec import known_request_lines, known_response_lines, parse_request, parse_response
from wsproxy.http.h11_codec import judge_request, judge_response
from wsproxy.http.messages import CHUNKED, UNTIL_CLOSE, HeadLimits

LIMITS = HeadLimits()

BROWSER = (
    b"GET /index.html?x=1 HTTP/1.1\r\nHost: www.example.org:8080\r\nConnection: keep-alive\r\n"
    b'sec-ch-ua: "Chromium";v="122", "Not(A:Brand";v="24"\r\nUpgrade-Insecure-Requests: 1\r\nTE: trailers\r\n'
    b"User-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\nAccept: text/html,*/*;q=0.8\r\nCookie: a=\xe4; b=2\r\n\r\n"
)
USUAL_REQUESTS = [
    BROWSER,
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.1\r\nhost: a_b.c:59999\r\nconnection: Close\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 123456789012345678\r\n\r\n",
    b"POST / HTTP/1.1\r\nContent-Length: 0\r\nHost: a\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n",
    b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-Continue\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade,keep-alive\r\nHTTP2-Settings: x\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\nContent-Length: 1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n",
    (
        b"GET / HTTP/1.1\r\nX-Forwarded-For: 1.2.3.4\r\nHost: a\r\nx-forwarded-for: ::1\r\nX-Forwarded-Proto: http\r\n"
        b"X-Forwarded-Host: b\r\nForwarded: for=x\r\nX-Request-ID: 7\r\n\r\n"
    ),
    (
        b"GET / HTTP/1.1\r\nKeep-Alive: timeout=5\r\nProxy-Connection: x\r\nHost: a\r\nTE: x\r\n"
        b"Proxy-Authorization: x\r\nproxy-authenticate: x\r\n\r\n"
    ),
    (
        b"GET / HTTP/1.1\r\nuser-agent: x\r\nUser-Agent: y\r\nTraceparent: 1\r\nReferer: b\r\nreferer: c\r\n"
        b"Host: a\r\ntraceparent: 2\r\n\r\n"
    ),
    b"GET / HTTP/1.1\r\nHost: a\r\nClose: x\r\nTest: 1\r\nXfoo: 1\r\nConnection: close\r\n\r\n",
]


@pytest.mark.parametrize("raw", USUAL_REQUESTS)
def test_usual_requests_need_no_judge(raw: bytes) -> None:
    assert parse_request(raw, LIMITS, known_request_lines()) == judge_request(raw, LIMITS)


def test_a_browser_head() -> None:
    head = parse_request(BROWSER, LIMITS, known_request_lines())
    assert head is not None
    assert (head.method, head.target, head.authority) == (b"GET", b"/index.html?x=1", b"www.example.org:8080")
    assert head.fields.startswith(b"Host: www.example.org:8080\r\nsec-ch-ua: ")
    assert (head.length, head.keep_alive, head.claims) == (0, True, None)


DOUBTFUL_REQUEST_LINES = [
    b"GET / HTTP/1.0",
    b"CONNECT / HTTP/1.1",
    b"GET http://a/ HTTP/1.1",
    b"OPTIONS * HTTP/1.1",
    b"M-SEARCH / HTTP/1.1",
    b"GET /# HTTP/1.1",
    b"GET / HTTP/2.0",
]
DOUBTFUL_FIELDS = [
    b"Host: b",
    b"Empty:",
    b"Empty: ",
    b"X:1",
    b"X:  1",
    b"X: 1 ",
    b"X: 1\t",
    b"X_Y: 1",
    b"X : 1",
    b" folded",
    b"X: a\x00",
    b"X: a\nY: b",
    b"X: a\rb",
    b"X: a\x7f",
    b"Connection: X",
    b"Connection: keep-alive, X",
    b"Connection: close\r\nConnection: close",
    b"Content-Length: 5\r\nContent-Length: 5",
    b"Content-Length: 05",
    b"Content-Length: +5",
    b"Content-Length: 1234567890123456789",
    b"Content-Length: 5\r\nTransfer-Encoding: chunked",
    b"Transfer-Encoding: chunked\r\nContent-Length: 5",
    b"Transfer-Encoding: gzip",
    b"Transfer-Encoding: chunked, chunked",
    b"Upgrade: websocket\r\nUpgrade: websocket",
    b"Expect: 100-continue",
    b"Expect: magic\r\nContent-Length: 1",
    b"Trailer: x",
    b"max-forwards: 1",
    b"Expect: 100-continue\r\nExpect: 100-continue\r\nContent-Length: 1",
]


@pytest.mark.parametrize("line", DOUBTFUL_REQUEST_LINES)
def test_doubtful_request_lines(line: bytes) -> None:
    assert parse_request(line + b"\r\nHost: a\r\n\r\n", LIMITS, known_request_lines()) is None


@pytest.mark.parametrize("field", DOUBTFUL_FIELDS)
def test_doubtful_request_fields(field: bytes) -> None:
    assert parse_request(b"GET / HTTP/1.1\r\nHost: a\r\n" + field + b"\r\n\r\n", LIMITS, known_request_lines()) is None


@pytest.mark.parametrize("host", [b"", b"a,b", b"u@a", b"[::1]", b"a:", b"a:65536", b"a:b", b"a b"])
def test_doubtful_hosts(host: bytes) -> None:
    assert parse_request(b"GET / HTTP/1.1\r\nHost: " + host + b"\r\n\r\n", LIMITS, known_request_lines()) is None


def test_without_host() -> None:
    assert parse_request(b"GET / HTTP/1.1\r\nX: 1\r\n\r\n", LIMITS, known_request_lines()) is None


def test_over_a_limit() -> None:
    raw = b"GET /abc HTTP/1.1\r\nHost: a\r\nX: 1\r\n\r\n"
    enough = HeadLimits(head_bytes=len(raw), fields=2, target_bytes=4)
    assert parse_request(raw, enough, known_request_lines()) is not None
    assert parse_request(raw, HeadLimits(head_bytes=len(raw) - 1), known_request_lines()) is None
    assert parse_request(raw, HeadLimits(fields=1), known_request_lines()) is None
    assert parse_request(raw, HeadLimits(target_bytes=3), known_request_lines()) is None


@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\nDate: x\r\nContent-Length: 70\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 404 \r\nContent-Length: 0\r\nconnection: close\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX_Y: 1\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\nServer: x\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
        b"HTTP/1.1 407 Proxy\r\nProxy-Authenticate: x\r\nTE: x\r\nHTTP2-Settings: x\r\n\r\n",
    ],
)
def test_usual_responses_need_no_judge(raw: bytes, method: bytes) -> None:
    assert parse_response(raw, method, known_response_lines()) == judge_response(raw, method)


@pytest.mark.parametrize(
    ("raw", "length", "keep_alive"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 70\r\n\r\n", 70, True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 70\r\nConnection: close\r\n\r\n", 70, False),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", CHUNKED, True),
        (b"HTTP/1.1 200 OK\r\nX: 1\r\n\r\n", UNTIL_CLOSE, False),
    ],
)
def test_response_framing(raw: bytes, length: int, keep_alive: bool) -> None:
    head = parse_response(raw, b"GET", known_response_lines())
    assert head is not None
    assert (head.length, head.keep_alive) == (length, keep_alive)


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.0 200 OK\r\n\r\n",
        b"HTTP/1.1 200\r\n\r\n",
        b"HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 600 X\r\n\r\n",
        b"HTTP/1.1 204 X\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 204 X\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nConnection: X\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nConnection: close\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nKeep-Alive: timeout=1\r\nKeep-Alive: timeout=2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX:1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTrailer: X\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nHTTP/1.1 200 OK\r\n\r\n",
        b"X: 1\r\nX: 1\r\n\r\n",
        b"Date: 1\r\nX: 1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\nX: 1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: 1\r\n",
    ],
)
def test_doubtful_responses(raw: bytes) -> None:
    assert parse_response(raw, b"GET", known_response_lines()) is None
