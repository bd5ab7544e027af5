"""Ten thousand clients that leave in the middle: nothing of them may stay."""

from __future__ import annotations

import asyncio
import gc
import operator
import os
import socket
import struct
import sys
import tracemalloc
from contextlib import suppress

import pytest

from tests.integration.harness import (
    Proxy,
    RawServer,
    Wire,
    eventually,
    fetch,
    get,
    http_route,
    in_loop,
    ok,
    proxied,
    proxy,
)
from tests.integration.websocket_wire import accept, handshake
from wsproxy.frontend.half_closed import ENDED_WITH_REQUEST_S

AT_A_TIME = 100
"""Leavers side by side: enough for every order of events, and few enough descriptors for a laptop's limit."""

KEPT_BLOCKS = 3_000
"""Small objects that may be more after 10,000 leavers than after 1,000: one that stays of every third client shows."""

KEPT_BYTES = 128 * 1024
"""Memory that may be more after the last 2,000 leavers than before: a leak of 64 bytes a client shows. Traced for them
alone, as that makes everything several times as slow."""

RESET = struct.pack("ii", 1, 0)


async def leave(port: int, number: int) -> None:
    """Ask for something and go: at once, behind the head, or in the middle of the body; orderly or by a reset."""
    loop = asyncio.get_running_loop()
    with socket.socket() as client:
        client.setblocking(False)
        await loop.sock_connect(client, ("127.0.0.1", port))
        if number % 2:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        with suppress(ConnectionError):
            if number % 8 == 7:
                await loop.sock_sendall(client, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99\r\n\r\nhalf")
            else:
                await loop.sock_sendall(client, handshake() if number % 8 == 6 else get())
            if number % 4 >= 2:
                await loop.sock_recv(client, 10)


async def leave_together(port: int, numbers: range) -> None:
    """Let these clients come and go, a hundred at a time."""
    pending = iter(numbers)

    async def some() -> None:
        for number in pending:
            await leave(port, number)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(AT_A_TIME):
            tasks.create_task(some())


async def half(wire: Wire) -> None:
    """A server that begins every answer and ends none but one, so that it is always the client who goes."""
    if (await wire.until(b"\r\n\r\n")).startswith(b"GET /whole "):
        await wire.send(ok())
        return
    await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nhalf")
    await wire.rest()


async def open_half(wire: Wire) -> None:
    """The same for WebSockets: open and silent."""
    await accept(wire)
    await wire.rest()


async def settled(running: Proxy, *servers: RawServer) -> None:
    """Wait till nobody is left."""
    await eventually(lambda: running.sessions == running.relays == 0)
    await eventually(lambda: all(server.open == 0 for server in servers))
    await eventually(lambda: not any(running.pool(group).workers for group in ("http", "websocket")))
    for server in servers:
        server.wires.clear()


def left_over(running: Proxy) -> tuple[int, int, int]:
    """Tasks, descriptors and watched deadlines."""
    return len(asyncio.all_tasks()), len(os.listdir("/proc/self/fd")), len(running.application.deadlines)


def kept_blocks() -> int:
    gc.collect()
    return sys.getallocatedblocks()


def kept_bytes() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="descriptors are counted in /proc (Linux)")
@in_loop
async def test_ten_thousand_clients_that_leave_in_the_middle_leave_nothing_behind() -> None:
    async with RawServer(half) as server, RawServer(open_half) as sockets:
        lines = "max_workers = 50\nmin_workers = 0\nworker_timeout = 100ms\nbuffer_size = 100"
        routes = http_route(server.port, lines=lines)
        routes += http_route(sockets.port, lines=lines, section="websocket")
        async with proxy(routes) as running:
            await settled(running, server, sockets)
            at_first = left_over(running)  # the first probes are under way, so it may become less
            await leave_together(running.port, range(1_000))
            await settled(running, server, sockets)
            await eventually(lambda: all(map(operator.le, left_over(running), at_first)))
            blocks = kept_blocks()
            await leave_together(running.port, range(1_000, 7_000))
            tracemalloc.start()
            try:
                await leave_together(running.port, range(7_000, 8_000))  # what is kept for later is known of then
                await settled(running, server, sockets)
                before = kept_bytes()
                await leave_together(running.port, range(8_000, 10_000))
                await settled(running, server, sockets)
                await eventually(lambda: all(map(operator.le, left_over(running), at_first)))
                assert kept_bytes() - before < KEPT_BYTES
                assert kept_blocks() - blocks < KEPT_BLOCKS
            finally:
                tracemalloc.stop()
            assert (await fetch(running.port, b"/whole")).status == 200


@in_loop
async def test_what_began_for_a_client_that_goes_just_then_is_not_given_to_the_next() -> None:
    begun: list[Wire] = []

    async def serve(wire: Wire) -> None:
        while True:
            if (await wire.request()).target == b"/mine":
                begun.append(wire)
                await wire.rest()
                return
            await wire.send(ok())

    one_worker = "server1_min_workers = 1\nserver1_max_workers = 1"
    async with proxied(serve, one_worker) as (_, running):
        for _ in range(4):
            assert (await fetch(running.port)).body == b"fine"
        with socket.create_connection(("127.0.0.1", running.port)) as client:
            client.sendall(get(b"/mine"))
            await eventually(lambda: bool(begun))
            await asyncio.sleep(2 * ENDED_WITH_REQUEST_S)  # or it would be one that still waits for its answer
            begun[0].send_now(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nSet-Cookie: session=mine\r\n\r\nm")
        response = await fetch(running.port)  # the proxy's loop has had no turn between the two
        assert response.body == b"fine"
        assert response.field(b"set-cookie") is None
