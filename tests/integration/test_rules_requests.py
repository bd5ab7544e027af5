"""Request heads on raw sockets, rule by rule: what the server gets of them, byte for byte, or that it gets nothing."""

from __future__ import annotations

from contextlib import suppress

import pytest

from tests.integration.harness import LOST, connect, get, in_loop, ok, proxied
from tests.integration.rules import CHUNKED, GET, HOST, POST, forwarded, refused

SMUGGLED = b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"

AMBIGUOUS = {
    "CL and TE": (b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", 400),
    "TE and CL": (b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", 400),
    "CL twice": (b"Content-Length: 0\r\nContent-Length: 4\r\n", 400),
    "CL twice the same": (b"Content-Length: 4\r\nContent-Length: 4\r\n", 400),
    "CL list": (b"Content-Length: 4, 4\r\n", 400),
    "CL plus": (b"Content-Length: +4\r\n", 400),
    "CL minus": (b"Content-Length: -4\r\n", 400),
    "CL hex": (b"Content-Length: 0x4\r\n", 400),
    "CL underscore": (b"Content-Length: 1_0\r\n", 400),
    "CL space inside": (b"Content-Length: 1 0\r\n", 400),
    "CL empty": (b"Content-Length:\r\n", 400),
    "CL decimal": (b"Content-Length: 4.0\r\n", 400),
    "CL beyond 2^63": (b"Content-Length: 9223372036854775808\r\n", 400),
    "CL beyond 2^64": (b"Content-Length: 18446744073709551620\r\n", 400),
    "CL other digits": (b"Content-Length: \xd9\xa4\r\n", 400),
    "TE twice": (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", 400),
    "TE chunked twice": (b"Transfer-Encoding: chunked, chunked\r\n", 400),
    "TE identity": (b"Transfer-Encoding: identity\r\n", 400),
    "TE xchunked": (b"Transfer-Encoding: xchunked\r\n", 400),
    "TE chunkedx": (b"Transfer-Encoding: chunkedx\r\n", 400),
    "TE quoted": (b'Transfer-Encoding: "chunked"\r\n', 400),
    "TE with a parameter": (b"Transfer-Encoding: chunked;q=1\r\n", 400),
    "TE comma": (b"Transfer-Encoding: ,chunked\r\n", 400),
    "TE empty": (b"Transfer-Encoding:\r\n", 400),
    "TE chunked first": (b"Transfer-Encoding: chunked, gzip\r\n", 400),
    "TE gzip": (b"Transfer-Encoding: gzip, chunked\r\n", 501),
    "TE vertical tab": (b"Transfer-Encoding: \x0bchunked\r\n", 400),
    "TE NUL": (b"Transfer-Encoding: chunked\x00\r\n", 400),
    "TE space before colon": (b"Transfer-Encoding : chunked\r\n", 400),
    "TE tab before colon": (b"Transfer-Encoding\t: chunked\r\n", 400),
    "TE folded": (b"Transfer-Encoding:\r\n chunked\r\n", 400),
    "TE in a folded line": (b"X: a\r\n Transfer-Encoding: chunked\r\n", 400),
    "TE behind a bare CR": (b"X: a\rTransfer-Encoding: chunked\r\n", 400),
    "TE behind a bare LF": (b"X: a\nTransfer-Encoding: chunked\r\n", 400),
    "TE behind NUL": (b"X: a\x00Transfer-Encoding: chunked\r\n", 400),
    "TE in the first folded line": (b" Transfer-Encoding: chunked\r\n", 400),
    "no colon": (b"Transfer-Encoding chunked\r\n", 400),
    "no name": (b": chunked\r\n", 400),
    "odd name": (b"Transfer Encoding: chunked\r\n", 400),
    "name of high bytes": (b"Transfer-Encoding\xa0: chunked\r\n", 400),
}


@pytest.mark.parametrize(("lines", "status"), AMBIGUOUS.values(), ids=AMBIGUOUS)
@in_loop
async def test_what_could_be_read_in_two_ways_is_refused_and_nothing_forwarded(lines: bytes, status: int) -> None:
    assert (await refused(POST + lines + b"\r\n" + SMUGGLED))[0] == status


@in_loop
async def test_a_field_with_an_underscore_is_dropped_and_frames_nothing() -> None:
    message, raw = await forwarded(POST + b"Content_Length: 9\r\nTransfer_Encoding: chunked\r\nX_Y: 1\r\n\r\n")
    assert raw == POST + b"\r\n"
    assert message.body == b""


@in_loop
async def test_a_field_with_an_underscore_passes_where_asked_unless_it_looks_like_framing() -> None:
    lines = b"Content_Length: 9\r\nX_Forwarded_For: 6.6.6.6\r\nX_Y: 1\r\n\r\n"
    _, raw = await forwarded(POST + lines, "underscores_in_headers = yes")
    assert raw == POST + b"X_Y: 1\r\n\r\n"


@in_loop
async def test_transfer_encoding_of_http_1_0_is_refused() -> None:
    assert (await refused(b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n" + SMUGGLED))[0] == 400


BROKEN_LINES = {
    "bare LF everywhere": (b"GET / HTTP/1.1\nHost: a\n\n", 400),
    "bare LF behind the request line": (b"GET / HTTP/1.1\nHost: a\r\n\r\n", 400),
    "bare CR in the request line": (b"GET /\r HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "NUL in the target": (b"GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "HTTP/0.9": (b"GET /\r\n", 400),
    "HTTP/0.9 with a line behind": (b"GET /\r\nHost: a\r\n\r\n", 400),
    "no target": (b"GET HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "two spaces": (b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "tab": (b"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "space behind": (b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400),
    "space in the target": (b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "lower-case version": (b"GET / http/1.1\r\nHost: a\r\n\r\n", 400),
    "no version digits": (b"GET / HTTP/1\r\nHost: a\r\n\r\n", 400),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    "HTTP/3": (b"GET / HTTP/3.0\r\nHost: a\r\n\r\n", 505),
    "method of no token": (b"G@T / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "high bytes in the target": (b"GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", 400),
    "fragment": (b"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "authority form": (b"GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "CONNECT": (b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", 501),
    "asterisk of GET": (b"GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "relative": (b"GET a/b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "user information": (b"GET http://u:p@a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "empty authority": (b"GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "other scheme": (b"GET ftp://a/x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "above the root": (b"GET /../etc HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "above the root, encoded": (b"GET /a/%2e%2e/.%2E/x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "no Host": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "no Host but an authority": (b"GET http://a/ HTTP/1.1\r\n\r\n", 400),
    "two Hosts": (b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
    "two Hosts of HTTP/1.0": (b"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    "empty Host": (b"GET / HTTP/1.1\r\nHost:\r\n\r\n", 400),
    "Host list": (b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400),
    "Host with a path": (b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
    "Host with a user": (b"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", 400),
    "Host with a bad port": (b"GET / HTTP/1.1\r\nHost: a:99999\r\n\r\n", 400),
    "Host of a bare IPv6": (b"GET / HTTP/1.1\r\nHost: ::1\r\n\r\n", 400),
    "other expectation": (POST + b"Content-Length: 1\r\nExpect: magic\r\n\r\n", 417),
    "endless empty lines": (b"\r\n" * 5, 400),
    "Max-Forwards twice": (b"OPTIONS / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 1\r\nMax-Forwards: 0\r\n\r\n", 400),
}


@pytest.mark.parametrize(("raw", "status"), BROKEN_LINES.values(), ids=BROKEN_LINES)
@in_loop
async def test_broken_request_lines_targets_and_hosts(raw: bytes, status: int) -> None:
    assert (await refused(raw))[0] == status


TOO_LARGE = {
    "target": (b"GET /" + b"a" * 8192 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
    "target without an end": (b"GET /" + b"a" * 9000, 414),
    "one field": (GET + b"X: " + b"a" * 17_000 + b"\r\n\r\n", 431),
    "one field without an end": (GET + b"X: " + b"a" * 17_000, 431),
    "many fields": (GET + b"X: a\r\n" * 100 + b"\r\n", 431),
    "body": (POST + b"Content-Length: 1001\r\n\r\n" + b"a" * 1001, 413),
    "body announced, with an expectation": (POST + b"Content-Length: 1001\r\nExpect: 100-continue\r\n\r\n", 413),
    "body in one chunk": (CHUNKED + b"3e9\r\n" + b"a" * 1001, 413),
}


@pytest.mark.parametrize(("raw", "status"), TOO_LARGE.values(), ids=TOO_LARGE)
@in_loop
async def test_limits(raw: bytes, status: int) -> None:
    assert (await refused(raw, "max_body_size = 1000"))[0] == status


@pytest.mark.parametrize(
    "raw",
    [
        b"GET /" + b"a" * 8191 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        GET + b"X: a\r\n" * 99 + b"\r\n",
        GET + b"X: " + b"a" * 16_000 + b"\r\n\r\n",
        POST + b"Content-Length: 1000\r\n\r\n" + b"a" * 1000,
    ],
)
@in_loop
async def test_at_the_limits_it_passes_untouched(raw: bytes) -> None:
    assert (await forwarded(raw, "max_body_size = 1000"))[1] == raw


UNTOUCHED = {
    "odd method": b"PROPFIND /dav HTTP/1.1\r\nHost: a\r\n\r\n",
    "lower-case method": b"get / HTTP/1.1\r\nHost: a\r\n\r\n",
    "method of signs": b"!#$%&'*+-.^_`|~ / HTTP/1.1\r\nHost: a\r\n\r\n",
    "query and escapes": b'GET /a%2Fb/%zz;x?q=%41&r=[]|{}^\\"<>? HTTP/1.1\r\nHost: a\r\n\r\n',
    "empty query": b"GET /? HTTP/1.1\r\nHost: a\r\n\r\n",
    "two slashes": b"GET //evil.example//x HTTP/1.1\r\nHost: a\r\n\r\n",
    "dot segments": b"GET /a/./b/../c HTTP/1.1\r\nHost: a\r\n\r\n",
    "asterisk": b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    "IPv6 Host with a port": b"GET / HTTP/1.1\r\nHost: [2001:db8::1]:8080\r\n\r\n",
    "Host with an underscore": b"GET / HTTP/1.1\r\nHost: my_site.example\r\n\r\n",
    "high bytes in a value": GET + b"X: caf\xc3\xa9 \xff\r\n\r\n",
    "tab in a value": GET + b"X: a\tb\r\n\r\n",
    "empty value": GET + b"X: \r\n\r\n",
    "fields twice, in their order": GET + b"B: 1\r\nA: 2\r\nb: 3\r\nA: 2\r\n\r\n",
    "colons in a value": GET + b"X: a: b:c\r\n\r\n",
    "signs in a name": GET + b"X!#$%&'*+-.^`|~: 1\r\n\r\n",
    "Max-Forwards of GET": GET + b"Max-Forwards: 0\r\n\r\n",
    "no length on POST": POST + b"\r\n",
    "a length of 0": POST + b"Content-Length: 0\r\n\r\n",
    "a body on GET": GET + b"Content-Length: 3\r\n\r\nabc",
    "a body on DELETE": b"DELETE /x HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\n\r\nabc",
    "traceparent": GET + b"traceparent: 00-" + b"1" * 32 + b"-" + b"2" * 16 + b"-01\r\ntracestate: a=b\r\n\r\n",
    "authorization and cookies": GET + b"Authorization: Basic eA==\r\nCookie: a=b; c=d\r\nCookie: e=f\r\n\r\n",
}


@pytest.mark.parametrize("raw", UNTOUCHED.values(), ids=UNTOUCHED)
@in_loop
async def test_what_is_legal_passes_untouched(raw: bytes) -> None:
    assert (await forwarded(raw))[1] == raw


REWRITTEN = {
    "white space around a value": (GET + b"X:  \t a b \t\r\nY:c\r\n\r\n", GET + b"X: a b\r\nY: c\r\n\r\n"),
    "empty lines before": (b"\r\n\r\n" + GET + b"\r\n", GET + b"\r\n"),
    "HTTP/1.2": (b"GET / HTTP/1.2\r\n" + HOST + b"\r\n", GET + b"\r\n"),
    "length with zeros": (POST + b"Content-Length: 0003\r\n\r\nabc", POST + b"Content-Length: 3\r\n\r\nabc"),
    "absolute form": (
        b"GET http://b.example:81/x?y HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /x?y HTTP/1.1\r\nHost: b.example:81\r\n\r\n",
    ),
    "absolute form without a path": (
        b"GET HTTP://b?y HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /?y HTTP/1.1\r\nHost: b\r\n\r\n",
    ),
    "absolute form of OPTIONS": (
        b"OPTIONS http://b HTTP/1.1\r\nHost: a\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: b\r\n\r\n",
    ),
    "https": (b"GET https://b/x HTTP/1.1\r\nHost: a\r\n\r\n", b"GET /x HTTP/1.1\r\nHost: b\r\n\r\n"),
    "expectation without a body": (GET + b"Expect: 100-continue\r\n\r\n", GET + b"\r\n"),
    "upgrade that is none of ours": (
        GET + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMA\r\n\r\n",
        GET + b"\r\n",
    ),
    "WebSocket without a route for it": (
        GET + b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n",
        GET + b"Sec-WebSocket-Key: x\r\n\r\n",
    ),
    "Connection in every spelling": (
        GET
        + b"connection: X-A ,x-b\r\nCONNECTION:\tkeep-alive,,X-c\r\nX-A: 1\r\nx-B: 2\r\nX-C: 3\r\nX-D: 4\r\n"
        + b"Connection: close-not, TE\r\nTE: trailers\r\nClose-Not: 5\r\n\r\n",
        GET + b"X-D: 4\r\n\r\n",
    ),
    "Connection cannot take these": (
        POST + b"Connection: Host, Content-Length, X-Forwarded-For\r\nContent-Length: 1\r\n\r\nx",
        POST + b"Content-Length: 1\r\n\r\nx",
    ),
    "other hop-by-hop fields": (
        GET
        + b"Keep-Alive: timeout=5\r\nProxy-Connection: close\r\nTE: trailers, deflate\r\nTrailer: X\r\n"
        + b"Proxy-Authorization: Basic eA==\r\nProxy-Authenticate: Basic\r\n\r\n",
        GET + b"\r\n",
    ),
    "Max-Forwards of OPTIONS": (
        b"OPTIONS / HTTP/1.1\r\n" + HOST + b"Max-Forwards: 10\r\n\r\n",
        b"OPTIONS / HTTP/1.1\r\n" + HOST + b"Max-Forwards: 9\r\n\r\n",
    ),
    "Max-Forwards of TRACE": (
        b"TRACE / HTTP/1.1\r\n" + HOST + b"Max-Forwards: 1\r\n\r\n",
        b"TRACE / HTTP/1.1\r\n" + HOST + b"Max-Forwards: 0\r\n\r\n",
    ),
}


@pytest.mark.parametrize(("raw", "expected"), REWRITTEN.values(), ids=REWRITTEN)
@in_loop
async def test_what_is_legal_but_odd_is_forwarded_in_one_form(raw: bytes, expected: bytes) -> None:
    assert (await forwarded(raw))[1] == expected


@in_loop
async def test_http_1_0_without_a_host_gets_the_servers() -> None:
    message, raw = await forwarded(b"GET /x HTTP/1.0\r\nTE: x\r\n\r\n")
    assert (message.field(b"host") or b"").startswith(b"127.0.0.1:")
    assert raw.startswith(b"GET /x HTTP/1.1\r\nHost: ")


@pytest.mark.parametrize("method", [b"OPTIONS", b"TRACE"])
@in_loop
async def test_max_forwards_0_is_answered_here(method: bytes) -> None:
    raw = method + b" /x HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\nCookie: secret\r\nX: shown\r\n\r\n"
    async with proxied(ok()) as (server, running), await connect(running.port) as client:
        for _ in range(2):
            await client.send(raw)
            response = await client.response()
            assert response.status == 200
            if method == b"TRACE":
                assert response.field(b"content-type") == b"message/http"
                assert response.body == raw.replace(b"Cookie: secret\r\n", b"")
            else:
                assert response.body == b""
        await client.send(get())
        assert (await client.response()).body == b"fine"
        assert server.requests == [b"GET / HTTP/1.1"]


@in_loop
async def test_max_forwards_0_with_a_body_ends_the_connection() -> None:
    raw = b"OPTIONS /x HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\nContent-Length: 5\r\n\r\nGET /"
    async with proxied(ok()) as (server, running), await connect(running.port) as client:
        await client.send(raw)
        assert (await client.response()).field(b"connection") == b"close"
        with suppress(*LOST):
            await client.send(get())
        assert await client.rest() == b""
        assert server.requests == []
