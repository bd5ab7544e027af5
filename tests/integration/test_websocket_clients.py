"""WebSocket clients and servers that others wrote, through the product: libraries, a browser, any stream."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import anyio
import pytest
from aiohttp import web
from anyio.abc import SocketAttribute
from websockets.asyncio.client import connect as websocket_connect
from websockets.asyncio.server import ServerConnection, serve

from tests.integration.browser import browser
from tests.integration.harness import RawServer, Wire, connect, eventually, http_route, in_loop, proxy
from tests.integration.websocket_pair import frames_until_end, relayed, relays_of
from tests.integration.websocket_wire import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    acceptance,
    close,
    closing,
    frame,
    handshake,
    receive_frame,
)
from wsproxy.demo.server import Demo
from wsproxy.ws.control import GOING_AWAY

MESSAGES: tuple[str | bytes, ...] = ("hello", b"\x00\xff", "ü" * 100_000, b"", "", os.urandom(3_000_000))


async def library_echo(connection: ServerConnection) -> None:
    async for message in connection:
        await connection.send(message)


@asynccontextmanager
async def echoing() -> AsyncIterator[int]:
    """A server of the `websockets` library that takes messages of any size and compresses for who asks; its port."""
    async with serve(library_echo, "127.0.0.1", 0, max_size=None) as server:
        yield next(iter(server.sockets)).getsockname()[1]


@pytest.mark.parametrize("compression", ["deflate", None])
@in_loop
async def test_websockets(compression: str | None) -> None:
    async with echoing() as port, proxy(http_route(port, section="websocket")) as running:
        url = f"ws://127.0.0.1:{running.port}/ws"
        async with websocket_connect(url, compression=compression, max_size=None) as client:
            assert bool(client.protocol.extensions) is (compression is not None)
            for message in MESSAGES:
                await client.send(message)
                assert await client.recv() == message
            await client.send(["in ", "three ", "fragments"])
            assert await client.recv() == "in three fragments"
            await (await client.ping(b"mine"))
            await client.close(4321, "done")
        assert (client.close_code, client.close_reason) == (4321, "done")
        await eventually(lambda: running.relays == 0)
        assert relays_of(running).totals.closes == {("client", 4000): 1}


async def aiohttp_echo(request: web.Request) -> web.WebSocketResponse:
    """Echo until the client says so, then close first, in the server's own words."""
    websocket = web.WebSocketResponse(protocols=["chat"], max_msg_size=0)
    await websocket.prepare(request)
    async for message in websocket:
        if message.data == "close":
            await websocket.close(code=4999, message=b"as you wish")
        elif message.type == aiohttp.WSMsgType.TEXT:
            await websocket.send_str(message.data)
        else:
            await websocket.send_bytes(message.data)
    return websocket


@asynccontextmanager
async def aiohttp_server() -> AsyncIterator[int]:
    """An aiohttp application whose every path is an echo; its port."""
    application = web.Application()
    application.router.add_get("/{path:.*}", aiohttp_echo)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("window_bits", [0, 15], ids=["plain", "deflate"])
@in_loop
async def test_aiohttp(window_bits: int) -> None:
    async with (
        aiohttp_server() as port,
        proxy(http_route(port, section="websocket")) as running,
        aiohttp.ClientSession() as session,
        session.ws_connect(
            f"http://127.0.0.1:{running.port}/ws", compress=window_bits, protocols=["other", "chat"], max_msg_size=0
        ) as client,
    ):
        assert (client.protocol, client.compress) == ("chat", window_bits)
        for message in MESSAGES:
            await (client.send_str(message) if isinstance(message, str) else client.send_bytes(message))
            assert (await client.receive()).data == message
        await client.send_str("close")
        last = await client.receive()
        assert (last.type, last.data, last.extra) == (aiohttp.WSMsgType.CLOSE, 4999, "as you wish")


@asynccontextmanager
async def demo() -> AsyncIterator[int]:
    """The backend of the shipped proxy.ini; its port."""
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(Demo("the demo").run, listener)
        try:
            yield listener.extra(SocketAttribute.local_port)
        finally:
            tasks.cancel_scope.cancel()


@in_loop
async def test_a_browser_uses_the_demos_page() -> None:
    """Its WebSockets open with what Chromium offers, a message comes back, a Close is told, and it comes back."""
    lines = "on_backend_loss = reconnect"  # the route that changes what is agreed on
    async with demo() as port:
        routes = http_route(port) + http_route(port, section="websocket", lines=lines)
        async with proxy(routes) as running, browser() as page:
            await page.open(f"http://127.0.0.1:{running.port}/")
            await page.until("state.classList.contains('open')")
            await page.run("text.value = 'from a browser'; document.querySelector('form').requestSubmit()")
            await page.until("document.querySelector('#log li')?.lastChild.textContent == 'from a browser'")
            assert relays_of(running).totals.handshakes["opened"] == 2  # the clock, and the echo
            relays = relays_of(running)
            relays.drain(relays.open, GOING_AWAY)
            await page.until("state.textContent.includes('closed (1001)')")
            await page.until("state.classList.contains('open')")
            assert not page.problems


async def drip(wire: Wire, data: bytes) -> None:
    """Send byte by byte; the proxy, in the same loop, has time to read each of them alone."""
    for at in range(len(data)):
        await wire.send(data[at : at + 1])
        await asyncio.sleep(0)


@in_loop
async def test_one_byte_at_a_time_both_ways() -> None:
    said = [
        frame(TEXT, b"in pieces, ", masked=True, fin=False),
        frame(PING, b"amid them", masked=True),
        frame(CONTINUATION, b"but whole", masked=True),
        frame(BINARY, bytes(300), masked=True),
        close(4001, b"done", masked=True),
    ]
    heard = bytearray()

    async def script(wire: Wire) -> None:
        await drip(wire, acceptance((await wire.request()).head))
        heard.extend(await wire.exactly(sum(map(len, said))))
        for opcode, fin in ((TEXT, False), (PONG, True), (CONTINUATION, True)):
            await drip(wire, frame(opcode, b"heard", fin=fin))
        await drip(wire, close(4001, b"done"))

    async with RawServer(script) as server, proxy(http_route(server.port, section="websocket")) as running:
        async with await connect(running.port) as client:
            await drip(client, handshake())
            assert (await client.response()).status == 101
            await drip(client, b"".join(said))
            assert [await receive_frame(client) for _ in range(3)] == [
                (TEXT, b"heard"),
                (PONG, b"heard"),
                (CONTINUATION, b"heard"),
            ]
            assert await frames_until_end(client) == [(CLOSE, closing(4001)[1] + b"done")]
        assert bytes(heard) == b"".join(said)
        await eventually(lambda: running.relays == 0)
        totals = relays_of(running).totals
        assert (totals.client.messages, totals.client.pings, totals.upstream.messages) == (2, 1, 1)


def random_stream(messages: int, rng: random.Random, masked: bool) -> bytes:
    """So many messages, as frames: any sizes, mostly small, cut into fragments with pings and pongs between."""
    pieces: list[bytes] = []
    for _ in range(messages):
        fragments = rng.choice((1, 1, 1, 2, 5))
        for index in range(fragments):
            size = rng.choice((0, 1, 7, 125, 126, 127, 1000)) if rng.random() < 0.999 else rng.randrange(200_000)
            opcode = CONTINUATION if index else rng.choice((TEXT, BINARY))
            pieces.append(random_frame(opcode, size, rng, masked, fin=index == fragments - 1))
            if rng.random() < 0.05:
                pieces.append(random_frame(rng.choice((PING, PONG)), rng.randrange(126), rng, masked))
    return b"".join(pieces)


def random_frame(opcode: int, size: int, rng: random.Random, masked: bool, fin: bool = True) -> bytes:
    """A frame whose payload may be anything, so that it need not be masked to be a masked one."""
    head = frame(opcode, bytes(size), fin=fin)[: -size or None]
    if masked:
        return bytes((head[0], head[1] | 0x80)) + head[2:] + rng.randbytes(4 + size)
    return head + rng.randbytes(size)


async def send_in_chunks(wire: Wire, data: bytes, rng: random.Random) -> None:
    """Send it cut anywhere."""
    at = 0
    while at < len(data):
        size = rng.choice((1, 2, 100, 5000, 70_000))
        await wire.send(data[at : at + size])
        at += size


@in_loop
async def test_a_hundred_thousand_messages_arrive_byte_for_byte() -> None:
    rng = random.Random(20_251_121)
    messages = 50_000
    to_upstream, to_client = (random_stream(messages, rng, masked) for masked in (True, False))
    async with relayed() as pair:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(send_in_chunks(pair.client, to_upstream, random.Random(1)))
            tasks.create_task(send_in_chunks(pair.upstream, to_client, random.Random(2)))
            at_upstream = tasks.create_task(pair.upstream.exactly(len(to_upstream)))
            at_client = tasks.create_task(pair.client.exactly(len(to_client)))
        assert at_upstream.result() == to_upstream
        assert at_client.result() == to_client
        await pair.client.send(close(1000, masked=True))
        await receive_frame(pair.upstream)
        await pair.upstream.send(close(1000))
        await pair.upstream.close()
        await eventually(lambda: pair.running.relays == 0)
        assert (pair.totals.client.messages, pair.totals.upstream.messages) == (messages, messages)
