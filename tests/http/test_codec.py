"""Heads found in buffers, refused as early as possible, and written again."""

from __future__ import annotations

import pytest

from wsproxy.http.codec import (
    encode_request,
    encode_response,
    read_request_head,
    read_response_head,
    with_host,
    with_trailer,
    with_via,
)
from wsproxy.http.messages import (
    CHUNKED,
    HeadLimits,
    MalformedRequestError,
    MalformedResponseError,
    RequestHead,
    ResponseHead,
    field_values,
)

LIMITS = HeadLimits()
SMALL = HeadLimits(head_bytes=200, fields=5, target_bytes=100)
REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def refusal(buffer: bytes, limits: HeadLimits = LIMITS) -> int:
    with pytest.raises(MalformedRequestError) as caught:
        read_request_head(buffer, limits)
    return caught.value.status


def test_a_request_and_what_follows() -> None:
    found = read_request_head(REQUEST + b"rest", LIMITS)
    assert found is not None
    head, consumed = found
    assert (head.authority, consumed) == (b"a", len(REQUEST))


@pytest.mark.parametrize("raw", [REQUEST, b"\r\n" * 4 + REQUEST, b"GET / HTTP/1.2\r\nHost: a\r\n\r\n"])
def test_a_request_byte_by_byte(raw: bytes) -> None:
    assert [read_request_head(raw[:n], LIMITS) for n in range(len(raw))] == [None] * len(raw)
    found = read_request_head(raw, LIMITS)
    assert found is not None
    assert found[1] == len(raw)


def test_the_judge_reads_what_is_odd() -> None:
    found = read_request_head(b"GET http://b/x HTTP/1.1\r\nHOST:a\r\n\r\n", LIMITS)
    assert found is not None
    assert (found[0].target, found[0].fields) == (b"/x", b"HOST: b\r\n")


@pytest.mark.parametrize(
    ("buffer", "status"),
    [
        (b"\r\n" * 5, 400),
        (b"\r\n" * 5 + REQUEST, 400),
        (b"\n", 400),
        (b"\n" + REQUEST, 400),
        (b"\rG", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00", 400),
        (b" GET", 400),
        (b"\x00", 400),
        (b"GET / HTTP/1.1\nHost: a\n\n", 400),
        (b"GET / HTTP/1.1\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\n\n", 400),
        (b"GET / HTTP/1.1\rHost: a\r\r", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\r", 400),
        (b"GET /\r\n", 400),
        (b"GET /a b HTTP/1.1\r\n", 400),
        (b"hello\r\n", 400),
        (b"GET / HTTP/2.0\r\n", 505),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        (b"CONNECT a:1 HTTP/1.2\r\n", 501),
        (b"A" * 200, 414),
        (b"GET /" + b"a" * 101 + b" HTTP/1.1\r\n", 414),
        (b"GET /" + b"a" * 101 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * 200, 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 200 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: a\r\n" * 5 + b"\r\n", 431),
    ],
)
def test_requests_refused_at_sight(buffer: bytes, status: int) -> None:
    assert refusal(buffer, SMALL) == status


def test_a_long_but_allowed_target_is_waited_for() -> None:
    line = b"GET /" + b"a" * 99 + b" HTTP/1.1\r\n"
    assert read_request_head(line, SMALL) is None


# ---- responses ----


def test_a_response_byte_by_byte() -> None:
    raw = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
    assert [read_response_head(raw[:n], b"GET", 1000) for n in range(len(raw))] == [None] * len(raw)
    found = read_response_head(raw + b"hello", b"GET", len(raw))
    assert found is not None
    assert (found[0].length, found[1]) == (5, len(raw))


def test_interim_and_switching_responses() -> None:
    found = read_response_head(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", b"GET", 1000)
    assert found is not None
    assert (found[0].status, found[0].length, found[1]) == (100, 0, 25)
    found = read_response_head(b"HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", b"GET", 1000)
    assert found is not None
    assert found[0].upgrade == b"websocket"


@pytest.mark.parametrize(
    "buffer",
    [
        b"\r\n",
        b"SSH-2.0-x",
        b"HTTP/2",
        b"\x15\x03",
        b"HTTP/1.1 200 OK\n",
        b"HTTP/1.1 200 OK\r\nA: b\n\n",
        b"HTTP/1.1 200 OK\rA",
        b"HTTP/1.1 200 OK\r\n" + b"A" * 100,
        b"HTTP/1.1 200 OK\r\nA: " + b"b" * 100 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA b\r\n\r\n",
        b"SIP/2.0 200 OK\r\n\r\n",
    ],
)
def test_responses_refused(buffer: bytes) -> None:
    with pytest.raises(MalformedResponseError):
        read_response_head(buffer, b"GET", 100)


# ---- writing ----


def request(**parts: object) -> RequestHead:
    head = RequestHead(b"GET", b"/x", 1, b"a", b"Host: a\r\nB: c\r\n", 0, True)
    for name, value in parts.items():
        setattr(head, name, value)
    return head


@pytest.mark.parametrize(
    ("parts", "identity", "written"),
    [
        ({}, b"", b"GET /x HTTP/1.1\r\nHost: a\r\nB: c\r\n\r\n"),
        ({"keep_alive": False, "minor_version": 0}, b"", b"GET /x HTTP/1.1\r\nHost: a\r\nB: c\r\n\r\n"),
        ({}, b"X-I: 1\r\n", b"GET /x HTTP/1.1\r\nHost: a\r\nB: c\r\nX-I: 1\r\n\r\n"),
        (
            {"length": CHUNKED},
            b"X-I: 1\r\n",
            b"GET /x HTTP/1.1\r\nHost: a\r\nB: c\r\nTransfer-Encoding: chunked\r\nX-I: 1\r\n\r\n",
        ),
        (
            {"upgrade": b"websocket"},
            b"X-I: 1\r\n",
            b"GET /x HTTP/1.1\r\nHost: a\r\nB: c\r\nX-I: 1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        ),
    ],
)
def test_requests_written(parts: dict[str, object], identity: bytes, written: bytes) -> None:
    assert encode_request(request(**parts), identity) == written


@pytest.mark.parametrize(
    ("chunked", "close", "minor_version", "lines"),
    [
        (False, False, 1, b""),
        (True, False, 1, b"Transfer-Encoding: chunked\r\n"),
        (False, True, 1, b"Connection: close\r\n"),
        (True, True, 1, b"Transfer-Encoding: chunked\r\nConnection: close\r\n"),
        (False, True, 0, b"Connection: close\r\n"),
        (False, False, 0, b"Connection: keep-alive\r\n"),
    ],
)
def test_responses_written(chunked: bool, close: bool, minor_version: int, lines: bytes) -> None:
    head = ResponseHead(200, b"Fine", 0, b"A: b\r\n", 5, True)
    assert encode_response(head, chunked, close, minor_version) == b"HTTP/1.1 200 Fine\r\nA: b\r\n" + lines + b"\r\n"


def test_a_switch_written() -> None:
    head = ResponseHead(101, b"", 1, b"A: b\r\n", 0, True, upgrade=b"websocket")
    expected = b"HTTP/1.1 101 \r\nA: b\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    assert encode_response(head, chunked=False, close=False, minor_version=1) == expected


@pytest.mark.parametrize("fields", [b"A: b\r\n", b"hoSt: x\r\nA: b\r\n", b"A: b\r\nHost: x:80\r\n"])
def test_host_replaced(fields: bytes) -> None:
    head = request(fields=fields)
    with_host(head, b"backend:9001")
    assert (head.fields, head.authority) == (b"Host: backend:9001\r\nA: b\r\n", b"a")


def test_announced_trailers_stand_at_the_end_of_a_written_head() -> None:
    written = with_trailer(b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n", b"X, Y")
    assert written == b"HTTP/1.1 200 OK\r\nA: b\r\nTrailer: X, Y\r\n\r\n"


def test_via_is_added_to_a_copy() -> None:
    head = ResponseHead(200, b"OK", 1, b"A: b\r\n", 0, True)
    assert with_via(head, b"me").fields == b"A: b\r\nVia: 1.1 me\r\n"
    assert head.fields == b"A: b\r\n"


# ---- shapes ----


def test_field_values() -> None:
    fields = b"A: 1\r\nb-c: x: y\r\na: 2\r\nAA: 3\r\nE: \r\n"
    assert field_values(fields, b"a") == [b"1", b"2"]
    assert field_values(fields, b"B-C") == [b"x: y"]
    assert field_values(fields, b"e") == [b""]
    assert field_values(fields, b"zz") == []


def test_heads_compare_and_print() -> None:
    assert request() == request()
    assert request() != request(target=b"/")
    assert "target=b'/x'" in repr(request())
    answer = ResponseHead(200, b"OK", 1, b"", 0, True)
    assert answer == ResponseHead(200, b"OK", 1, b"", 0, True)
    assert answer != request()
    assert "status=200" in repr(answer)
