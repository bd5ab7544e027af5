"""Expect: 100-continue and other interim responses (RFC 9110 sections 10.1.1 and 15.2)."""

from __future__ import annotations

import asyncio

from tests.integration.harness import Wire, connect, get, in_loop, ok, proxied

EXPECTANT = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"


@in_loop
async def test_an_expectation_is_forwarded_and_so_is_its_100() -> None:
    async def script(wire: Wire) -> None:
        assert b"\r\nExpect: 100-continue\r\n" in await wire.until(b"\r\n\r\n")
        await wire.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        await wire.send(ok(await wire.exactly(4)))

    async with proxied(script) as (_, running), await connect(running.port) as client:
        await client.send(EXPECTANT)
        assert (await client.response()).status == 100
        await client.send(b"body")
        assert (await client.response()).body == b"body"


@in_loop
async def test_a_silent_server_has_the_100_said_for_it_after_a_second() -> None:
    async def script(wire: Wire) -> None:
        await wire.until(b"\r\n\r\n")
        body = await wire.exactly(4)
        await wire.send(b"HTTP/1.1 100 Continue\r\n\r\n", ok(body))  # late, and not passed on a second time

    async with proxied(script) as (_, running), await connect(running.port) as client:
        started = asyncio.get_running_loop().time()
        await client.send(EXPECTANT)
        assert (await client.response()).status == 100
        assert 0.9 < asyncio.get_running_loop().time() - started < 2.5
        await client.send(b"body")
        response = await client.response()
        assert (response.status, response.body) == (200, b"body")


@in_loop
async def test_a_final_status_first_means_that_the_body_is_not_read() -> None:
    async def script(wire: Wire) -> None:
        await wire.until(b"\r\n\r\n")
        await wire.send(b"HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n")
        assert await wire.rest() == b""

    async with proxied(script) as (_, running), await connect(running.port) as client:
        await client.send(EXPECTANT)
        response = await client.response()
        assert response.status == 417
        assert response.field(b"connection") == b"close"
        assert await client.rest() == b""


@in_loop
async def test_early_hints_are_passed_on_at_once() -> None:
    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n")
        await hinted.wait()
        await wire.send(ok())

    hinted = asyncio.Event()
    async with proxied(script) as (_, running), await connect(running.port) as client:
        await client.send(get())
        hints = await client.response()
        assert (hints.status, hints.field(b"link")) == (103, b"</a.css>; rel=preload")
        hinted.set()
        assert (await client.response()).status == 200


@in_loop
async def test_a_client_of_http_1_0_sees_no_interim_response() -> None:
    hinting = b"HTTP/1.1 103 Early Hints\r\n\r\n" + ok()
    async with proxied(hinting) as (_, running), await connect(running.port) as client:
        await client.send(b"GET / HTTP/1.0\r\n\r\n")
        assert (await client.response()).status == 200


@in_loop
async def test_a_100_that_nobody_asked_for_is_kept_back() -> None:
    async with proxied(b"HTTP/1.1 100 Continue\r\n\r\n" + ok()) as (_, running), await connect(running.port) as client:
        await client.send(get())
        assert (await client.response()).status == 200
