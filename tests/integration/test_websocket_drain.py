"""Drains through the product: the pace, the order, and who drains whom."""

from __future__ import annotations

import asyncio
import signal
from typing import cast

import anyio
import pytest

from tests.descriptors import needs_descriptors
from tests.integration.harness import (
    Proxy,
    RawServer,
    Wire,
    connect,
    eventually,
    fetch,
    http_route,
    in_loop,
    ok,
    proxy,
)
from tests.integration.websocket_pair import frames_until_end, relayed, relays_of
from tests.integration.websocket_wire import (
    CONTINUATION,
    TEXT,
    acceptance,
    close,
    closing,
    echo,
    frame,
    handshake,
    open_websocket,
    receive_frame,
)

SESSIONS = 2000
RATE = 400


class Upstream(asyncio.Protocol):
    """A WebSocket server that says nothing, and echoes a Close."""

    def __init__(self) -> None:
        self._head = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._head.endswith(b"\r\n\r\n"):
            self.transport.write(close(1001))
            self.transport.close()
            return
        self._head += data
        if self._head.endswith(b"\r\n\r\n"):
            self.transport.write(acceptance(self._head))


class Client(asyncio.Protocol):
    """A client that notes when it is told to go."""

    def __init__(self, told: list[float]) -> None:
        self._told = told
        self.opened = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.write(handshake())

    def data_received(self, data: bytes) -> None:
        if not self.opened.done():
            assert data.startswith(b"HTTP/1.1 101 ")
            self.opened.set_result(None)
        else:
            assert data == frame(8, closing(1001)[1])
            self._told.append(asyncio.get_running_loop().time())
            self.transport.write(close(1001, masked=True))


@in_loop
async def test_two_thousand_sessions_leave_in_a_flat_line() -> None:
    needs_descriptors(4 * SESSIONS + 500)  # both ends and both legs are in this process
    loop = asyncio.get_running_loop()
    told: list[float] = []
    server = await loop.create_server(Upstream, "127.0.0.1", 0, backlog=4096)
    async with server:
        lines = f"drain_rate = {RATE}\nping_interval = none\n"
        lines += "max_workers = 50\nbuffer_size = 2000\nconnect_timeout = 60s"
        route = http_route(server.sockets[0].getsockname()[1], lines=lines, section="websocket")
        async with proxy(route, "shutdown_timeout = 120s") as running:
            for _ in range(SESSIONS // 100):
                pairs = [
                    await loop.create_connection(lambda: Client(told), "127.0.0.1", running.port) for _ in range(100)
                ]
                for _, client in pairs:
                    await client.opened
            await eventually(lambda: running.relays == SESSIONS)
            started = loop.time()
            signal.raise_signal(signal.SIGTERM)
            await eventually(lambda: not running.relays)
            assert relays_of(running).totals.drained == SESSIONS
    assert len(told) == SESSIONS
    told_s = sorted(moment - started for moment in told)
    # Nobody is told before the line says so, to a slot; later they may hear of it, as both ends share this machine.
    ahead = [number - RATE * moment_s for number, moment_s in enumerate(told_s)]
    assert max(ahead) < 2, ahead
    assert told_s[SESSIONS // 2] < 0.8 * told_s[-1], "a step at the end"


@in_loop
async def test_the_idle_go_first() -> None:
    async with RawServer(echo) as server:
        lines = "drain_rate = 10\nidle_timeout = 1h"
        async with proxy(http_route(server.port, lines=lines, section="websocket")) as running:
            clients = [await open_websocket(running.port) for _ in range(4)]
            busy = clients[1]
            relays = relays_of(running)
            while len({relay.idle_since for relay in relays.open}) == 1:  # until a sweep has seen one's message
                await busy.send(frame(TEXT, b"busy", masked=True))
                assert await receive_frame(busy) == (TEXT, b"busy")
            order: list[int] = []

            async def wait(number: int) -> None:
                while (await receive_frame(clients[number]))[0] != 8:
                    pass
                order.append(number)
                await clients[number].send(close(1001, masked=True))

            async with anyio.create_task_group() as tasks:
                for number in range(4):
                    tasks.start_soon(wait, number)
                signal.raise_signal(signal.SIGTERM)
            assert order[-1] == 1
            for client in clients:
                await client.close()


def two_routes(first: RawServer, second: RawServer) -> str:
    lines = "algorithm = round-robin"
    return http_route(first.port, second.port, lines=lines, section="websocket")


async def remove(running: Proxy, port: int) -> None:
    """Take a server out of the group, as a managed or discovered one that goes does."""
    assert await running.application.groups["websocket"].group.remove(f"127.0.0.1:{port}") is not None


@in_loop
async def test_a_backend_that_is_removed_is_drained_and_the_others_stay() -> None:
    async with RawServer(echo) as first, RawServer(echo) as second, proxy(two_routes(first, second)) as running:
        clients = [await open_websocket(running.port) for _ in range(4)]
        await eventually(lambda: running.relays == 4)
        await remove(running, first.port)
        await eventually(lambda: relays_of(running).totals.drained == 2)
        for client in (clients[0], clients[2]):
            assert await receive_frame(client) == closing(1012)
            await client.send(close(1012, masked=True))
            assert await client.rest() == b""
        for client in (clients[1], clients[3]):
            await client.send(frame(TEXT, b"still here", masked=True))
            assert await receive_frame(client) == (TEXT, b"still here")
        again = await open_websocket(running.port)
        assert (first.opened, second.opened) == (2, 3)
        for client in (*clients, again):
            await client.close()


@in_loop
async def test_a_backend_that_dies_while_it_leaves_is_1012_for_the_client() -> None:
    async with relayed() as pair:
        group = pair.running.application.groups["websocket"].group
        (backend,) = group.backends.values()
        backend.leaving = True
        pair.upstream.reset()
        assert await frames_until_end(pair.client) == [closing(1012)]


@in_loop
async def test_a_close_waits_for_the_end_of_a_message_but_not_for_ever() -> None:
    async with relayed(frontend="shutdown_timeout = 600ms") as pair:
        await pair.client.send(frame(TEXT, b"never ", masked=True, fin=False))
        assert await receive_frame(pair.upstream) == (TEXT, b"never ")
        signal.raise_signal(signal.SIGTERM)
        assert await receive_frame(pair.client) == closing(1001)
        await pair.client.send(frame(CONTINUATION, b"ends", masked=True, fin=False))
        assert await receive_frame(pair.upstream) == (CONTINUATION, b"ends")
        assert await frames_until_end(pair.upstream) == [closing(1001)], "at a frame boundary, when its time is over"


@pytest.mark.parametrize(("successor", "code"), [(None, 1001), (1, 1012)])
@in_loop
async def test_whose_turn_does_not_come_is_told_the_same_at_the_deadline(successor: int | None, code: int) -> None:
    async with RawServer(echo) as server:
        route = http_route(server.port, lines="drain_rate = 1/m", section="websocket")
        async with proxy(route, "shutdown_timeout = 200ms") as running:
            clients = [await open_websocket(running.port) for _ in range(3)]
            await eventually(lambda: running.relays == 3)
            running.application.successor = successor
            signal.raise_signal(signal.SIGTERM)
            for client in clients:
                async with client:
                    assert await frames_until_end(client) == [closing(code)]


@pytest.mark.parametrize(("successor", "code"), [(None, 1001), (1, 1012)])
@in_loop
async def test_a_handshake_under_way_is_let_in_and_told_to_go(successor: int | None, code: int) -> None:
    asked, released = asyncio.Event(), asyncio.Event()

    async def script(wire: Wire) -> None:
        request = await wire.request()
        asked.set()
        await released.wait()
        await wire.send(acceptance(request.head))
        assert await receive_frame(wire) == closing(1001)
        await wire.send(close(1001))

    async with (
        RawServer(script) as server,
        proxy(http_route(server.port, section="websocket")) as running,
        await connect(running.port) as client,
    ):
        await client.send(handshake())
        await asked.wait()
        running.application.successor = successor
        signal.raise_signal(signal.SIGTERM)
        await eventually(lambda: running.application.listeners.are_draining)
        released.set()
        assert (await client.response()).status == 101
        assert await receive_frame(client) == closing(code)
        await client.send(close(code, masked=True))
        assert await client.rest() == b""


@in_loop
async def test_requests_are_served_while_websockets_drain() -> None:
    async with RawServer(echo) as server, RawServer(ok()) as web:
        routes = http_route(server.port, lines="drain_rate = 1", section="websocket") + http_route(web.port)
        async with proxy(routes) as running:
            clients = [await open_websocket(running.port) for _ in range(3)]
            await remove(running, server.port)
            assert (await fetch(running.port)).status == 200
            assert running.relays == 3
            for client in clients:
                await client.close()
