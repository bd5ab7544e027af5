"""Request bodies on raw sockets: one canonical form reaches the server, or an aborted request, or nothing."""

from __future__ import annotations

import asyncio

import pytest

from tests.integration.harness import Wire, connect, eventually, get, in_loop, ok, proxied
from tests.integration.rules import CHUNKED, POST, PUT_CHUNKED, forwarded, refused

CHUNKED_BODIES = {
    "usual": (b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
    "zeros and upper case": (b"00A\r\n0123456789\r\n000\r\n\r\n", b"0123456789"),
    "extensions": (b'5;a;b=c;d="e;\\"f\r"'.replace(b"\r", b"") + b"\r\nhello\r\n0;x=y\r\n\r\n", b"hello"),
    "many extensions": (b"5" + b";name=value" * 300 + b"\r\nhello\r\n0\r\n\r\n", b"hello"),
    "white space around extensions": (b"5 ; a = b\r\nhello\r\n0\r\n\r\n", b"hello"),
    "CRLF in the data": (b"7\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n", b"\r\n0\r\n\r\n"),
    "nothing": (b"0\r\n\r\n", b""),
    "trailers": (b"3\r\nabc\r\n0\r\nX-Sum: 1\r\nContent-Length: 9\r\nHost: b\r\n\r\n", b"abc"),
}


@pytest.mark.parametrize("head", [CHUNKED, PUT_CHUNKED])
@pytest.mark.parametrize(("body", "payload"), CHUNKED_BODIES.values(), ids=CHUNKED_BODIES)
@in_loop
async def test_chunked_bodies_are_framed_anew(head: bytes, body: bytes, payload: bytes) -> None:
    message, raw = await forwarded(head + body)
    assert message.body == payload
    assert message.field(b"transfer-encoding") == b"chunked"
    assert message.field(b"content-length") is None
    framed = raw.partition(b"\r\n\r\n")[2]
    assert framed == (b"%x\r\n%b\r\n" % (len(payload), payload) if payload else b"") + b"0\r\n\r\n"


BROKEN_CHUNKS = {
    "overflow": b"10000000000000005\r\nhello\r\n",
    "2^63": b"8000000000000000\r\nhello\r\n",
    "plus": b"+5\r\nhello\r\n",
    "minus": b"-5\r\nhello\r\n",
    "prefix": b"0x5\r\nhello\r\n",
    "underscore": b"0_5\r\nhello\r\n",
    "no size": b"\r\nhello\r\n",
    "no hex": b"g\r\n",
    "space before": b" 5\r\nhello\r\n",
    "space behind": b"5 \r\nhello\r\n",
    "bare LF behind the size": b"5\nhello\r\n",
    "bare CR behind the size": b"5\rhello\r\n",
    "bare LF in an extension": b"5;a\nb\r\nhello\r\n",
    "bare CR in an extension": b"5;a\rb\r\nhello\r\n",
    "endless extension": b"5;" + b"a" * 5000,
    "data too long": b"5\r\nhelloX\r\n",
    "bare LF behind the data": b"5\r\nhello\n0\r\n\r\n",
    "rubbish instead of a trailer": b"5\r\nhello\r\n0\r\nrubbish\r\n\r\n",
    "trailer with a space before the colon": b"0\r\nX : 1\r\n\r\n",
    "trailer with a bare LF": b"0\r\nX: 1\nY: 2\r\n\r\n",
    "too many trailers": b"0\r\n" + b"X: 1\r\n" * 60 + b"\r\n",
}


@pytest.mark.parametrize("body", BROKEN_CHUNKS.values(), ids=BROKEN_CHUNKS)
@in_loop
async def test_broken_chunks_are_400_and_reach_no_server(body: bytes) -> None:
    assert (await refused(CHUNKED + body + b"0\r\n\r\n"))[0] == 400


@pytest.mark.parametrize("broken", [*BROKEN_CHUNKS.values(), b""], ids=[*BROKEN_CHUNKS, "the client's end"])
@in_loop
async def test_a_chunk_that_breaks_in_the_middle_aborts_the_request_upstream(broken: bytes) -> None:
    begun = asyncio.Event()
    seen = b""

    async def script(wire: Wire) -> None:
        nonlocal seen
        await wire.until(b"begin\r\n")
        begun.set()
        seen = await wire.rest()

    async with proxied(script) as (server, running), await connect(running.port) as client:
        await client.send(CHUNKED + b"5\r\nbegin\r\n")
        await begun.wait()
        await client.send(broken)
        if broken:
            response = await client.response()
            assert (response.status, response.field(b"connection")) == (400, b"close")
        else:
            client.end()
        assert await client.rest() == b""
        await eventually(lambda: server.open == 0)
    assert b"0\r\n\r\n" not in seen


@in_loop
async def test_a_chunked_body_over_the_limit_is_413_and_aborted_upstream() -> None:
    begun = asyncio.Event()
    seen = b""

    async def script(wire: Wire) -> None:
        nonlocal seen
        await wire.until(b"begin\r\n")
        begun.set()
        seen = await wire.rest()

    limit = "max_body_size = 10"
    async with proxied(script, frontend=limit) as (server, running), await connect(running.port) as client:
        await client.send(CHUNKED + b"5\r\nbegin\r\n")
        await begun.wait()
        await client.send(b"6\r\nbeyond\r\n0\r\n\r\n")
        assert (await client.response()).status == 413
        await eventually(lambda: server.open == 0)
    assert b"0\r\n\r\n" not in seen


@in_loop
async def test_what_stands_behind_the_last_chunk_is_the_next_request() -> None:
    async def script(wire: Wire) -> None:
        while True:
            request = await wire.request()
            await wire.send(ok(request.start))

    async with proxied(script) as (server, running), await connect(running.port) as client:
        await client.send(CHUNKED + b"0\r\n\r\n\r\n" + get(b"/next") + b"rubbish\r\n\r\n")
        assert (await client.response()).body.startswith(b"POST / ")
        assert (await client.response()).body.startswith(b"GET /next ")
        assert (await client.response()).status == 400
        assert await client.rest() == b""
        assert [line.split(b" ")[1] for line in server.requests] == [b"/", b"/next"]


@in_loop
async def test_trailers_pass_where_the_route_says_so() -> None:
    head = POST + b"Transfer-Encoding: chunked\r\nTrailer: X-Sum, Host\r\n\r\n"
    trailers = b"X-Sum: 1\r\nHost: evil\r\nTransfer-Encoding: x\r\nx_y: 1\r\nX-Two:  2 \r\n"
    seen = b""

    async def script(wire: Wire) -> None:
        nonlocal seen
        seen = await wire.until(b"\r\n0\r\n") + await wire.until(b"\r\n\r\n")
        await wire.send(ok())

    async with proxied(script, "pass_trailers = yes") as (_, running), await connect(running.port) as client:
        await client.send(head + b"3\r\nabc\r\n0\r\n" + trailers + b"\r\n")
        assert (await client.response()).status == 200
    assert b"\r\nTrailer: X-Sum\r\n" in seen.partition(b"\r\n\r\n")[0] + b"\r\n"
    assert seen.endswith(b"\r\n3\r\nabc\r\n0\r\nX-Sum: 1\r\nX-Two: 2\r\n\r\n")
