"""Clients that hold what they do not use: heads by the byte, answers they do not read, connections without end."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from tests.descriptors import needs_descriptors
from tests.integration.harness import Proxy, connect, eventually, fetch, get, in_loop, ok, proxied, proxy
from tests.yardstick import cost_s
from wsproxy.frontend.session import ClientSession
from wsproxy.net.deadlines import NEVER
from wsproxy.net.stream import Stream

CROWD = 2000
"""Connections of the slowloris."""

LARGE = bytes(32 * 1024 * 1024)
"""More than the sockets of both sides hold."""


@in_loop
async def test_a_slowloris_is_shed_while_others_are_served() -> None:
    needs_descriptors(2 * CROWD + 500)
    async with proxied(ok(), frontend="header_timeout = 1h") as (server, running), AsyncExitStack() as held:
        deadlines = running.application.deadlines
        crowd = [await held.enter_async_context(await connect(running.port)) for _ in range(CROWD)]
        for client in crowd:
            await client.send(b"GET / HTTP/1.1\r\nX-A: ")
        await eventually(lambda: running.sessions == CROWD)
        due = max(session.deadline for session in sessions_of(running))
        assert due <= deadlines.base + 3600
        await eventually(lambda: deadlines.base + 3600 > due)  # who were put off would be due later
        for _ in range(3):
            for client in crowd:
                await client.send(b"x")
            assert (await fetch(running.port)).status == 200
        await eventually(lambda: all(stream.buffer.endswith(b"xxx") for stream in streams_of(running)))
        assert cost_s(lambda: deadlines.sweep(deadlines.now), limit_s=0.02) < 0.02, "they take others their time"
        assert running.sessions == CROWD
        assert max(session.deadline for session in sessions_of(running)) == due, "their bytes have put it off"
        deadlines.sweep(due)
        replies = [await client.rest() for client in crowd]
        assert all(reply.startswith(b"HTTP/1.1 408 ") for reply in replies)
        await eventually(lambda: running.sessions == 0)
        assert server.opened >= 1
        assert (await fetch(running.port)).status == 200


@in_loop
async def test_a_new_connection_has_one_header_timeout_for_its_first_byte_and_its_head() -> None:
    async with proxied(ok(), frontend="header_timeout = 10s") as (_, running), await connect(running.port) as client:
        await eventually(lambda: running.sessions == 1)
        deadlines = running.application.deadlines
        (session,) = sessions_of(running)
        due = session.deadline
        deadlines.sweep(deadlines.now + 9)
        await client.send(b"GET /")
        await eventually(lambda: session._stream.buffer != b"")
        assert session.deadline == due
        deadlines.sweep(due)
        assert (await client.response()).status == 408


@in_loop
async def test_a_client_that_reads_nothing_of_its_answer_is_ended() -> None:
    async with proxied(ok(LARGE), frontend="body_timeout = 200ms") as (_, running):
        async with await connect(running.port, ahead_bytes=1024) as client:
            await client.send(get())
            await client.until(b"\r\n\r\n")
            await eventually(lambda: running.sessions == 0)
            assert len(await client.rest()) < len(LARGE)
        await eventually(lambda: running.pool().in_flight == 0)


@pytest.mark.parametrize("route", ["respond = 200 {path}", "redirect = https://{host}{path}", "respond = 404"])
@in_loop
async def test_a_client_that_asks_on_and_reads_no_answer_gets_no_more_of_them(route: str) -> None:
    request = get(b"/" + b"x" * 2000) * 20
    lines = "keepalive_requests = 1000000\nbody_timeout = 1h"
    async with proxy(f"[http]\n{route}\n", lines) as running, await connect(running.port, ahead_bytes=1024) as client:
        asked = asyncio.create_task(client.send(*[request] * 5_000))
        await eventually(lambda: any(stream.write_paused for stream in streams_of(running)))
        await eventually(lambda: all(not stream.transport.is_reading() for stream in streams_of(running)))
        (stream,) = streams_of(running)
        assert stream.unsent_bytes < 256 * 1024
        assert not asked.done()
        (session,) = sessions_of(running)
        assert session.deadline == NEVER, "it is the client's turn, for body_timeout and not for keepalive_timeout"
        asked.cancel()
        client.reset()
        await eventually(lambda: running.sessions == 0)


@in_loop
async def test_a_client_that_never_reads_its_answers_is_ended() -> None:
    lines = "keepalive_requests = 1000000\nbody_timeout = 200ms"
    async with proxy("[http]\nrespond = 404\n", lines) as running, await connect(running.port, 1024) as client:
        with pytest.raises(ConnectionError):
            await client.send(*[get() * 100] * 100_000)
        await eventually(lambda: running.sessions == 0)


def sessions_of(running: Proxy) -> list[ClientSession]:
    sessions = running.application.listeners.frontends[0].service.sessions
    return [session for session in sessions if isinstance(session, ClientSession)]


def streams_of(running: Proxy) -> list[Stream]:
    return [session._stream for session in sessions_of(running)]


@in_loop
async def test_clients_beyond_max_connections_wait_for_a_place() -> None:
    async with proxied(ok(), frontend="max_connections = 2") as (_, running), AsyncExitStack() as held:
        first = await held.enter_async_context(await connect(running.port))
        second = await held.enter_async_context(await connect(running.port))
        for client in (first, second):
            await client.send(get())
            assert (await client.response()).status == 200
        third = await held.enter_async_context(await connect(running.port))
        await third.send(get())
        for client in (first, second):  # whoever has a place keeps being served
            await client.send(get())
            assert (await client.response()).status == 200
        assert running.sessions == 2
        await first.close()
        assert (await third.response()).status == 200
