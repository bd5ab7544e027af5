"""`request_timeout`: how long a whole exchange may take, and what the client gets when it is over."""

from __future__ import annotations

import anyio

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
    refused_port,
)
from tests.integration.test_timeouts import POST, silent
from tests.integration.websocket_wire import acceptance, handshake

LIMIT = "request_timeout = 100ms"


@in_loop
async def test_an_exchange_without_an_answer_is_504_and_the_connection_goes_on() -> None:
    async with proxied(silent, LIMIT) as (server, running), await connect(running.port) as client:
        for _ in range(2):
            await client.send(get())
            response = await client.response()
            assert response.status == 504
            assert response.field(b"connection") is None
        assert server.opened == 2
        await eventually(lambda: running.pool().in_flight == 0)


@in_loop
async def test_an_answer_under_way_is_cut() -> None:
    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")
        await wire.rest()

    async with proxied(script, LIMIT) as (_, running):
        async with await connect(running.port) as client:
            await client.send(get())
            assert (await client.rest()).endswith(b"4\r\nhalf\r\n")  # no last chunk: nobody takes it for the whole
        await eventually(lambda: running.pool().in_flight == 0)


@in_loop
async def test_an_answer_that_the_client_does_not_read_is_cut_too() -> None:
    body = bytes(32 * 1024 * 1024)
    async with proxied(ok(body), "request_timeout = 300ms") as (_, running):
        async with await connect(running.port, ahead_bytes=1024) as client:
            await client.send(get())
            await client.until(b"\r\n\r\n")
            await eventually(lambda: running.sessions == 0)
            assert len(await client.rest()) < len(body)
        await eventually(lambda: running.pool().in_flight == 0)


@in_loop
async def test_the_time_in_the_queue_counts() -> None:
    lines = "request_timeout = 300ms\nmax_workers = 1\nmin_workers = 1\nbuffer_size = 1"
    async with proxied(silent, lines) as (server, running), anyio.create_task_group() as clients:
        statuses = []

        async def client() -> None:
            statuses.append((await fetch(running.port)).status)

        for _ in range(4):  # one with the server, one in its queue, two waiting for the group
            clients.start_soon(client)
        await eventually(lambda: len(statuses) == 4)
        assert statuses == [504] * 4
        assert server.opened == 1
        assert running.pool().in_flight == 0


@in_loop
async def test_a_body_that_is_still_awaited_then_is_408() -> None:
    async with proxied(silent, LIMIT) as (_, running), await connect(running.port) as client:
        await client.send(POST + b"half")
        assert (await client.response()).status == 408
        assert await client.rest() == b""


@in_loop
async def test_a_body_that_drips_has_no_more_time() -> None:
    async def drip(client: Wire) -> None:
        while True:
            await client.send(b"x")
            await anyio.sleep(0.05)  # the slow client itself

    async with proxied(silent, "request_timeout = 300ms") as (_, running), await connect(running.port) as client:
        await client.send(POST.replace(b": 10", b": 1000"))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(drip, client)
            assert (await client.response()).status == 408
            tasks.cancel_scope.cancel()


@in_loop
async def test_the_limit_of_one_request_is_not_that_of_the_next() -> None:
    asked, may_answer = anyio.Event(), anyio.Event()

    async def script(wire: Wire) -> None:
        request = await wire.request()
        if request.target == b"/slow":
            asked.set()
            await may_answer.wait()  # a slow server, which its own route allows
        await wire.send(ok(request.target))

    async with RawServer(script) as server:
        lines = "request_timeout = 50s\npath_prefix = /limited"
        routes = http_route(server.port, lines=lines, section="http:limited") + http_route(server.port)
        async with proxy(routes) as running, await connect(running.port) as client:
            await client.send(get(b"/limited"))
            assert (await client.response()).body == b"/limited"
            await client.send(get(b"/slow"))
            await asked.wait()
            deadlines = running.application.deadlines
            deadlines.sweep(deadlines.now + 55)  # less than its own limit, a minute
            may_answer.set()
            assert (await client.response()).body == b"/slow"


@in_loop
async def test_a_websocket_is_limited_until_its_101_only() -> None:
    async def script(wire: Wire) -> None:
        request = await wire.request()
        if request.target == b"/mute":
            await wire.rest()
        await wire.send(acceptance(request.head))
        await wire.until(b"end")
        await wire.send(b"\x82\x03end")

    async with (
        RawServer(script) as server,
        proxy(http_route(server.port, lines=LIMIT, section="websocket")) as running,
        await connect(running.port) as client,
        await connect(running.port) as other,
    ):
        await client.send(handshake())
        assert (await client.response()).status == 101
        deadlines = running.application.deadlines
        deadlines.sweep(deadlines.now + 1)
        await client.send(b"\x82\x83\0\0\0\0end")
        assert await client.exactly(5) == b"\x82\x03end"
        await other.send(handshake(target=b"/mute"))
        assert (await other.response()).status == 504


@in_loop
async def test_a_refused_connection_is_502_at_once() -> None:
    async with proxy(http_route(await refused_port(), lines="request_timeout = 10s")) as running:
        assert (await fetch(running.port)).status == 502
