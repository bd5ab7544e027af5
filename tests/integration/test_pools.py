"""Queues and worker pools, as the servers behind them and the clients in front of them see them."""

from __future__ import annotations

import asyncio
import functools
import socket
from collections import Counter

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
    logged,
    ok,
    proxied,
    proxy,
)


class Gate:
    """A server's script that answers only once the gate is open; waiting: requests before it."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.waiting = 0

    async def __call__(self, wire: Wire) -> None:
        while True:
            await wire.request()
            self.waiting += 1
            await self.open.wait()
            self.waiting -= 1
            await wire.send(ok())


async def load(port: int, clients: int, requests: int) -> Counter[int]:
    """Statuses of so many requests over each of so many connections at once."""
    statuses: Counter[int] = Counter()

    async def one() -> None:
        async with await connect(port) as client:
            for _ in range(requests):
                await client.send(get())
                statuses[(await client.response()).status] += 1

    async with asyncio.TaskGroup() as tasks:
        for _ in range(clients):
            tasks.create_task(one())
    return statuses


@in_loop
async def test_ten_workers_never_open_an_eleventh_connection_and_use_theirs_again() -> None:
    lines = "max_workers = 10\nmin_workers = 2\nworker_timeout = 300ms\nbuffer_size = 20"
    async with proxied(ok(), lines) as (server, running):
        assert await load(running.port, clients=64, requests=50) == {200: 3200}
        assert server.most == server.opened == 10
        await eventually(lambda: server.open == 2 and len(running.pool().workers) == 2)
        assert (await fetch(running.port)).status == 200
        assert server.open == 2
        assert len(server.requests) == 3201


@in_loop
async def test_a_pool_grows_under_load_from_nothing() -> None:
    gate = Gate()
    async with proxied(gate, "max_workers = 5\nmin_workers = 0\nbuffer_size = 10") as (_, running):
        assert len(running.pool().workers) == 0
        async with asyncio.TaskGroup() as tasks:
            answers = [tasks.create_task(fetch(running.port)) for _ in range(8)]
            await eventually(lambda: gate.waiting == 5 and len(running.pool().queue) == 3)
            gate.open.set()
        assert [answer.result().status for answer in answers] == [200] * 8


@in_loop
async def test_a_queue_that_stays_full_is_503_with_retry_after() -> None:
    gate = Gate()
    async with proxied(gate, "max_workers = 1\nbuffer_size = 1\nqueue_timeout = 200ms") as (_, running):
        async with asyncio.TaskGroup() as tasks:
            first = tasks.create_task(fetch(running.port))
            await eventually(lambda: gate.waiting == 1)
            late = [tasks.create_task(fetch(running.port)) for _ in range(3)]
            for refused in await asyncio.gather(*late):
                assert refused.status == 503
                assert refused.field(b"retry-after") == b"1"
            gate.open.set()
        assert first.result().status == 200
        assert (await fetch(running.port)).status == 200


@in_loop
async def test_who_finds_the_queue_full_is_served_in_turn_when_a_slot_is_free() -> None:
    gate = Gate()
    async with proxied(gate, "max_workers = 1\nbuffer_size = 1") as (server, running):
        async with asyncio.TaskGroup() as tasks:
            group = running.application.groups["http"].group

            def has_arrived(number: int) -> bool:
                return gate.waiting + len(running.pool().queue) + len(group.waiting) > number

            answers = []
            for number in range(6):
                answers.append(tasks.create_task(fetch(running.port, b"/%d" % number)))
                await eventually(functools.partial(has_arrived, number))
            gate.open.set()
        assert [answer.result().status for answer in answers] == [200] * 6
        assert server.requests == [b"GET /%d HTTP/1.1" % number for number in range(6)]


@in_loop
async def test_a_full_server_is_passed_over() -> None:
    gate = Gate()
    async with RawServer(gate) as slow, RawServer(ok(b"quick")) as quick:
        lines = "max_workers = 1\nbuffer_size = 1\nalgorithm = round-robin"
        async with proxy(http_route(slow.port, quick.port, lines=lines)) as running, asyncio.TaskGroup() as tasks:
            held = [tasks.create_task(fetch(running.port)) for _ in range(4)]  # two here, two there
            await eventually(lambda: gate.waiting == 1 and len(running.pool().queue) == 1)
            for _ in range(5):
                assert (await fetch(running.port)).body == b"quick"
            gate.open.set()
            assert {(await answer).status for answer in held} == {200}


@in_loop
async def test_round_robin_takes_turns() -> None:
    async with RawServer(ok(b"a")) as first, RawServer(ok(b"b")) as second, RawServer(ok(b"c")) as third:
        route = http_route(first.port, second.port, third.port, lines="algorithm = round-robin")
        async with proxy(route) as running, await connect(running.port) as client:
            bodies = b""
            for _ in range(9):
                await client.send(get())
                bodies += (await client.response()).body
    assert bodies == b"abcabcabc"


@in_loop
async def test_random_uses_every_server_about_as_often() -> None:
    async with RawServer(ok()) as first, RawServer(ok()) as second:
        async with proxy(http_route(first.port, second.port, lines="algorithm = random")) as running:
            assert await load(running.port, clients=4, requests=100) == {200: 400}
        # 400 throws of a coin are outside these bounds once in 10**9 runs
        assert 140 < len(first.requests) < 260


@in_loop
async def test_event_streams_that_hold_every_worker_are_named_in_the_log() -> None:
    async def script(wire: Wire) -> None:
        request = await wire.request()
        if request.target == b"/events":
            await wire.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n")
            await wire.rest()
        else:
            await wire.send(ok())

    with logged() as log:
        async with proxied(script, "max_workers = 3\nqueue_timeout = 200ms") as (_, running):
            streams = [await connect(running.port) for _ in range(3)]
            for stream in streams:
                await stream.send(get(b"/events"))
                await stream.until(b"data: 1")
            assert [(await fetch(running.port)).status for _ in range(3)] == [503] * 3
            await streams[0].close()
            assert (await fetch(running.port)).status == 200  # a worker is free again
            for stream in streams:
                await stream.close()
    (warning,) = [line for line in log.of("WARNING") if "max_workers" in line]
    assert "3 of them with one long answer each" in warning


@in_loop
async def test_a_client_that_leaves_the_queue_makes_room() -> None:
    gate = Gate()
    async with proxied(gate, "max_workers = 1\nbuffer_size = 1") as (server, running):
        async with asyncio.TaskGroup() as tasks:
            first = tasks.create_task(fetch(running.port))
            await eventually(lambda: gate.waiting == 1)
            async with await connect(running.port) as leaver:
                await leaver.send(get(b"/leaver"))
                await eventually(lambda: len(running.pool().queue) == 1)
            await eventually(lambda: len(running.pool().queue) == 0)
            gate.open.set()
            assert (await first).status == 200
        assert b"GET /leaver HTTP/1.1" not in server.requests


@in_loop
async def test_a_client_that_leaves_in_the_middle_ends_the_request_upstream() -> None:
    upstream_ended = anyio.Event()

    async def script(wire: Wire) -> None:
        request = await wire.request()
        if request.target != b"/slow":
            await wire.send(ok())
            return
        await wire.rest()
        upstream_ended.set()

    async with proxied(script, "max_workers = 1") as (server, running):
        async with await connect(running.port) as leaver:
            await leaver.send(get(b"/slow"))
            await eventually(lambda: server.open == 1)
        await upstream_ended.wait()
        assert (await fetch(running.port)).status == 200


@pytest.mark.parametrize("kept", [False, True])
@in_loop
async def test_a_client_that_ends_its_side_with_its_request_is_served(kept: bool) -> None:
    gate = Gate()
    async with proxied(gate, "max_workers = 1\nqueue_timeout = 1s") as (server, running):
        loop = asyncio.get_running_loop()
        with socket.create_connection(("127.0.0.1", running.port)) as hasty:
            hasty.setblocking(False)
            if kept:
                gate.open.set()
                await loop.sock_sendall(hasty, get())
                assert (await loop.sock_recv(hasty, 1000)).endswith(b"fine")
                gate.open.clear()
            hasty.send(get(b"/last"), socket.MSG_MORE)
            hasty.shutdown(socket.SHUT_WR)  # in one packet, so that they arrive together on the busiest machine
            await eventually(lambda: b"GET /last HTTP/1.1" in server.requests)
            gate.open.set()
            assert (await loop.sock_recv(hasty, 1000)).endswith(b"fine")
            assert await loop.sock_recv(hasty, 1) == b""
        await eventually(lambda: running.sessions == 0)


@in_loop
async def test_a_client_that_leaves_with_its_request_holds_no_worker_once_that_shows() -> None:
    async def script(wire: Wire) -> None:
        request = await wire.request()
        await wire.send(ok(b"x" * 1000) if request.target == b"/after" else b"HTTP/1.1 200 OK\r\n\r\nan endless stream")
        await wire.rest()

    async with proxied(script, "max_workers = 1") as (_, running):
        with socket.create_connection(("127.0.0.1", running.port)) as hasty:
            hasty.send(get())
        await eventually(lambda: running.sessions == running.pool().in_flight == 0)
        assert (await fetch(running.port, b"/after")).status == 200
