"""Servers that end connections without a word: nothing of that reaches a client, of POST neither, under load."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import pytest

from tests.integration.harness import (
    Script,
    Wire,
    connect,
    eventually,
    fetch,
    get,
    in_loop,
    ok,
    proxied,
    raw_request,
)

POST = b"POST /post HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody"
CHUNKED_PUT = b"PUT /put HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n"
BREW = b"BREW /pot HTTP/1.1\r\nHost: a\r\n\r\n"

PATIENT = "buffer_size = 100\nqueue_timeout = 60s\nconnect_timeout = 60s\nretries = 0"
"""A route that refuses nobody, however busy the machine is."""

CLIENTS = 32
REQUESTS = 60


async def one_answer(wire: Wire) -> None:
    """A server that ends each connection behind its answer, in an orderly way."""
    await wire.request()
    await wire.send(ok())


async def one_answer_then_reset(wire: Wire) -> None:
    """One that does so with a request unread, if there is any by then: a reset."""
    await wire.request()
    await wire.send(ok())
    await asyncio.sleep(0)
    wire.reset()


def idle_for(seconds: float) -> Script:
    """A server that ends a connection which is idle for so long."""

    async def script(wire: Wire) -> None:
        patience_s = None  # a connection is not idle before its first request
        while True:
            try:
                async with asyncio.timeout(patience_s):
                    head = await wire.until(b"\r\n\r\n")
            except TimeoutError:
                return
            patience_s = seconds
            if b"Content-Length" in head:
                await wire.exactly(4)
            elif b"chunked" in head:
                await wire.until(b"\r\n0\r\n\r\n")
            await wire.send(ok())

    return script


async def statuses(port: int, requests: list[bytes], pause_s: float) -> Counter[int]:
    """What clients get that send these in turn, each over one connection of its own."""
    seen: Counter[int] = Counter()

    async def client(number: int) -> None:
        rng = random.Random(number)
        async with await connect(port) as wire:
            for turn in range(REQUESTS):
                await wire.send(requests[(number + turn) % len(requests)])
                answer = await wire.response()
                seen[answer.status] += 1
                if answer.field(b"connection") == b"close":
                    return
                if pause_s:
                    await asyncio.sleep(rng.uniform(0, pause_s))

    await asyncio.gather(*(client(number) for number in range(CLIENTS)))
    return seen


@pytest.mark.parametrize("requests", [[POST], [get(), POST], [get(), POST, CHUNKED_PUT, BREW]])
@pytest.mark.parametrize("script", [one_answer, one_answer_then_reset])
@in_loop
async def test_a_server_that_ends_every_connection_behind_its_answer(script: Script, requests: list[bytes]) -> None:
    async with proxied(script, f"max_workers = 8\n{PATIENT}") as (_, running):
        assert await statuses(running.port, requests, 0) == {200: CLIENTS * REQUESTS}


@pytest.mark.parametrize("idle_s", [0.02, 0.06])
@in_loop
async def test_a_server_that_ends_idle_connections(idle_s: float) -> None:
    lines = f"max_workers = 40\n{PATIENT}"
    async with proxied(idle_for(idle_s), lines) as (server, running):
        assert (await fetch(running.port)).status == 200
        await eventually(lambda: server.open == 0)  # a POST that crosses the very first end is lost: nobody could know
        assert await statuses(running.port, [POST, get()], 2 * idle_s) == {200: CLIENTS * REQUESTS}


@in_loop
async def test_posts_share_connections_once_the_server_is_known_to_keep_them() -> None:
    async with proxied(ok(), "max_workers = 1") as (server, running):
        for _ in range(2):
            assert (await fetch(running.port)).status == 200
        for _ in range(10):
            assert await raw_request(running.port, POST.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1))
        assert server.opened == 1


@in_loop
async def test_posts_alone_find_out_that_the_server_keeps_connections() -> None:
    async with proxied(ok(), "max_workers = 2") as (server, running), await connect(running.port) as client:

        async def post() -> int:
            await client.send(POST)
            assert (await client.response()).status == 200
            return server.opened

        opened = 0
        for _ in range(20):
            opened = await post()
        assert opened > 2  # nothing is known yet

        async def no_more_are_opened() -> None:
            before = -1
            while before != server.opened:
                before = server.opened
                for _ in range(20):
                    await post()
                await asyncio.sleep(0.05)

        await no_more_are_opened()
        await eventually(lambda: server.open <= 2)
