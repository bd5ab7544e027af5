"""Servers that refuse, hang up, answer rubbish or stop half-way: the client's view, and that the next request works."""

from __future__ import annotations

import asyncio
import json

import pytest

from tests.integration.harness import (
    RawServer,
    Wire,
    answer_once,
    connect,
    eventually,
    fetch,
    get,
    http_route,
    in_loop,
    ok,
    proxied,
    proxy,
    raw_request,
    refused_port,
)

POST = b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 4\r\n\r\nbody"
HALF = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"
HALF_CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"

RUBBISH = {
    "nothing": b"",
    "no HTTP": b"220 mail.example ESMTP\r\n",
    "HTTP/2": b"\x00\x00\x12\x04\x00\x00\x00\x00\x00",
    "half a head": b"HTTP/1.1 200 OK\r\nContent-Le",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
    "no such status": b"HTTP/1.1 99 Low\r\n\r\n",
    "unasked upgrade": b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    "endless head": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000,
}


@pytest.mark.parametrize("rubbish", RUBBISH.values(), ids=RUBBISH)
@in_loop
async def test_rubbish_is_502_in_json_and_the_next_request_works(rubbish: bytes) -> None:
    async def script(wire: Wire) -> None:
        while True:
            request = await wire.request()
            if request.target == b"/good":
                await wire.send(ok())
                continue
            await wire.send(rubbish)
            return

    async with proxied(script, "retries = 0") as (_, running), await connect(running.port) as client:
        await client.send(get(b"/bad"))
        response = await client.response()
        assert response.status == 502
        assert response.field(b"content-type") == b"application/json"
        assert set(json.loads(response.body)) == {"error", "request_id"}
        await client.send(get(b"/good"))
        assert (await client.response()).status == 200


@in_loop
async def test_a_refused_connection_is_502() -> None:
    port = await refused_port()
    async with proxy(http_route(port)) as running, await connect(running.port) as client:
        for _ in range(2):
            await client.send(get())
            response = await client.response()
            assert response.status == 502
            assert b"127.0.0.1" not in response.body  # the inside is no business of the client's


@pytest.mark.parametrize("request_bytes", [get(b"/", b"Connection: close"), POST])
@in_loop
async def test_a_refused_connection_sends_any_request_to_the_next_server(request_bytes: bytes) -> None:
    async with RawServer(ok(b"next")) as server:
        lines = "algorithm = round-robin\nretries = 0\nhealth_check_fall = 100"
        async with proxy(http_route(await refused_port(), await refused_port(), server.port, lines=lines)) as running:
            for _ in range(6):
                assert (await raw_request(running.port, request_bytes)).endswith(b"next")
        assert len(server.requests) == 6


@in_loop
async def test_a_server_that_ends_a_kept_connection_costs_a_get_nothing() -> None:
    async def script(wire: Wire) -> None:
        while True:
            request = await wire.request()
            if request.target == b"/end" and len(wire.received) > len(request.head):
                return  # a second request over one connection is not answered
            await wire.send(ok(request.target))

    async with proxied(script, "max_workers = 1\nretries = 0") as (server, running):
        async with await connect(running.port) as client:
            await client.send(get(b"/"))
            assert (await client.response()).body == b"/"
            await client.send(get(b"/end"))
            response = await client.response()
            assert (response.status, response.body) == (200, b"/end")
            await client.send(get(b"/after"))
            assert (await client.response()).body == b"/after"  # exactly one answer came
        assert server.opened == 2
        assert server.requests.count(b"GET /end HTTP/1.1") == 2


@in_loop
async def test_a_server_that_ends_a_kept_connection_gets_a_post_only_once() -> None:
    async def script(wire: Wire) -> None:
        for _ in range(2):
            await wire.request()
            await wire.send(ok())
        await wire.request()

    async with proxied(script, "max_workers = 1\nretries = 3") as (server, running):
        for _ in range(2):
            assert (await fetch(running.port)).status == 200
        assert (await raw_request(running.port, POST)).startswith(b"HTTP/1.1 502 ")
        assert server.opened == 1


@in_loop
async def test_an_idle_connection_that_the_server_ended_is_not_used() -> None:
    async with proxied(answer_once(ok()), "max_workers = 1\nretries = 0") as (server, running):
        for number in range(1, 4):
            assert (await raw_request(running.port, POST)).startswith(b"HTTP/1.1 200 ")
            await eventually(lambda: server.open == 0)
            assert server.opened == number


@pytest.mark.parametrize("half", [HALF, HALF_CHUNKED])
@in_loop
async def test_a_cut_off_answer_is_never_taken_for_a_whole_one(half: bytes) -> None:
    async def script(wire: Wire) -> None:
        request = await wire.request()
        await wire.send(half if request.target == b"/half" else ok())

    async with proxied(script) as (_, running):
        everything = await raw_request(running.port, get(b"/half"))
        assert everything.startswith(b"HTTP/1.1 200 ")
        assert everything.count(b"HTTP/1.1 ") == 1
        assert not everything.endswith(b"0\r\n\r\n")
        assert (await fetch(running.port)).status == 200


@in_loop
async def test_a_cut_off_answer_resets_a_client_that_would_take_the_end_for_the_whole() -> None:
    async with proxied(answer_once(HALF_CHUNKED)) as (_, running), await connect(running.port) as client:
        await client.send(b"GET / HTTP/1.0\r\n\r\n")
        await client.until(b"half")
        with pytest.raises(ConnectionResetError):
            await client.some()


@in_loop
async def test_a_broken_chunk_cuts_the_answer_off() -> None:
    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ngood\r\n")
        await begun.wait()
        await wire.send(b"zz\r\n0\r\n\r\n")

    begun = asyncio.Event()
    async with proxied(script) as (_, running), await connect(running.port) as client:
        await client.send(get())
        assert (await client.until(b"good\r\n")).startswith(b"HTTP/1.1 200 ")
        begun.set()
        assert await client.rest() == b""


@in_loop
async def test_a_broken_chunk_that_comes_with_the_head_is_502() -> None:
    async with proxied(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ngood\r\nzz\r\n") as (_, running):
        assert (await fetch(running.port)).status == 502


@in_loop
async def test_bytes_behind_an_answer_are_not_taken_for_the_next_one() -> None:
    async with proxied(ok(b"mine") + ok(b"injected"), "max_workers = 1") as (server, running):
        for _ in range(3):
            assert (await fetch(running.port)).body == b"mine"
        assert server.opened == 3


@in_loop
async def test_the_rest_of_an_abandoned_answer_is_not_taken_for_the_next_one() -> None:
    async def script(wire: Wire) -> None:
        while True:
            request = await wire.request()
            await wire.send(ok(request.target * (1_000_000 if request.target == b"/big" else 1)))

    async with proxied(script, "max_workers = 1") as (_, running):
        for _ in range(5):
            assert (await fetch(running.port, b"/before")).body == b"/before"  # so /big goes over a kept connection
            async with await connect(running.port, ahead_bytes=1000) as leaver:
                await leaver.send(get(b"/big"))
                await leaver.until(b"/big/big")
            assert (await fetch(running.port, b"/after")).body == b"/after"


@in_loop
async def test_a_kept_connection_with_half_a_refused_body_is_not_used_again() -> None:
    head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    too_large = head + b"800\r\n" + b"x" * 0x800 + b"\r\n800\r\n"
    async with proxied(ok(), "max_workers = 1", "max_body_size = 1k") as (server, running):
        assert (await fetch(running.port)).status == 200
        assert (await raw_request(running.port, too_large)).startswith(b"HTTP/1.1 413 ")
        assert (await fetch(running.port, b"/after")).status == 200
        assert server.opened == 2
        assert server.requests == [b"GET / HTTP/1.1", b"GET /after HTTP/1.1"]


@in_loop
async def test_no_server_at_all_is_503_at_once() -> None:
    port = await refused_port()
    async with proxy(http_route(port, lines="health_check_interval = 20ms\nhealth_check_fall = 1")) as running:
        group = running.application.groups["http"].group
        await eventually(lambda: group.healthy.snapshot() == ())
        response = await fetch(running.port)
        assert response.status == 503
        assert response.field(b"retry-after") is None
