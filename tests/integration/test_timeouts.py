"""Silence, on either side: how long it may last and what ends it."""

from __future__ import annotations

import asyncio
import json
import socket

import anyio
import pytest

from tests.integration.harness import (
    RawServer,
    Wire,
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
)

POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n"


async def silent(wire: Wire) -> None:
    """A server that reads and never answers."""
    await wire.rest()


@in_loop
async def test_a_head_that_does_not_come_whole_in_time_is_408() -> None:
    async with proxied(ok(), frontend="header_timeout = 100ms") as (server, running):
        reply = await raw_request(running.port, b"GET / HTTP/1.1\r\nHost")
        assert reply.startswith(b"HTTP/1.1 408 ")
        assert server.opened == 0


@in_loop
async def test_a_head_that_comes_by_the_byte_has_no_more_time() -> None:
    async def drip(client: Wire) -> None:
        while True:
            await client.send(b"x")
            await anyio.sleep(0.05)  # the slow client itself, not a wait for something

    async with proxied(ok(), frontend="header_timeout = 300ms") as (_, running), await connect(running.port) as client:
        await client.send(b"GET / HTTP/1.1\r\n")
        dripping = asyncio.create_task(drip(client))
        assert (await client.response()).status == 408
        dripping.cancel()


@in_loop
async def test_a_connection_that_says_nothing_at_all_is_ended_without_a_word() -> None:
    async with proxied(ok(), frontend="header_timeout = 100ms") as (_, running):
        assert await raw_request(running.port, b"") == b""


@in_loop
async def test_an_idle_connection_is_ended_after_keepalive_timeout() -> None:
    async with proxied(ok(), frontend="keepalive_timeout = 100ms") as (_, running):
        async with await connect(running.port) as client:
            await client.send(get())
            assert (await client.response()).status == 200
            assert await client.rest() == b""
        await eventually(lambda: running.sessions == 0)


@in_loop
async def test_a_body_that_stalls_is_408_and_costs_no_worker() -> None:
    async with proxied(silent, frontend="body_timeout = 100ms") as (_, running):
        assert (await raw_request(running.port, POST + b"half")).startswith(b"HTTP/1.1 408 ")
        await eventually(lambda: running.pool().in_flight == 0)


@in_loop
async def test_a_server_that_does_not_answer_in_time_is_504() -> None:
    async with proxied(silent, "response_timeout = 100ms\nretries = 0") as (server, running):
        async with await connect(running.port) as client:
            for _ in range(2):  # the client's connection goes on
                await client.send(get())
                response = await client.response()
                assert response.status == 504
                assert set(json.loads(response.body)) == {"error", "request_id"}
        assert server.opened == 2


@in_loop
async def test_a_get_that_one_server_does_not_answer_goes_to_another() -> None:
    async with RawServer(silent) as mute, RawServer(ok(b"other")) as other:
        lines = "response_timeout = 1h\nalgorithm = round-robin"
        async with proxy(http_route(mute.port, other.port, lines=lines)) as running, asyncio.TaskGroup() as clients:
            answers = [clients.create_task(fetch(running.port)) for _ in range(2)]
            await eventually(lambda: mute.requests != [] and any(answer.done() for answer in answers))
            deadlines = running.application.deadlines
            deadlines.sweep(deadlines.now + 3601)
            assert [(await answer).body for answer in answers] == [b"other"] * 2
        assert mute.opened == 1


@in_loop
async def test_a_post_that_one_server_does_not_answer_goes_nowhere_else() -> None:
    async with RawServer(silent) as mute, RawServer(silent) as other:
        async with proxy(http_route(mute.port, other.port, lines="response_timeout = 100ms")) as running:
            reply = await raw_request(running.port, POST.replace(b"Host", b"Connection: close\r\nHost") + b"0123456789")
            assert reply.startswith(b"HTTP/1.1 504 ")
        assert mute.opened + other.opened == 1


@in_loop
async def test_the_time_a_client_takes_for_its_body_is_not_the_servers() -> None:
    half = anyio.Event()

    async def script(wire: Wire) -> None:
        body = await wire.until(b"01234")
        half.set()
        body += await wire.until(b"56789")
        await wire.send(ok(body[-10:]))

    async with proxied(script, "response_timeout = 30s") as (_, running), await connect(running.port) as client:
        await client.send(POST + b"01234")
        await half.wait()
        deadlines = running.application.deadlines
        deadlines.sweep(deadlines.now + 45)  # a slow client: beyond response_timeout, within body_timeout
        await client.send(b"56789")
        response = await client.response()
        assert (response.status, response.body) == (200, b"0123456789")


@in_loop
async def test_a_server_that_accepts_no_connection_in_time_is_504() -> None:
    with socket.socket() as full:  # its backlog is full and nobody accepts
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        fillers = []
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
            fillers.append(filler)
        try:
            async with proxy(http_route(port, lines="connect_timeout = 200ms")) as running:
                response = await fetch(running.port)
                if response.status == 200:
                    pytest.skip("this kernel accepts beyond the backlog")
                assert response.status == 504
        finally:
            for filler in fillers:
                filler.close()


@in_loop
async def test_silence_inside_an_answer_cuts_it_short() -> None:
    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        await wire.rest()

    async with proxied(script) as (_, running):
        async with await connect(running.port) as client:
            await client.send(get())
            await client.until(b"half")
            deadlines = running.application.deadlines
            deadlines.sweep(deadlines.now + 61)  # a minute of silence, as the sweep would see it
            assert await client.rest() == b""
        await eventually(lambda: running.pool().in_flight == 0)
