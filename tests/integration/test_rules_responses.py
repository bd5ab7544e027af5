"""Answers of servers on raw sockets, good and bad: what reaches the client, and that the next request is not harmed."""

from __future__ import annotations

import asyncio

import pytest

from tests.integration.harness import Message, Script, Wire, connect, get, in_loop, ok, proxied, raw_request

HEAD = b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\n"
DATE = b"Date: Tue, 15 Nov 1994 08:12:31 GMT\r\n"
CODED = OK + DATE + b"Transfer-Encoding: chunked\r\n\r\n"


def answering(data: bytes) -> Script:
    """A server that answers GET /good well, and any other request with `data`, behind which it ends the connection."""

    async def script(wire: Wire) -> None:
        while True:
            request = await wire.request()
            if request.target == b"/good":
                await wire.send(ok(b"good"))
                continue
            await wire.send(data)
            return

    return script


async def answered(data: bytes, request: bytes | None = None, lines: str = "") -> bytes:
    """All that the client gets for one request that is its connection's last."""
    async with proxied(answering(data), "retries = 0\n" + lines) as (_, running):
        reply = await raw_request(running.port, request or get(b"/", b"Connection: close"))
        assert (await raw_request(running.port, get(b"/good", b"Connection: close"))).endswith(b"good")
    return reply


UNTOUCHED = {
    "no reason": b"HTTP/1.1 200 \r\nContent-Length: 0\r\n",
    "odd status": b"HTTP/1.1 299 Odd\r\nContent-Length: 0\r\n",
    "odder status": b"HTTP/1.1 599 Odder\r\nContent-Length: 0\r\n",
    "high bytes": b"HTTP/1.1 404 \xe4 \tx\r\nX: \xc3\xa9\r\nContent-Length: 0\r\n",
    "cookies and order": OK + b"Set-Cookie: a=1\r\nB: 1\r\nset-cookie: b=2; Path=/\r\nA: 1\r\nContent-Length: 0\r\n",
    "empty value": OK + b"X: \r\nContent-Length: 0\r\n",
    "underscore": OK + b"X_Y: 1\r\nContent-Length: 0\r\n",
    "redirect": b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/x?y#z\r\nContent-Length: 0\r\n",
    "challenge": b'HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm="x"\r\nContent-Length: 0\r\n',
    "304": b"HTTP/1.1 304 Not Modified\r\nETag: x\r\nContent-Length: 1000\r\n",
    "204": b"HTTP/1.1 204 No Content\r\nETag: x\r\n",
}


@pytest.mark.parametrize("head", UNTOUCHED.values(), ids=UNTOUCHED)
@in_loop
async def test_what_is_legal_passes_untouched(head: bytes) -> None:
    assert await answered(head + DATE + b"\r\n") == head + DATE + b"Connection: close\r\n\r\n"


REWRITTEN = {
    "no reason and no space": (b"HTTP/1.1 200\r\nContent-Length: 0\r\n", b"HTTP/1.1 200 \r\nContent-Length: 0\r\n"),
    "HTTP/1.0": (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n", OK + b"Content-Length: 0\r\n"),
    "white space": (OK + b"X:  a \t\r\nContent-Length:0\r\n", OK + b"X: a\r\nContent-Length: 0\r\n"),
    "white space before a colon": (OK + b"X : a\r\nContent-Length\t: 0\r\n", OK + b"X: a\r\nContent-Length: 0\r\n"),
    "length twice": (OK + b"Content-Length: 00\r\nContent-Length: 00\r\n", OK + b"Content-Length: 0\r\n"),
    "length of 204": (b"HTTP/1.1 204 No\r\nContent-Length: 0\r\n", b"HTTP/1.1 204 No\r\n"),
    "hop-by-hop": (
        OK + b"Connection: keep-alive, X-A\r\nconnection: x-b\r\nX-A: 1\r\nX-B: 2\r\nKeep-Alive: timeout=9\r\n"
        b"Proxy-Authenticate: Basic\r\nTrailer: X\r\nUpgrade: h2c\r\nTE: x\r\nContent-Length: 0\r\n",
        OK + b"Content-Length: 0\r\n",
    ),
}


@pytest.mark.parametrize(("head", "expected"), REWRITTEN.values(), ids=REWRITTEN)
@in_loop
async def test_what_is_legal_but_odd_arrives_in_one_form(head: bytes, expected: bytes) -> None:
    assert await answered(head + DATE + b"\r\n") == expected + DATE + b"Connection: close\r\n\r\n"


BAD = {
    "CL and TE": OK + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "differing lengths": OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
    "length list": OK + b"Content-Length: 1, 2\r\n\r\nxx",
    "negative length": OK + b"Content-Length: -1\r\n\r\n",
    "length plus": OK + b"Content-Length: +1\r\n\r\nx",
    "length beyond 2^63": OK + b"Content-Length: 9223372036854775808\r\n\r\n",
    "no length": OK + b"Content-Length: x\r\n\r\n",
    "unknown coding": OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "coding on HTTP/1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "bare LF": b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    "split by LF": OK + b"X: a\nSet-Cookie: evil=1\r\nContent-Length: 0\r\n\r\n",
    "split by CR": OK + b"X: a\rSet-Cookie: evil=1\r\nContent-Length: 0\r\n\r\n",
    "NUL": OK + b"X: a\x00b\r\nContent-Length: 0\r\n\r\n",
    "escape in the reason": b"HTTP/1.1 200 O\x1bK\r\nContent-Length: 0\r\n\r\n",
    "folded": OK + b"X: a\r\n b\r\nContent-Length: 0\r\n\r\n",
    "no colon": OK + b"rubbish\r\nContent-Length: 0\r\n\r\n",
    "odd name": OK + b"X Y: 1\r\nContent-Length: 0\r\n\r\n",
    "two spaces": b"HTTP/1.1  200 OK\r\nContent-Length: 0\r\n\r\n",
    "lower case": b"http/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "HTTP/2": b"HTTP/2 200\r\nContent-Length: 0\r\n\r\n",
    "status of two digits": b"HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n",
    "status of four": b"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n",
    "status 600": b"HTTP/1.1 600 X\r\nContent-Length: 0\r\n\r\n",
    "status 099": b"HTTP/1.1 099 X\r\nContent-Length: 0\r\n\r\n",
    "HTTP/0.9": b"<html>hello</html>",
    "empty lines first": b"\r\n\r\n" + OK + b"Content-Length: 0\r\n\r\n",
    "101 unasked": b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    "large head": OK + b"X: " + b"x" * 70_000 + b"\r\nContent-Length: 0\r\n\r\n",
    "half a head": OK + b"Content-Le",
    "an interim answer alone": b"HTTP/1.1 100 Continue\r\n\r\n",
    "a flood of interim answers": b"HTTP/1.1 100 Continue\r\n\r\n" * 1000 + ok(),
    "a bad chunk with the head": CODED + b"zz\r\n",
    "a chunk size that overflows": CODED + b"10000000000000000\r\n",
}


@pytest.mark.parametrize("data", BAD.values(), ids=BAD)
@in_loop
async def test_what_cannot_be_read_one_way_only_is_502_and_nothing_of_it_passes(data: bytes) -> None:
    reply = await answered(data)
    assert reply.startswith(b"HTTP/1.1 502 ")
    assert reply.count(b"HTTP/1.") == 1
    for trace in (b"evil", b"rubbish", b"xxx", b"hello", b"127.0.0.1"):
        assert trace not in reply


@pytest.mark.parametrize("interim", [b"HTTP/1.1 103 Early Hints\r\n\r\n", b"HTTP/1.1 102 Processing\r\n\r\n"])
@in_loop
async def test_interim_answers_are_passed_on_up_to_a_bound(interim: bytes) -> None:
    assert (await answered(interim * 64 + ok(b"", DATE.strip()))).count(interim) == 64
    flood = await answered(interim * 65 + ok())
    assert flood.count(b"HTTP/1.1 1") == 64
    assert flood.rpartition(interim)[2].startswith(b"HTTP/1.1 502 ")


CUT = {
    "length": (OK + DATE + b"Content-Length: 10\r\n\r\nhalf", b"half"),
    "chunk": (CODED + b"a\r\nhalf", b"4\r\nhalf\r\n"),
    "no last chunk": (CODED + b"4\r\nhalf\r\n", b"4\r\nhalf\r\n"),
    "no end of the trailers": (CODED + b"4\r\nhalf\r\n0\r\nX: 1\r\n", b"4\r\nhalf\r\n"),
}


@pytest.mark.parametrize(("data", "end"), CUT.values(), ids=CUT)
@in_loop
async def test_what_is_cut_short_ends_inside_its_message(data: bytes, end: bytes) -> None:
    reply = await answered(data)
    assert reply.startswith(OK)
    assert reply.endswith(b"\r\n\r\n" + end)


@in_loop
async def test_what_is_cut_short_is_a_reset_for_a_client_of_http_1_0() -> None:
    async with proxied(answering(CODED + b"4\r\nhalf\r\n")) as (_, running), await connect(running.port) as client:
        await client.send(b"GET / HTTP/1.0\r\n\r\n")
        await client.until(b"half")
        with pytest.raises(ConnectionResetError):
            assert await client.some() != b"", "an end looks like the end of the body"


BODILESS = {
    "HEAD": (HEAD, OK + b"Content-Length: 5\r\n"),
    "HEAD, chunked": (HEAD, OK + b"Transfer-Encoding: chunked\r\n"),
    "HEAD, neither": (HEAD, OK),
    "204": (get(), b"HTTP/1.1 204 No Content\r\n"),
    "304": (get(), b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n"),
}


@pytest.mark.parametrize(("request_", "head"), BODILESS.values(), ids=BODILESS)
@pytest.mark.parametrize("body", [b"hello", b"5\r\nhello\r\n0\r\n\r\n", ok(b"evil")])
@in_loop
async def test_a_body_that_must_not_be_there_is_neither_passed_nor_taken_for_an_answer(
    request_: bytes, head: bytes, body: bytes
) -> None:
    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.send(head + DATE + b"\r\n" + body)
        await wire.request()
        await wire.send(ok(b"second"))

    async with proxied(script, "max_workers = 1") as (server, running), await connect(running.port) as client:
        for opened in (1, 2):
            await client.send(request_)
            response = await client.response(b"HEAD")
            assert response.head.replace(b"Transfer-Encoding: chunked\r\n", b"") == (
                head.replace(b"Transfer-Encoding: chunked\r\n", b"") + DATE + b"\r\n"
            )
            assert server.opened == opened


@pytest.mark.parametrize("gap", [False, True])
@in_loop
async def test_a_second_answer_reaches_nobody(gap: bool) -> None:
    sent = asyncio.Event()

    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.send(ok(b"mine"))
        if gap:
            await first_came.wait()
        await wire.send(ok(b"evil"))
        sent.set()
        await wire.rest()

    first_came = asyncio.Event()
    async with proxied(script, "max_workers = 1") as (server, running), await connect(running.port) as client:
        for number in (1, 2, 3):
            sent.clear()
            first_came.clear()
            await client.send(get())
            assert (await client.response()).body == b"mine"
            first_came.set()
            await sent.wait()
            for _ in range(5):
                await asyncio.sleep(0)  # lets the second answer arrive, which is then waiting
            assert server.opened == number


@in_loop
async def test_bytes_of_an_idle_server_are_not_taken_for_an_answer() -> None:
    async def script(wire: Wire) -> None:
        while True:
            await wire.request()
            await wire.send(ok(b"asked"))
            await answered_.wait()
            await wire.send(ok(b"unasked"))
            unasked.set()

    answered_, unasked = asyncio.Event(), asyncio.Event()
    async with proxied(script, "max_workers = 1") as (server, running), await connect(running.port) as client:
        await client.send(get())
        assert (await client.response()).body == b"asked"
        answered_.set()
        await unasked.wait()
        await client.send(get())
        assert (await client.response()).body == b"asked"
        assert server.opened == 2


@in_loop
async def test_a_server_of_http_1_0_may_keep_its_connection() -> None:
    kept = b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi"
    async with proxied(kept, "max_workers = 1") as (server, running), await connect(running.port) as client:
        for _ in range(3):
            await client.send(get())
            response = await client.response()
            assert (response.start, response.body) == (b"HTTP/1.1 200 OK", b"hi")
            assert response.field(b"connection") is None
        assert server.opened == 1


@in_loop
async def test_trailers_pass_where_the_route_says_so() -> None:
    head = OK + DATE + b"Transfer-Encoding: chunked\r\nTrailer: X-Sum, Set-Cookie\r\n\r\n"
    data = head + b"2\r\nhi\r\n0\r\nX-Sum: 1\r\nSet-Cookie: evil=1\r\nContent-Length: 9\r\n\r\n"
    reply = await answered(data, lines="pass_trailers = yes")
    assert b"\r\nTrailer: X-Sum\r\n" in reply
    assert reply.endswith(b"\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 1\r\n\r\n")
    reply = await answered(data)
    assert b"Trailer" not in reply
    assert reply.endswith(b"\r\n\r\n2\r\nhi\r\n0\r\n\r\n")


@in_loop
async def test_a_client_of_http_1_0_gets_neither_chunks_nor_trailers() -> None:
    data = OK + DATE + b"Transfer-Encoding: chunked\r\nTrailer: X\r\n\r\n2\r\nhi\r\n0\r\nX: 1\r\n\r\n"
    reply = await answered(data, b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "pass_trailers = yes")
    assert reply == OK + DATE + b"Connection: close\r\n\r\nhi"


@pytest.mark.parametrize("status", [100, 101, 103])
@in_loop
async def test_no_interim_answer_reaches_a_client_of_http_1_0(status: int) -> None:
    data = b"HTTP/1.1 %d X\r\n\r\n" % status + ok(b"fine", DATE.strip())
    reply = await answered(data, b"GET / HTTP/1.0\r\n\r\n")
    assert Message(reply.partition(b"\r\n\r\n")[0] + b"\r\n\r\n").status == (502 if status == 101 else 200)
