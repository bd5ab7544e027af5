"""What a WebSocket route lets in and lets through: origins, places, message sizes, rates, peers that do not read."""

from __future__ import annotations

import asyncio
import ctypes
import socket
import struct
import sys

import anyio
import pytest

from tests.integration.harness import Message, Proxy, RawServer, Wire, connect, eventually, http_route, in_loop, proxy
from tests.integration.websocket_pair import frames_until_end, relayed, relays_of
from tests.integration.websocket_wire import (
    BINARY,
    CONTINUATION,
    TEXT,
    Received,
    accept,
    close,
    closing,
    echo,
    frame,
    handshake,
    open_websocket,
    receive_frame,
)


def route(server: RawServer, *lines: str) -> str:
    return http_route(server.port, lines="\n".join(lines), section="websocket")


async def refusal(running: Proxy, *fields: bytes) -> Message:
    """What a handshake with these fields is answered; the connection is ended."""
    async with await connect(running.port) as client:
        await client.send(handshake(*fields))
        return await client.response()


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        (b"http://a", True),  # the Host of these handshakes
        (b"https://app.example", True),
        (b"https://deep.down.friends.example", True),
        (b"https://evil.example", False),
        (b"http://app.example", False),
        (b"null", False),
        (None, True),
    ],
)
@in_loop
async def test_origins(origin: bytes | None, allowed: bool) -> None:
    fields = () if origin is None else (b"Origin: " + origin,)
    async with RawServer(echo) as server:
        lines = "allowed_origins = same-host, https://app.example\n  https://*.friends.example"
        async with proxy(route(server, lines)) as running:
            response = await refusal(running, *fields)
            assert response.status == (101 if allowed else 403)
            assert server.opened == int(allowed), "an origin that is refused touches no server"
            assert relays_of(running).totals.handshakes == {"opened" if allowed else "origin": 1}


@in_loop
async def test_two_origins_are_none() -> None:
    async with RawServer(echo) as server, proxy(route(server, "allowed_origins = same-host")) as running:
        assert (await refusal(running, b"Origin: http://a", b"Origin: http://a")).status == 403


@pytest.mark.parametrize(("key", "status"), [("max_connections", 503), ("max_connections_per_ip", 429)])
@in_loop
async def test_places_are_limited_and_given_back(key: str, status: int) -> None:
    async with RawServer(echo) as server, proxy(route(server, f"{key} = 2")) as running:
        first, second = [await open_websocket(running.port) for _ in range(2)]
        response = await refusal(running)
        assert (response.status, response.field(b"retry-after")) == (status, b"5")
        assert server.opened == 2
        await first.send(close(1000, masked=True))
        await first.rest()
        await first.close()
        await eventually(lambda: running.relays == 1)
        await (await open_websocket(running.port)).close()
        await second.close()
        await eventually(lambda: running.relays == 0)
        assert relays_of(running).totals.handshakes == {"opened": 3, "limit": 1}


@in_loop
async def test_a_handshake_that_fails_gives_its_place_back() -> None:
    async def no(wire: Wire) -> None:
        await wire.request()
        await wire.send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")

    async with RawServer(no) as server, proxy(route(server, "max_connections = 1")) as running:
        for _ in range(3):
            assert (await refusal(running)).status == 403
        assert relays_of(running).totals.handshakes == {"refused": 3}


@in_loop
async def test_a_client_that_leaves_inside_its_handshake_gives_its_place_back() -> None:
    async def silent(wire: Wire) -> None:
        if len(server.wires) < 2:
            await wire.rest()
        await echo(wire)

    async with RawServer(silent) as server, proxy(route(server, "max_connections = 1")) as running:
        async with await connect(running.port) as client:
            await client.send(handshake())
            await eventually(lambda: server.opened == 1)
        await eventually(lambda: running.sessions == 0)
        await (await open_websocket(running.port)).close()


@in_loop
async def test_a_message_at_the_limit_passes() -> None:
    async with relayed("max_message_size = 10") as pair:
        await pair.client.send(frame(TEXT, b"x" * 10, True))
        assert await receive_frame(pair.upstream) == (TEXT, b"x" * 10)
        await pair.client.close()


@pytest.mark.parametrize("pieces", [1, 3])
@pytest.mark.parametrize("side", ["client", "upstream"])
@in_loop
async def test_a_message_over_the_limit_is_1009(side: str, pieces: int) -> None:
    async with relayed("max_message_size = 10") as pair:
        masked = side == "client"
        sender, receiver = (pair.client, pair.upstream) if masked else (pair.upstream, pair.client)
        if pieces == 1:
            await sender.send(frame(BINARY, b"x" * 11, masked))
        else:
            await sender.send(frame(TEXT, b"x" * 5, masked, fin=False))
            await sender.send(frame(CONTINUATION, b"y" * 5, masked, fin=False), frame(CONTINUATION, b"z", masked))
            assert await receive_frame(receiver) == (TEXT, b"x" * 5)
            assert await receive_frame(receiver) == (CONTINUATION, b"y" * 5)
        # Inside a message that can never end a Close stands at once: nothing of it passes any more.
        assert (await receive_frame(pair.client))[1][:2] == closing(1009)[1]
        assert (await receive_frame(pair.upstream))[1][:2] == closing(1001)[1]
        await pair.client.send(close(1009, masked=True))
        await pair.upstream.send(close(1001))
        await pair.upstream.close()
        assert await frames_until_end(pair.client) == []
    assert pair.totals.closes == {("proxy", 1009): 1}


@in_loop
async def test_a_client_over_its_rate_is_read_later() -> None:
    async with relayed("message_rate = 10/s") as pair:
        started = asyncio.get_running_loop().time()
        await pair.client.send(b"".join(frame(TEXT, b"%d" % number, True) for number in range(20)))
        for number in range(20):  # they came in one piece, and pass in one
            assert await receive_frame(pair.upstream) == (TEXT, b"%d" % number)
        await pair.client.send(frame(TEXT, b"late", True))
        assert await receive_frame(pair.upstream) == (TEXT, b"late")
        assert asyncio.get_running_loop().time() - started >= 0.9
        await pair.client.close()


@in_loop
async def test_the_server_is_not_held_to_the_clients_rate() -> None:
    async with relayed("byte_rate = 10/h") as pair:
        for _ in range(5):
            await pair.upstream.send(frame(BINARY, b"x" * 100))
            assert await receive_frame(pair.client) == (BINARY, b"x" * 100)
        await pair.client.close()


@pytest.mark.parametrize("key", ["message_rate = 2/m", "byte_rate = 5/m"])
@in_loop
async def test_a_client_over_its_rate_is_closed_where_the_route_says_so(key: str) -> None:
    async with relayed(f"{key}\nrate_action = close") as pair:
        await pair.client.send(frame(TEXT, b"two", True), frame(TEXT, b"three", True), frame(TEXT, b"four", True))
        assert (await receive_frame(pair.client))[1][:2] == closing(1008)[1]
        await pair.client.close()
    assert pair.totals.closes == {("proxy", 1008): 1}


@in_loop
async def test_a_client_that_waits_for_its_rate_may_leave() -> None:
    async with relayed("message_rate = 1/h") as pair:
        await pair.client.send(frame(TEXT, b"a", True), frame(TEXT, b"b", True))
        assert await receive_frame(pair.upstream) == (TEXT, b"a")
        assert await receive_frame(pair.upstream) == (TEXT, b"b")
        await pair.client.close()
        assert await frames_until_end(pair.upstream) == [closing(1001)]


@in_loop
async def test_a_peer_that_does_not_read_is_given_up_where_the_route_says_so() -> None:
    message = frame(BINARY, b"x" * 60_000)

    async def flood(wire: Wire) -> None:
        await accept(wire)
        while True:
            await wire.send(message)

    async with RawServer(flood) as server:
        lines = "slow_consumer = close:500ms"
        async with proxy(route(server, lines)) as running, await connect(running.port, ahead_bytes=1000) as slow:
            await slow.send(handshake())
            assert (await slow.response()).status == 101
            await eventually(lambda: running.relays == 0)
            await eventually(lambda: server.open == 0)
            totals = relays_of(running).totals
            assert totals.closes == {("proxy", 1013): 1}
            assert totals.paused_s >= 0.5


@in_loop
async def test_a_peer_that_does_not_read_is_waited_for_otherwise_and_memory_stays_flat() -> None:
    message = frame(BINARY, b"x" * 60_000)
    sent: list[int] = []

    async def flood(wire: Wire) -> None:
        await accept(wire)
        while True:
            await wire.send(message)
            sent.append(len(message))

    async with RawServer(flood) as server:
        lines = "ping_interval = 200ms\nping_timeout = 300ms"
        async with proxy(route(server, lines)) as running, await connect(running.port, ahead_bytes=1000) as slow:
            await slow.send(handshake())
            assert (await slow.response()).status == 101
            taken = -1
            while taken != len(sent):  # until the server's writes block: twice the clocks without a message
                taken = len(sent)
                await anyio.sleep(1)
            assert running.relays == 1
            for _ in range(taken):
                assert await receive_frame(slow) in ((BINARY, b"x" * 60_000), (9, relays_of(running).terms.marker))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells of acknowledgements, and filters for one socket")
@in_loop
async def test_a_host_that_dies_inside_a_stall_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """From some moment on nothing that is sent to the client's socket arrives, as if its host had lost its power."""
    ended: list[Received] = []

    async def flood(wire: Wire) -> None:
        await accept(wire)
        while True:
            with anyio.move_on_after(0.1):
                await wire.send(frame(BINARY, b"x" * 60_000))
                continue
            if any(relay._client.write_paused for relay in relays_of(running).open):
                break  # the proxy takes no more
        ended.extend(await frames_until_end(wire))

    monkeypatch.setattr("wsproxy.frontend.pair.DEAD_AFTER_S", 2.0)
    async with (
        RawServer(flood) as server,
        proxy(route(server)) as running,
        await connect(running.port, ahead_bytes=1000) as slow,
    ):
        await slow.send(handshake())
        assert (await slow.response()).status == 101
        deafen(slow)
        await eventually(lambda: running.relays == 0)
        await eventually(lambda: server.open == 0)
        assert ended == [closing(1001)]
        assert relays_of(running).totals.closes == {("client", 1006): 1}


def deafen(wire: Wire) -> None:
    """Have the kernel drop every packet for this socket, unseen: a filter of one instruction, `return 0`."""
    drop_all = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))  # BPF_RET
    program = struct.pack("HL", 1, ctypes.addressof(drop_all))
    raw = wire._writer.get_extra_info("socket")
    try:
        raw.setsockopt(socket.SOL_SOCKET, getattr(socket, "SO_ATTACH_FILTER", 26), program)
    except PermissionError:
        pytest.skip("this machine allows no filters of sockets: run the tests as root, outside of a container")


@in_loop
async def test_a_bad_handshake_is_counted() -> None:
    async with RawServer(echo) as server, proxy(route(server)) as running, await connect(running.port) as client:
        await client.send(handshake().replace(b"Version: 13", b"Version: 8"))
        assert (await client.response()).status == 426
        assert relays_of(running).totals.handshakes == {"invalid": 1}
