"""The judge, rule by rule, on bytes."""

from __future__ import annotations

import pytest

from wsproxy.http.h11_codec import is_authority, judge_request, judge_response, keep_alive_timeout
from wsproxy.http.messages import (
    CHUNKED,
    UNTIL_CLOSE,
    HeadLimits,
    MalformedRequestError,
    MalformedResponseError,
    RequestHead,
)

LIMITS = HeadLimits()


def ask(*lines: bytes, line: bytes = b"GET / HTTP/1.1", limits: HeadLimits = LIMITS) -> RequestHead:
    """Judge a request of these field lines; HTTP/1.1 gets a Host in front unless a line names one."""
    if not any(each.lower().startswith(b"host") for each in lines) and line.endswith(b"/1.1"):
        lines = (b"Host: a", *lines)
    return judge_request(b"\r\n".join([line, *lines, b"", b""]), limits)


def refusal(*lines: bytes, line: bytes = b"GET / HTTP/1.1", limits: HeadLimits = LIMITS) -> int:
    with pytest.raises(MalformedRequestError) as caught:
        ask(*lines, line=line, limits=limits)
    assert str(caught.value)
    return caught.value.status


def test_plain_request() -> None:
    head = ask(b"Host: a.example:8080", b"X-Odd-CASE:  two words \t", b"Empty:", line=b"PATCH /x?y HTTP/1.1")
    assert head == RequestHead(
        b"PATCH",
        b"/x?y",
        1,
        b"a.example:8080",
        b"Host: a.example:8080\r\nX-Odd-CASE: two words\r\nEmpty: \r\n",
        0,
        True,
    )


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"GET /", 400),
        (b"GET / http/1.1", 400),
        (b"GET  / HTTP/1.1", 400),
        (b"GET / HTTP/1.1 ", 400),
        (b" GET / HTTP/1.1", 400),
        (b"GET\t/ HTTP/1.1", 400),
        (b"GET / x HTTP/1.1", 400),
        (b"G(T / HTTP/1.1", 400),
        (b"GET /\x80 HTTP/1.1", 400),
        (b"GET / HTTP/1.10", 400),
        (b"GET / HTTP/11", 400),
        (b"GET / HTTP/+1.1", 400),
        (b"GET /a#b HTTP/1.1", 400),
        (b"GET * HTTP/1.1", 400),
        (b"GET a HTTP/1.1", 400),
        (b"GET a:80 HTTP/1.1", 400),
        (b"GET ?x HTTP/1.1", 400),
        (b"GET ftp://a/ HTTP/1.1", 400),
        (b"GET ws://a/ HTTP/1.1", 400),
        (b"GET http:/a/ HTTP/1.1", 400),
        (b"GET http:///x HTTP/1.1", 400),
        (b"GET http://u@a/ HTTP/1.1", 400),
        (b"GET http://a:x/ HTTP/1.1", 400),
        (b"GET http://a/#b HTTP/1.1", 400),
        (b"CONNECT a:80 HTTP/1.1", 501),
        (b"CONNECT / HTTP/1.1", 501),
        (b"GET / HTTP/2.0", 505),
        (b"PRI * HTTP/2.0", 505),
        (b"GET / HTTP/0.9", 505),
        (b"GET / HTTP/3.0", 505),
        (b"GET /" + b"a" * 8192 + b" HTTP/1.1", 414),
    ],
)
def test_request_lines_refused(line: bytes, status: int) -> None:
    assert refusal(b"Host: a", line=line) == status


@pytest.mark.parametrize(
    ("line", "target", "authority"),
    [
        (b"GET http://b.example:81/x?y HTTP/1.1", b"/x?y", b"b.example:81"),
        (b"GET HTTPS://b HTTP/1.1", b"/", b"b"),
        (b"GET http://b?q=1/2 HTTP/1.1", b"/?q=1/2", b"b"),
        (b"OPTIONS http://b HTTP/1.1", b"*", b"b"),
        (b"OPTIONS http://b/ HTTP/1.1", b"/", b"b"),
        (b"OPTIONS http://b?x HTTP/1.1", b"/?x", b"b"),
        (b"OPTIONS * HTTP/1.1", b"*", b"a"),
        (b"GET //x/../y HTTP/1.1", b"//x/../y", b"a"),
        (b'GET /"{|}^` HTTP/1.1', b'/"{|}^`', b"a"),
        (b"get / HTTP/1.1", b"/", b"a"),
    ],
)
def test_targets_and_whose_authority_wins(line: bytes, target: bytes, authority: bytes) -> None:
    head = ask(b"X: 1", b"Host: a", line=line)
    assert (head.target, head.authority) == (target, authority)
    assert head.fields == b"X: 1\r\nHost: " + authority + b"\r\n"


def test_the_authority_of_a_target_makes_a_host_on_http_1_0() -> None:
    assert ask(b"X: 1", line=b"GET http://b/ HTTP/1.0").fields == b"Host: b\r\nX: 1\r\n"


@pytest.mark.parametrize("version", [b"1.2", b"1.9"])
def test_a_higher_minor_version_is_read_as_1_1(version: bytes) -> None:
    head = ask(b"Host: a", line=b"GET / HTTP/" + version)
    assert (head.minor_version, head.keep_alive) == (1, True)


@pytest.mark.parametrize(
    "value",
    [b"a", b"a.example", b"a_b", b"a:80", b"a:", b"127.0.0.1:1", b"[::1]", b"[::1]:65535", b"xn--a~.b", b"a:00080"],
)
def test_authorities_accepted(value: bytes) -> None:
    assert is_authority(value)
    assert ask(b"Host:" + value).authority == value


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b" ",
        b"a b",
        b"a,b",
        b"u@a",
        b"a/b",
        b"a?b",
        b"a#b",
        b"a:b",
        b"a:65536",
        b"a:000080",
        b"a:-1",
        b":80",
        b"[::1",
        b"::1",
        b"[]",
        b"[::g]",
        b"[1::2::3]",
        b"[::1%25eth0]",
        b"[v1.x]",
        b"a\\b",
        b"a%41",
        b"a:1:2",
        b"\xe4",
        b'"a"',
    ],
)
def test_hosts_refused(value: bytes) -> None:
    assert refusal(b"Host: " + value) == 400


@pytest.mark.parametrize(
    "lines",
    [
        (b"Host: a", b"Host: a"),
        (b"Host: a", b"host: b"),
        (b"Host : a",),
        (b"Host: a", b"Content-Length: 5", b"Content-Length: 5"),
        (b"Content-Length: 5", b"Content-Length: 6"),
        (b"Content-Length: 5, 5",),
        (b"Content-Length:",),
        (b"Content-Length: +5",),
        (b"Content-Length: -5",),
        (b"Content-Length: 5_0",),
        (b"Content-Length: 5 0",),
        (b"Content-Length: 0x5",),
        (b"Content-Length: 5.0",),
        (b"Content-Length: \xb2",),
        (b"Content-Length: 9223372036854775808",),
        (b"Content-Length: 99999999999999999999999",),
        (b"Content-Length: 5", b"Transfer-Encoding: chunked"),
        (b"transfer-encoding: chunked", b"CONTENT-LENGTH: 0"),
        (b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
        (b"Transfer-Encoding: chunked, chunked",),
        (b"Transfer-Encoding: chunked,",),
        (b"Transfer-Encoding: , chunked",),
        (b"Transfer-Encoding:",),
        (b'Transfer-Encoding: "chunked"',),
        (b"Transfer-Encoding: chunked;q=1",),
        (b"Transfer-Encoding : chunked",),
        (b"Transfer-Encoding\t: chunked",),
        (b"X: a\x00b",),
        (b"X: a\rb",),
        (b"X: a\nb",),
        (b"X: a\x7fb",),
        (b"X: a\x01b",),
        (b"X: a\x0bb",),
        (b"X: a\r\r",),
        (b"X\x00: a",),
        (b"X: a", b" folded"),
        (b"X: a", b"\tfolded"),
        (b": a",),
        (b"no colon",),
        (b"X Y: a",),
        (b"X(: a",),
        (b"\xe4: a",),
        (b"Host: a\nContent-Length: 3",),
    ],
)
def test_fields_refused(lines: tuple[bytes, ...]) -> None:
    assert refusal(*lines, line=b"POST / HTTP/1.1") == 400


def test_first_line_folded() -> None:
    assert refusal(b" Host: a") == 400
    assert refusal(b"\tX: a", b"Host: a") == 400


def test_host_is_needed_on_1_1_only() -> None:
    with pytest.raises(MalformedRequestError) as caught:
        judge_request(b"GET / HTTP/1.1\r\n\r\n", LIMITS)
    assert caught.value.status == 400
    head = ask(line=b"GET / HTTP/1.0")
    assert (head.authority, head.fields, head.minor_version, head.keep_alive) == (b"", b"", 0, False)
    assert ask(b"Host:", b"X: 1", line=b"GET / HTTP/1.0").fields == b"X: 1\r\n"
    assert refusal(b"Host: a,b", line=b"GET / HTTP/1.0") == 400


@pytest.mark.parametrize(
    ("lines", "length", "kept"),
    [
        ((), 0, b""),
        ((b"Content-Length: 0",), 0, b"Content-Length: 0\r\n"),
        ((b"content-length:\t007 ",), 7, b"content-length: 7\r\n"),
        ((b"Content-Length: 9223372036854775807",), 2**63 - 1, b"Content-Length: 9223372036854775807\r\n"),
        ((b"Transfer-Encoding:CHUNKED ",), CHUNKED, b""),
    ],
)
def test_framing(lines: tuple[bytes, ...], length: int, kept: bytes) -> None:
    head = ask(*lines, line=b"POST / HTTP/1.1")
    assert (head.length, head.fields) == (length, b"Host: a\r\n" + kept)


@pytest.mark.parametrize(
    ("value", "status"),
    [
        (b"gzip, chunked", 501),
        (b"gzip,chunked , chunked", 501),
        (b"gzip", 400),
        (b"identity", 400),
        (b"chunked, gzip", 400),
        (b"xchunked", 400),
    ],
)
def test_unknown_codings(value: bytes, status: int) -> None:
    assert refusal(b"Transfer-Encoding: " + value) == status


def test_transfer_encoding_on_1_0() -> None:
    assert refusal(b"Transfer-Encoding: chunked", line=b"POST / HTTP/1.0") == 400


def test_limits() -> None:
    limits = HeadLimits(head_bytes=100, fields=3, target_bytes=10)
    assert ask(b"X: 1", b"Y: 1", limits=limits).length == 0
    assert refusal(b"X: 1", b"Y: 1", b"Z: 1", limits=limits) == 431
    assert refusal(b"X: " + b"1" * 80, limits=limits) == 431
    assert refusal(line=b"GET /2345678901 HTTP/1.1", limits=limits) == 414


def test_a_head_that_is_not_whole() -> None:
    with pytest.raises(MalformedRequestError, match="incomplete"):
        judge_request(b"GET / HTTP/1.1\r\nHost: a\r\n", LIMITS)
    with pytest.raises(MalformedResponseError, match="incomplete"):
        judge_response(b"HTTP/1.1 200 OK\r\nA: b\r\n", b"GET")


HOP_BY_HOP_LINES = (
    b"Keep-Alive: 5",
    b"Proxy-Connection: x",
    b"TE: trailers",
    b"Trailer: X",
    b"Upgrade: h2c",
    b"Proxy-Authenticate: x",
    b"Proxy-Authorization: x",
    b"HTTP2-Settings: x",
)


def test_hop_by_hop_fields_are_removed() -> None:
    head = ask(b"CONNECTION: a, ,X-Mine", *HOP_BY_HOP_LINES, b"x-mine: 1", b"A: 1", b"B: 1", b"connection:b")
    assert (head.fields, head.upgrade) == (b"Host: a\r\n", b"")


@pytest.mark.parametrize(
    "name",
    [b"Host", b"Content-Length", b"Transfer-Encoding", b"X-Forwarded-For", b"Forwarded", b"X-Request-Id", b"Close"],
)
def test_fields_that_connection_cannot_take_away(name: bytes) -> None:
    value = {b"Host": b"a", b"Transfer-Encoding": b"chunked"}.get(name, b"5")
    plain = ask(name + b": " + value)
    nominated = ask(b"Connection: " + name, name + b": " + value)
    assert nominated.fields == plain.fields
    assert (nominated.length, nominated.claims, nominated.authority) == (plain.length, plain.claims, b"a")


def test_other_x_forwarded_fields_cannot_be_taken_away_either() -> None:
    assert ask(b"Connection: x-forwarded-port", b"X-Forwarded-Port: 1").fields == b"Host: a\r\nX-Forwarded-Port: 1\r\n"


@pytest.mark.parametrize(
    ("version", "lines", "keep_alive"),
    [
        (b"1.1", (), True),
        (b"1.1", (b"Connection: CLOSE",), False),
        (
            b"1.1",
            (
                b"Connection: a",
                b"connection: b ,close",
            ),
            False,
        ),
        (b"1.1", (b"Connection: keep-alive, close",), False),
        (b"1.1", (b"Connection: closed",), True),
        (b"1.1", (b"Proxy-Connection: close",), True),
        (b"1.0", (), False),
        (b"1.0", (b"Connection: Keep-Alive",), True),
        (b"1.0", (b"Connection: keep-alive, close",), False),
    ],
)
def test_persistence(version: bytes, lines: tuple[bytes, ...], keep_alive: bool) -> None:
    assert ask(b"Host: a", *lines, line=b"GET / HTTP/" + version).keep_alive is keep_alive


@pytest.mark.parametrize(
    ("line", "lines", "upgrade"),
    [
        (b"GET / HTTP/1.1", (b"Connection: keep-alive, UPGRADE", b"Upgrade: WebSocket"), b"websocket"),
        (b"GET / HTTP/1.1", (b"Connection: upgrade", b"Upgrade: websocket", b"Content-Length: 0"), b"websocket"),
        (b"GET / HTTP/1.1", (b"Connection: upgrade", b"Upgrade: websocket", b"Content-Length: 1"), b""),
        (b"GET / HTTP/1.1", (b"Connection: upgrade", b"Upgrade: websocket", b"Transfer-Encoding: chunked"), b""),
        (b"GET / HTTP/1.1", (b"Connection: close", b"Upgrade: websocket"), b""),
        (b"GET / HTTP/1.1", (b"Connection: upgrade",), b""),
        (b"GET / HTTP/1.1", (b"Connection: upgrade", b"Upgrade: h2c"), b""),
        (b"GET / HTTP/1.1", (b"Connection: upgrade", b"Upgrade: websocket, h2c"), b"websocket"),
        (b"GET / HTTP/1.1", (b"Connection: upgrade", b"Upgrade: h2c,WebSocket"), b"websocket"),
        (b"GET / HTTP/1.1", (b"Connection: upgrade", b"Upgrade: h2c", b"Upgrade: websocket"), b"websocket"),
        (b"GET / HTTP/1.1", (b"Connection: upgrade", b"Upgrade: h2c, websocket/13"), b""),
        (b"POST / HTTP/1.1", (b"Connection: upgrade", b"Upgrade: websocket"), b""),
        (b"GET / HTTP/1.0", (b"Connection: upgrade", b"Upgrade: websocket"), b""),
    ],
)
def test_upgrades(line: bytes, lines: tuple[bytes, ...], upgrade: bytes) -> None:
    head = ask(b"Host: a", *lines, line=line)
    assert head.upgrade == upgrade
    assert b"pgrade" not in head.fields


@pytest.mark.parametrize(
    ("line", "lines", "expects", "forwarded"),
    [
        (b"POST / HTTP/1.1", (b"Expect: 100-Continue", b"Content-Length: 1"), True, True),
        (b"POST / HTTP/1.1", (b"Expect: 100-continue", b"Transfer-Encoding: chunked"), True, True),
        (b"POST / HTTP/1.1", (b"Expect: 100-continue", b"Content-Length: 0"), False, False),
        (b"GET / HTTP/1.1", (b"Expect: 100-continue",), False, False),
        (b"POST / HTTP/1.0", (b"Expect: 100-continue", b"Content-Length: 1"), False, False),
        (b"POST / HTTP/1.0", (b"Expect: magic", b"Content-Length: 1"), False, False),
    ],
)
def test_expectations(line: bytes, lines: tuple[bytes, ...], expects: bool, forwarded: bool) -> None:
    head = ask(*lines, line=line)
    assert (head.expect_continue, b"Expect:" in head.fields) == (expects, forwarded)


@pytest.mark.parametrize(
    "lines", [(b"Expect: magic",), (b"Expect:",), (b"Expect: 100-continue", b"Expect: 100-continue")]
)
def test_expectations_refused(lines: tuple[bytes, ...]) -> None:
    assert refusal(*lines, b"Content-Length: 1", line=b"POST / HTTP/1.1") == 417


def test_claims_are_taken_out_and_joined() -> None:
    head = ask(
        b"X-Forwarded-For: 1.2.3.4", b"X-FORWARDED-FOR: 5.6.7.8", b"Forwarded: for=x", b"X-Request-ID: r", b"A: 1"
    )
    assert head.fields == b"Host: a\r\nA: 1\r\n"
    assert head.claims == {b"x-forwarded-for": b"1.2.3.4, 5.6.7.8", b"forwarded": b"for=x", b"x-request-id": b"r"}
    assert ask(b"A: 1").claims is None


def test_underscores() -> None:
    lines = (b"a_b: 1", b"Content_Length: 5", b"X_Forwarded_For: 1", b"Transfer_Encoding: chunked")
    assert ask(*lines).fields == b"Host: a\r\n"
    assert ask(*lines, limits=HeadLimits(underscores=True)).fields == b"Host: a\r\na_b: 1\r\n"


# ---- responses ----


def test_plain_response() -> None:
    lines = (b"HTTP/1.1 200 Fine  indeed", b"Set-Cookie: a=1", b"set-cookie:b=2", b"Content-Length: 05", b"X_Y: z")
    head = judge_response(b"\r\n".join([*lines, b"", b""]), b"GET")
    assert (head.status, head.reason, head.minor_version) == (200, b"Fine  indeed", 1)
    assert (head.length, head.keep_alive) == (5, True)
    assert head.fields == b"Set-Cookie: a=1\r\nset-cookie: b=2\r\nContent-Length: 5\r\nX_Y: z\r\n"
    assert (head.keep_alive_timeout_s, head.upgrade) == (None, b"")


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775808\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 103 Hints\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n A: b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: b\nC: d\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: b\rc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: b\x00c\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 O\x01K\r\n\r\n",
        b"HTTP/1.1 099 OK\r\n\r\n",
        b"HTTP/1.1 600 OK\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1  200 OK\r\n\r\n",
        b"HTTP/2.0 200 OK\r\n\r\n",
        b"http/1.1 200 OK\r\n\r\n",
    ],
)
def test_responses_refused(raw: bytes) -> None:
    with pytest.raises(MalformedResponseError):
        judge_response(raw, b"GET")


@pytest.mark.parametrize(
    ("start", "lines", "method", "length", "keep_alive", "fields"),
    [
        (b"1.1 200", b"Content-Length: 5\r\nContent-Length: 5\r\n", b"GET", 5, True, b"Content-Length: 5\r\n"),
        (b"1.1 200", b"Content-Length: 5, 5\r\n", b"GET", 5, True, b"Content-Length: 5\r\n"),
        (b"1.1 200 OK", b"Transfer-Encoding: Chunked\r\n", b"GET", CHUNKED, True, b""),
        (b"1.1 200 OK", b"", b"GET", UNTIL_CLOSE, False, b""),
        (b"1.0 200 OK", b"Content-Length: 5\r\n", b"GET", 5, False, b"Content-Length: 5\r\n"),
        (b"1.0 200 OK", b"Connection: keep-alive\r\nContent-Length: 5\r\n", b"GET", 5, True, b"Content-Length: 5\r\n"),
        (b"1.1 200 OK", b"Connection: close\r\nContent-Length: 5\r\n", b"GET", 5, False, b"Content-Length: 5\r\n"),
        (b"1.1 200 OK", b"Content-Length: 5\r\n", b"HEAD", 0, True, b"Content-Length: 5\r\n"),
        (b"1.1 200 OK", b"Transfer-Encoding: chunked\r\n", b"HEAD", 0, True, b""),
        (b"1.1 304 Not Modified", b"Content-Length: 5\r\n", b"GET", 0, True, b"Content-Length: 5\r\n"),
        (b"1.1 204 No Content", b"", b"GET", 0, True, b""),
        (b"1.1 204 No Content", b"Content-Length: 0\r\n", b"GET", 0, True, b""),
        (b"1.1 204 No Content", b"Content-Length: 5\r\n", b"GET", 0, False, b""),
        (b"1.1 204 No Content", b"Transfer-Encoding: chunked\r\n", b"GET", 0, False, b""),
        (b"1.1 103 Hints", b"Link: x\r\nContent-Length: 5\r\n", b"GET", 0, True, b"Link: x\r\n"),
        (b"1.1 100 ", b"", b"GET", 0, True, b""),
        (b"1.2 200 OK", b"Content-Length: 5\r\n", b"GET", 5, True, b"Content-Length: 5\r\n"),
        (
            b"1.1 200 OK",
            b"Connection: X, Content-Length\r\nX: 1\r\nContent-Length: 5\r\n",
            b"GET",
            5,
            True,
            b"Content-Length: 5\r\n",
        ),
        (
            b"1.1 200 OK",
            b"Content-Length: 5\r\n" + b"\r\n".join(HOP_BY_HOP_LINES) + b"\r\n",
            b"GET",
            5,
            True,
            b"Content-Length: 5\r\n",
        ),
    ],
)
def test_response_framing(
    start: bytes, lines: bytes, method: bytes, length: int, keep_alive: bool, fields: bytes
) -> None:
    head = judge_response(b"HTTP/" + start + b"\r\n" + lines + b"\r\n", method)
    assert (head.length, head.keep_alive, head.fields) == (length, keep_alive, fields)


def test_switching_protocols() -> None:
    head = judge_response(b"HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: WebSocket\r\nA: 1\r\n\r\n", b"GET")
    assert (head.upgrade, head.fields, head.length) == (b"websocket", b"A: 1\r\n", 0)
    assert judge_response(b"HTTP/1.1 101 X\r\n\r\n", b"GET").upgrade == b""


@pytest.mark.parametrize(
    ("value", "timeout_s"),
    [
        (b"timeout=5", 5.0),
        (b"max=9, Timeout=15", 15.0),
        (b"", None),
        (b"timeout=x", None),
        (b"xtimeout=5", None),
        (b"timeout=9999999", None),
    ],
)
def test_keep_alive_timeout(value: bytes, timeout_s: float | None) -> None:
    assert keep_alive_timeout(value) == timeout_s
    raw = b"HTTP/1.1 200 OK\r\nKeep-Alive: " + value + b"\r\n\r\n"
    assert judge_response(raw, b"GET").keep_alive_timeout_s == timeout_s


def test_white_space_before_the_colon_of_an_answer_is_taken_out() -> None:
    head = judge_response(b"HTTP/1.1 200 OK : x\r\nContent-Length : 5\r\nA\t : b : c\r\nConnection : A\r\n\r\n", b"GET")
    assert (head.fields, head.length, head.reason) == (b"Content-Length: 5\r\n", 5, b"OK : x")


def test_announced_trailers() -> None:
    lines = (b"Trailer: X-Sum, Content-Length, x_y", b"Trailer: ,a b, Grpc-Status")
    assert ask(*lines).trailer == b"X-Sum, Grpc-Status"
    assert b"railer" not in ask(*lines).fields
    raw = b"\r\n".join([b"HTTP/1.1 200 OK", *lines, b"", b""])
    assert judge_response(raw, b"GET").trailer == b"X-Sum, Grpc-Status"


@pytest.mark.parametrize(
    ("method", "value", "hops", "forwarded"),
    [
        (b"OPTIONS", b"5", 5, b"4"),
        (b"TRACE", b"01", 1, b"0"),
        (b"TRACE", b"0", 0, b"0"),
        (b"OPTIONS", b"9" * 30, 10**18 - 1, b"9" * 17 + b"8"),
        (b"OPTIONS", b"0" * 5000 + b"3", 3, b"2"),
        (b"GET", b"5", None, b"5"),
        (b"GET", b"many", None, b"many"),
    ],
)
def test_max_forwards(method: bytes, value: bytes, hops: int | None, forwarded: bytes) -> None:
    head = ask(b"Max-Forwards: " + value, line=method + b" / HTTP/1.1")
    assert head.max_forwards == hops
    assert head.fields == b"Host: a\r\nMax-Forwards: " + forwarded + b"\r\n"


@pytest.mark.parametrize("lines", [(b"-1",), (b"",), (b"1", b"1"), (b"1, 1",), (b"+1",), (b"x",)])
def test_max_forwards_refused(lines: tuple[bytes, ...]) -> None:
    assert refusal(*(b"Max-Forwards: " + each for each in lines), line=b"OPTIONS * HTTP/1.1") == 400


@pytest.mark.parametrize(
    ("status", "upgrade", "passes"),
    [
        (b"426", b"websocket", True),
        (b"426", b"HTTP/3.0, WebSocket", True),
        (b"426", b"TLS/1.0", False),
        (b"200", b"websocket", False),
    ],
)
def test_a_426_says_what_to_upgrade_to(status: bytes, upgrade: bytes, passes: bool) -> None:
    raw = b"HTTP/1.1 %b X\r\nConnection: Upgrade\r\nUpgrade: %b\r\nContent-Length: 0\r\n\r\n" % (status, upgrade)
    lines = b"Connection: Upgrade\r\nUpgrade: websocket\r\n" if passes else b""
    assert judge_response(raw, b"GET").fields == b"Content-Length: 0\r\n" + lines
