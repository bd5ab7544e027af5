"""Routes that look at payloads: what is in order passes untouched, what is not closes both sides with its own code."""

from __future__ import annotations

import pytest
from websockets.asyncio.client import connect as websocket_connect
from websockets.asyncio.server import ServerConnection, serve

from tests.integration.harness import RawServer, eventually, http_route, in_loop, proxy, raw_request
from tests.integration.websocket_pair import frames_until_end, relayed
from tests.integration.websocket_wire import BINARY, PING, TEXT, acceptance, closing, frame, handshake, receive_frame


async def library_echo(connection: ServerConnection) -> None:
    async for message in connection:
        await connection.send(message)


@pytest.mark.parametrize("compression", ["deflate", None])
@in_loop
async def test_what_is_in_order_passes(compression: str | None) -> None:
    async with serve(library_echo, "127.0.0.1", 0, max_size=None) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        async with proxy(http_route(port, lines="inspect = yes", section="websocket")) as running:
            url = f"ws://127.0.0.1:{running.port}/ws"
            async with websocket_connect(url, compression=compression, max_size=None) as client:
                for message in ("hello", b"\x00\xff", "ü" * 100_000, b"", b"x" * 5_000_000):
                    await client.send(message)
                    assert await client.recv() == message
                await client.send(["in ", "three ", "fragments"])
                assert await client.recv() == "in three fragments"
                await (await client.ping())
                await client.close(4000, "done")
            assert (client.close_code, client.close_reason) == (4000, "done")
            await eventually(lambda: running.relays == 0)


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (frame(TEXT, b"\xff", masked=True), 1007),
        (frame(3, b"reserved", masked=True), 1002),
        (frame(TEXT, b"not masked"), 1002),
        (frame(BINARY, b"x" * 101, masked=True), 1009),
    ],
)
@in_loop
async def test_a_client_that_breaks_the_rules_is_closed_and_its_bytes_reach_nobody(bad: bytes, code: int) -> None:
    async with relayed("inspect = yes\nmax_message_size = 100") as pair:
        await pair.client.send(frame(TEXT, b"good", masked=True) + bad + frame(TEXT, b"behind", masked=True))
        assert await receive_frame(pair.upstream) == (TEXT, b"good")
        opcode, payload = await receive_frame(pair.upstream)
        assert (opcode, payload[:2]) == closing(1001)
        opcode, payload = await receive_frame(pair.client)
        assert (opcode, payload[:2]) == closing(code)
        await pair.client.close()
        await pair.upstream.close()


@in_loop
async def test_a_server_that_breaks_the_rules_is_closed_too() -> None:
    async with relayed("inspect = yes") as pair:
        await pair.upstream.send(frame(TEXT, b"\xc3\x28"))
        opcode, payload = await receive_frame(pair.client)
        assert (opcode, payload[:2]) == closing(1007)
        assert (await receive_frame(pair.upstream))[1][:2] == closing(1001)[1]
        await pair.upstream.close()
        assert await frames_until_end(pair.client) == []


@in_loop
async def test_a_lost_side_and_pings_are_as_without_inspection() -> None:
    async with relayed("inspect = yes") as pair:
        await pair.client.send(frame(PING, b"hello", masked=True))
        assert await receive_frame(pair.upstream) == (PING, b"hello")
        await pair.client.send(frame(TEXT, b"half a frame", masked=True)[:8])
        await pair.client.close()
        # The half frame was held, so a Close may stand here; without inspection none could.
        assert await frames_until_end(pair.upstream) == [closing(1001)]


@in_loop
async def test_an_extension_that_cannot_be_inspected_is_refused() -> None:
    answer = acceptance(handshake(), b"Sec-WebSocket-Extensions: x-secret")
    async with (
        RawServer(answer) as server,
        proxy(http_route(server.port, lines="inspect = yes", section="websocket")) as running,
    ):
        reply = await raw_request(running.port, handshake(b"Sec-WebSocket-Extensions: x-secret"))
        assert reply.startswith(b"HTTP/1.1 502 ")
