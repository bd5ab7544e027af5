"""WebSockets through the product: handshakes, what passes between, and that an open one holds no worker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.client import connect as websocket_connect
from websockets.asyncio.server import ServerConnection, serve

from tests.integration.harness import (
    Message,
    RawServer,
    Script,
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
from tests.integration.websocket_wire import (
    BINARY,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    accept,
    acceptance,
    close,
    echo,
    frame,
    handshake,
    open_websocket,
    receive_frame,
)


def route(*ports: int, lines: str = "") -> str:
    """A `[websocket]` route alone."""
    return http_route(*ports, lines=lines, section="websocket")


@asynccontextmanager
async def websocket_to(script: Script, early: bytes = b"") -> AsyncIterator[Wire]:
    """A client's WebSocket through the product to one raw server; `early` goes right behind the handshake."""
    async with (
        RawServer(script) as server,
        proxy(route(server.port)) as running,
        await open_websocket(running.port, early) as client,
    ):
        yield client


@in_loop
async def test_frames_pass_both_ways() -> None:
    async with websocket_to(echo) as client:
        for opcode, payload in ((TEXT, b"hello"), (BINARY, bytes(256)), (TEXT, b""), (BINARY, b"x" * 70_000)):
            await client.send(frame(opcode, payload, masked=True))
            assert await receive_frame(client) == (opcode, payload)
        await client.send(frame(PING, b"are you there", masked=True))
        assert await receive_frame(client) == (PONG, b"are you there")


@in_loop
async def test_a_frame_arrives_as_it_was_sent_with_the_clients_own_mask() -> None:
    pieces = (frame(TEXT, b"a", True, fin=False), frame(PING, b"p", True), frame(CONTINUATION, b"b", True))

    async def script(wire: Wire) -> None:
        await accept(wire)
        assert await wire.exactly(len(b"".join(pieces))) == b"".join(pieces)
        await wire.send(frame(TEXT, b"got it"))
        await wire.rest()

    async with websocket_to(script) as client:
        await client.send(*pieces)
        assert await receive_frame(client) == (TEXT, b"got it")


@in_loop
async def test_what_the_upstream_is_told_of_the_client() -> None:
    async def script(wire: Wire) -> None:
        requests.append(await accept(wire))
        await wire.rest()

    requests: list[Message] = []
    async with RawServer(script) as server, proxy(route(server.port)) as running, await connect(running.port) as client:
        await client.send(handshake(b"Origin: http://page.example", b"X-Forwarded-For: 6.6.6.6", b"Keep-Alive: 1"))
        assert (await client.response()).status == 101
    (request,) = requests
    assert request.field(b"connection") == b"Upgrade"
    assert request.field(b"upgrade") == b"websocket"
    assert request.field(b"origin") == b"http://page.example"
    assert request.field(b"x-forwarded-for") == b"127.0.0.1"
    assert request.field(b"keep-alive") is None


@in_loop
async def test_a_frame_right_behind_the_handshake_is_kept() -> None:
    async with websocket_to(echo, early=frame(TEXT, b"early", masked=True)) as client:
        assert await receive_frame(client) == (TEXT, b"early")


@in_loop
async def test_a_frame_right_behind_the_101_is_kept() -> None:
    async def script(wire: Wire) -> None:
        await accept(wire, early=frame(TEXT, b"early") + frame(TEXT, b"bird"))
        await wire.rest()

    async with websocket_to(script) as client:
        assert await receive_frame(client) == (TEXT, b"early")
        assert await receive_frame(client) == (TEXT, b"bird")


@in_loop
async def test_fifty_websockets_leave_the_only_worker_free() -> None:
    async def script(wire: Wire) -> None:
        while True:
            request = await wire.request()
            if request.field(b"upgrade"):
                await wire.send(acceptance(request.head))
                while True:
                    await wire.send(frame(*await receive_frame(wire)))
            await wire.send(ok())

    async with RawServer(script) as server:
        routes = f"[group:all]\nserver1 = 127.0.0.1:{server.port}\nmax_workers = 1\n"
        routes += "[websocket]\ngroup = all\n[http]\ngroup = all\n"
        async with proxy(routes) as running:
            clients = [await open_websocket(running.port) for _ in range(50)]
            (backend,) = running.application.groups["all"].group.backends.values()
            await eventually(lambda: backend.pool.in_flight == 0)
            assert (running.relays, backend.leases, len(backend.pool.workers)) == (50, 50, 1)
            assert (await fetch(running.port)).status == 200
            for number, client in enumerate(clients):
                await client.send(frame(TEXT, b"%d" % number, masked=True))
            assert [await receive_frame(client) for client in clients] == [(TEXT, b"%d" % n) for n in range(50)]
            for client in clients:
                await client.close()
            await eventually(lambda: (running.relays, backend.leases, server.open) == (0, 0, 1))


@in_loop
async def test_a_handshake_waits_in_the_queue_like_any_request() -> None:
    release = asyncio.Event()

    async def script(wire: Wire) -> None:
        await wire.request()
        await release.wait()
        await wire.send(acceptance(handshake()))
        await wire.rest()

    async with RawServer(script) as server:
        lines = "max_workers = 1\nbuffer_size = 1\nqueue_timeout = 200ms"
        async with proxy(route(server.port, lines=lines)) as running, asyncio.TaskGroup() as tasks:
            held = tasks.create_task(open_websocket(running.port))
            await eventually(lambda: server.open == 1)
            async with await connect(running.port) as late:
                await late.send(handshake())
                response = await late.response()
                assert (response.status, response.field(b"retry-after")) == (503, b"1")
            release.set()
            await (await held).close()


@in_loop
async def test_a_handshake_goes_to_the_next_server_when_one_refuses_the_connection() -> None:
    async with RawServer(echo) as dead, RawServer(echo) as server:
        await dead.stop()
        lines = "algorithm = round-robin\nhealth_check_fall = 100"
        async with proxy(route(dead.port, server.port, lines=lines)) as running:
            for _ in range(4):
                await (await open_websocket(running.port)).close()
        assert server.opened == 4


ANSWERS = {
    "401": b"HTTP/1.1 401 Unauthorized\r\nDate: D\r\nWWW-Authenticate: Basic\r\nContent-Length: 6\r\n\r\nwho?\r\n",
    "403": b"HTTP/1.1 403 Forbidden\r\nDate: D\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\nno!",
    "426": b"HTTP/1.1 426 Upgrade Required\r\nDate: D\r\nSec-WebSocket-Version: 13\r\nContent-Length: 0\r\n\r\n",
    "426 with upgrade": (
        b"HTTP/1.1 426 Upgrade Required\r\nDate: D\r\nSec-WebSocket-Version: 13\r\nContent-Length: 0\r\n"
        b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    ),
    "200": b"HTTP/1.1 200 OK\r\nDate: D\r\nContent-Length: 4\r\n\r\npage",
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
@in_loop
async def test_an_answer_that_is_no_101_passes_whole_and_the_connection_goes_on(answer: bytes) -> None:
    async with RawServer(answer) as server, proxy(route(server.port)) as running:
        async with await connect(running.port) as client:
            for _ in range(2):
                await client.send(handshake())
                assert await client.exactly(len(answer)) == answer
        assert server.opened == 1


BAD_101 = {
    "no accept": b"HTTP/1.1 101 OK\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    "another protocol": b"HTTP/1.1 101 OK\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
}

MISFIT_101 = {
    "wrong accept": acceptance(handshake()).replace(b"Accept: ", b"Accept: x"),
    "a subprotocol nobody offered": acceptance(handshake(), b"Sec-WebSocket-Protocol: chat"),
    "an extension nobody offered": acceptance(handshake(), b"Sec-WebSocket-Extensions: permessage-deflate"),
}


@pytest.mark.parametrize("answer", BAD_101.values(), ids=BAD_101)
@in_loop
async def test_a_bad_101_is_502(answer: bytes) -> None:
    async with RawServer(answer) as server, proxy(route(server.port)) as running:
        reply = await raw_request(running.port, handshake())
        assert reply.startswith(b"HTTP/1.1 502 ")
        await eventually(lambda: server.open == 0)


@pytest.mark.parametrize("answer", MISFIT_101.values(), ids=MISFIT_101)
@in_loop
async def test_a_101_that_does_not_fit_is_the_clients_to_refuse(
    answer: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        RawServer(answer) as server,
        proxy(route(server.port)) as running,
        await connect(running.port) as client,
    ):
        await client.send(handshake())
        assert sorted((await client.exactly(len(answer))).split(b"\r\n")) == sorted(answer.split(b"\r\n"))
        assert "a client will refuse its 101" in caplog.text


@pytest.mark.parametrize("lines", ["inspect = yes", "on_backend_loss = reconnect"])
@pytest.mark.parametrize("answer", MISFIT_101.values(), ids=MISFIT_101)
@in_loop
async def test_a_101_that_does_not_fit_is_502_where_the_proxy_has_a_part_in_it(answer: bytes, lines: str) -> None:
    async with RawServer(answer) as server, proxy(route(server.port, lines=lines)) as running:
        reply = await raw_request(running.port, handshake())
        assert reply.startswith(b"HTTP/1.1 502 ")
        await eventually(lambda: server.open == 0)


BAD_HANDSHAKES = {
    "version 8": (handshake().replace(b"Version: 13", b"Version: 8"), b"426"),
    "no version": (handshake().replace(b"Sec-WebSocket-Version: 13\r\n", b""), b"426"),
    "no key": (handshake().replace(b"Sec-WebSocket-Key", b"X-Key"), b"400"),
    "a short key": (handshake().replace(b"Key: dGhl", b"Key: "), b"400"),
    "a key twice": (handshake(b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="), b"400"),
    # what can be no handshake is an ordinary request, for which there is no route here but one for WebSockets
    "POST": (handshake().replace(b"GET", b"POST"), b"426"),
    "HTTP/1.0": (handshake().replace(b"HTTP/1.1", b"HTTP/1.0"), b"426"),
    "a body": (handshake(b"Content-Length: 1") + b"x", b"426"),
    "no upgrade": (get(), b"426"),
}


@pytest.mark.parametrize(("request_bytes", "status"), BAD_HANDSHAKES.values(), ids=BAD_HANDSHAKES)
@in_loop
async def test_a_bad_handshake_is_refused_here(request_bytes: bytes, status: bytes) -> None:
    async with RawServer(echo) as server, proxy(route(server.port)) as running:
        async with await connect(running.port) as client:
            await client.send(request_bytes)
            reply = await client.response()
        assert reply.start.startswith(b"HTTP/1.1 " + status)
        assert reply.field(b"sec-websocket-version") == (b"13" if status == b"426" else None)
        assert server.opened == 0


@in_loop
async def test_an_upgrade_without_a_websocket_route_is_an_ordinary_request() -> None:
    async with proxied(ok()) as (server, running), await connect(running.port) as client:
        await client.send(handshake())
        assert (await client.response()).status == 200
        await client.send(get())
        assert (await client.response()).status == 200
        assert b"upgrade" not in bytes(server.wires[0].received).lower()


async def library_echo(connection: ServerConnection) -> None:
    async for message in connection:
        await connection.send(message)


@pytest.mark.parametrize("compression", ["deflate", None])
@in_loop
async def test_the_websockets_library_on_both_sides_with_and_without_compression(compression: str | None) -> None:
    async with serve(library_echo, "127.0.0.1", 0, compression="deflate", subprotocols=["chat"]) as server:  # type: ignore[list-item]
        port = next(iter(server.sockets)).getsockname()[1]
        async with proxy(route(port)) as running:
            url = f"ws://127.0.0.1:{running.port}/ws"
            async with websocket_connect(url, compression=compression, subprotocols=["chat"]) as client:  # type: ignore[list-item]
                assert client.subprotocol == "chat"
                assert bool(client.protocol.extensions) == (compression is not None)
                for message in ("hello", b"\x00\xff", "ü" * 10_000, b""):
                    await client.send(message)
                    assert await client.recv() == message
                await client.send(["in ", "three ", "fragments"])
                assert await client.recv() == "in three fragments"
                assert (await client.ping()) is not None
                await client.close(4000, "done")
            assert (client.close_code, client.close_reason) == (4000, "done")
            await eventually(lambda: running.relays == 0)


@in_loop
async def test_a_message_of_16_mib_passes() -> None:
    size = 16 * 1024 * 1024
    async with serve(library_echo, "127.0.0.1", 0, max_size=size, compression=None) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        async with proxy(route(port)) as running:
            url = f"ws://127.0.0.1:{running.port}/"
            async with websocket_connect(url, max_size=size, compression=None) as client:
                message = b"0123456789abcdef" * (size // 16)
                await client.send(message)
                assert await client.recv() == message


@in_loop
async def test_a_client_that_does_not_read_holds_back_only_its_own_server() -> None:
    flood = frame(BINARY, b"x" * 60_000)

    async def script(wire: Wire) -> None:
        request = await accept(wire)
        assert request.field(b"upgrade") == b"websocket"
        for _ in range(1000):
            sent.append(len(flood))
            await wire.send(flood)
        await wire.send(close(1000))
        await wire.rest()

    sent: list[int] = []
    async with (
        RawServer(script) as server,
        RawServer(ok()) as web,
        proxy(route(server.port) + http_route(web.port)) as running,
        await connect(running.port, ahead_bytes=1000) as slow,
    ):
        await slow.send(handshake())
        assert (await slow.response()).status == 101
        await eventually(lambda: sum(sent) > 100_000)
        for _ in range(50):
            assert (await fetch(running.port)).status == 200
        assert sum(sent) < 40_000_000, "the proxy took it all in"
        received = [await receive_frame(slow) for _ in range(1000)]
        assert received == [(BINARY, b"x" * 60_000)] * 1000
