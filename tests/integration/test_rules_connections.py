"""Early answers, pipelines, half-closed and lingering connections: who may go on, and who hears what in which order."""

from __future__ import annotations

import asyncio
import socket

import pytest

from tests.integration.harness import LOST, Message, Wire, connect, eventually, get, in_loop, ok, proxied, raw_request

LONG_POST = b"POST /long HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n"
EXPECTANT = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"
REFUSAL = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig"


async def echo_target(wire: Wire) -> None:
    """A server that answers with the target."""
    while True:
        await wire.send(ok((await wire.request()).target))


async def send_without_end(client: Wire) -> None:
    while True:
        await client.send(b"x" * 65536)
        await asyncio.sleep(0)


@pytest.mark.parametrize("closes", [False, True])
@pytest.mark.parametrize("head", [LONG_POST, b"POST /long HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"])
@in_loop
async def test_a_refusal_before_the_end_of_the_body_arrives(head: bytes, closes: bool) -> None:
    async def script(wire: Wire) -> None:
        await wire.until(b"\r\n\r\n")
        await wire.send(REFUSAL)
        if not closes:
            await wire.rest()

    chunked = b"Transfer-Encoding" in head
    async with proxied(script) as (_, running):
        for _ in range(20):
            async with await connect(running.port) as client:
                await client.send(head + (b"1000\r\n" + b"x" * 4096 + b"\r\n" if chunked else b"x" * 4096))
                response = await client.response()
                assert (response.status, response.body) == (413, b"big")
                assert response.field(b"connection") == b"close"
                with pytest.raises(LOST):  # what it goes on sending is discarded for a while
                    await send_without_end(client)


@pytest.mark.parametrize("size_bytes", [4096, 900_000])
@in_loop
async def test_a_refused_upload_is_read_on_for_a_while(size_bytes: int) -> None:
    async with proxied(ok(), "", "max_body_size = 1k") as (_, running), await connect(running.port) as client:
        await client.send(LONG_POST)
        assert (await client.response()).status == 413
        for _ in range(size_bytes // 4096):
            await client.send(b"x" * 4096)  # raises, once the connection has been reset
            await asyncio.sleep(0)
        client.end()
        assert await client.rest() == b""


@in_loop
async def test_a_whole_answer_before_the_end_of_the_body_says_that_the_connection_ends() -> None:
    async def script(wire: Wire) -> None:
        await wire.until(b"\r\n\r\n")
        await wire.send(ok(b"early"))
        await wire.rest()

    async with proxied(script) as (server, running), await connect(running.port) as client:
        await client.send(LONG_POST + b"x")
        response = await client.response()
        assert (response.status, response.body, response.field(b"connection")) == (200, b"early", b"close")
        await client.send(b"x" * 1000)
        client.end()
        assert await client.rest() == b""
        await eventually(lambda: server.open == 0)


@in_loop
async def test_an_answer_may_be_made_of_the_body_while_that_comes() -> None:
    async def script(wire: Wire) -> None:
        await wire.until(b"\r\n\r\n")
        await wire.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(3):
            piece = await wire.exactly(4)
            await wire.send(b"4\r\n" + piece + b"\r\n")
        await wire.send(b"0\r\n\r\n")
        await echo_target(wire)

    async with proxied(script) as (server, running), await connect(running.port) as client:
        await client.send(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\n\r\n")
        assert b"Connection" not in await client.until(b"\r\n\r\n")
        for piece in (b"one ", b"two ", b"last"):
            await client.send(piece)
            assert await client.until(b"\r\n" + piece + b"\r\n")
        assert await client.until(b"0\r\n\r\n") == b"0\r\n\r\n"
        await client.send(get(b"/next"))
        assert (await client.response()).body == b"/next"
        assert server.opened == 1


@in_loop
async def test_a_body_that_comes_with_its_expectation_is_not_held_back() -> None:
    async def script(wire: Wire) -> None:
        request = await wire.request()
        assert request.field(b"expect") == b"100-continue"
        await wire.send(ok(request.body))

    seconds = []
    async with proxied(script) as (_, running):
        for _ in range(3):
            async with await connect(running.port) as client:
                started = asyncio.get_running_loop().time()
                await client.send(EXPECTANT + b"body")
                response = await client.response()
                assert (response.status, response.body) == (200, b"body")
                seconds.append(asyncio.get_running_loop().time() - started)
    assert min(seconds) < 0.9, "it waited for a 100"


@in_loop
async def test_a_final_answer_to_an_expectation_says_that_the_connection_ends() -> None:
    async def script(wire: Wire) -> None:
        await wire.until(b"\r\n\r\n")
        await wire.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        await wire.send(b"2\r\nno\r\n0\r\n\r\n")
        assert await wire.rest() == b""

    async with proxied(script) as (_, running), await connect(running.port) as client:
        await client.send(EXPECTANT)
        response = await client.response()
        assert (response.status, response.body, response.field(b"connection")) == (200, b"no", b"close")


@pytest.mark.parametrize(
    ("broken", "status"),
    [
        (b"rubbish\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nz\r\n", 400),
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 20_000 + b"\r\n\r\n", 431),
        (b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", 501),
    ],
)
@in_loop
async def test_what_breaks_in_a_pipeline_is_answered_in_its_turn_and_last(broken: bytes, status: int) -> None:
    async with proxied(echo_target) as (server, running), await connect(running.port) as client:
        await client.send(get(b"/1") + get(b"/2") + broken + get(b"/never"))
        assert [(await client.response()).body for _ in range(2)] == [b"/1", b"/2"]
        response = await client.response()
        assert (response.status, response.field(b"connection")) == (status, b"close")
        assert await client.rest() == b""
        assert server.requests == [b"GET /1 HTTP/1.1", b"GET /2 HTTP/1.1"]


@in_loop
async def test_empty_lines_between_requests_are_skipped() -> None:
    async with proxied(echo_target) as (_, running), await connect(running.port) as client:
        await client.send(get(b"/1") + b"\r\n" + get(b"/2") + b"\r\n\r\n", b"\r\n", get(b"/3"))
        assert [(await client.response()).body for _ in range(3)] == [b"/1", b"/2", b"/3"]


@in_loop
async def test_a_request_may_come_byte_by_byte() -> None:
    async with proxied(echo_target) as (_, running), await connect(running.port) as client:
        raw = b"POST /slow HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        raw += b"3;a=b\r\nabc\r\n0\r\nX: 1\r\n\r\n" + get()
        await client.send(*(raw[place : place + 1] for place in range(len(raw))))
        assert [(await client.response()).body for _ in range(2)] == [b"/slow", b"/"]


@pytest.mark.parametrize("lines", [b"Connection: close", b"connection: x, CLOSE", b"Connection: keep-alive, close"])
@in_loop
async def test_nothing_behind_a_last_request_is_served(lines: bytes) -> None:
    async with proxied(echo_target) as (server, running):
        body = b"POST /last HTTP/1.1\r\nHost: a\r\n" + lines + b"\r\nContent-Length: 4\r\n\r\nbody"
        reply = await raw_request(running.port, body + get(b"/never"))
        assert reply.count(b"HTTP/1.1 ") == 1
        assert b"\r\nConnection: close\r\n" in reply
        assert reply.endswith(b"/last")
        assert server.requests == [b"POST /last HTTP/1.1"]


@pytest.mark.parametrize(
    ("raw", "kept"),
    [(b"", False), (b"Connection: keep-alive\r\n", True), (b"connection: Keep-Alive\r\n", True)],
)
@in_loop
async def test_http_1_0_is_kept_when_it_asks(raw: bytes, kept: bool) -> None:
    async with proxied(echo_target) as (_, running), await connect(running.port) as client:
        await client.send(b"GET /1 HTTP/1.0\r\n" + raw + b"\r\n")
        response = await client.response()
        assert response.field(b"connection") == (b"keep-alive" if kept else b"close")
        if kept:
            await client.send(get(b"/2"))
            assert (await client.response()).body == b"/2"
        else:
            assert await client.rest() == b""


@in_loop
async def test_a_refused_client_that_goes_on_sending_gets_its_answer_and_no_reset() -> None:
    async with proxied(ok()) as (_, running), await connect(running.port) as client:
        await client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: z\r\n\r\n")
        for _ in range(10):
            await client.send(b"x" * 4096)
            await asyncio.sleep(0)
        assert Message(await client.until(b"\r\n\r\n")).status == 400
        await client.until(b"}")
        client.end()
        assert not (await client.some()).strip()


@in_loop
async def test_a_refused_client_that_never_stops_sending_is_cut_off() -> None:
    async with proxied(ok()) as (_, running), await connect(running.port) as client:
        await client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: z\r\n\r\n")
        assert Message(await client.until(b"\r\n\r\n")).status == 400
        with pytest.raises(LOST):
            await send_without_end(client)
        await eventually(lambda: running.sessions == 0)


@in_loop
async def test_a_refused_client_that_says_nothing_more_is_cut_off() -> None:
    async with proxied(ok()) as (_, running), await connect(running.port) as client:
        await client.send(b"rubbish\r\n\r\n")
        assert (await client.response()).status == 400
        await eventually(lambda: running.sessions == 0)


@in_loop
async def test_a_client_that_ends_its_side_while_it_waits_is_gone() -> None:
    asked, upstream_ended = asyncio.Event(), asyncio.Event()

    async def script(wire: Wire) -> None:
        await wire.request()
        asked.set()
        assert await wire.rest() == b""
        upstream_ended.set()

    async with proxied(script) as (_, running), await connect(running.port) as client:
        await client.send(get())
        await asked.wait()
        await asyncio.sleep(0.05)  # an end much nearer to the request would be taken for a part of it
        client.end()
        assert await client.rest() == b""
        await upstream_ended.wait()


@in_loop
async def test_pipelined_requests_that_end_with_the_clients_side_are_all_served() -> None:
    async with proxied(echo_target) as (_, running):
        raw = socket.create_connection(("127.0.0.1", running.port))
        raw.send(b"".join(get(b"/%d" % number) for number in range(20)), socket.MSG_MORE)
        raw.shutdown(socket.SHUT_WR)  # in one packet with them
        async with Wire(*await asyncio.open_connection(sock=raw)) as client:
            assert [(await client.response()).body for _ in range(20)] == [b"/%d" % number for number in range(20)]
            assert await client.rest() == b""


@pytest.mark.parametrize("raw", [b"GET / HTTP/1.1\r\nHost", b"GET /", b"\r\n"])
@in_loop
async def test_half_a_head_and_the_end_are_no_request(raw: bytes) -> None:
    async with proxied(ok()) as (server, running), await connect(running.port) as client:
        await client.send(raw)
        client.end()
        assert await client.rest() == b""
        assert server.requests == []
