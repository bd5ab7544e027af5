"""How WebSockets end: what each side is told (design: the table of closing codes), and that nothing is left behind."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest

from tests.integration.harness import LOST, Proxy, RawServer, Wire, eventually, http_route, in_loop, proxy
from tests.integration.websocket_wire import (
    CONTINUATION,
    TEXT,
    Received,
    accept,
    close,
    closing,
    frame,
    open_websocket,
    receive_frame,
)
from wsproxy.frontend.pair import CLOSE_TIMEOUT_S
from wsproxy.ws.frames import FrameScanner

SOON_S = CLOSE_TIMEOUT_S / 2
"""Nothing has waited for an echo that does not come."""


class Pair:
    """Both ends of one relayed WebSocket, in the test's hands."""

    def __init__(self, client: Wire, upstream: Wire, running: Proxy) -> None:
        self.client = client
        self.upstream = upstream
        self.running = running


@asynccontextmanager
async def relayed(frontend: str = "") -> AsyncIterator[Pair]:
    """A WebSocket through the product; at the end nothing of it may be left."""
    accepted: list[Wire] = []
    released = anyio.Event()

    async def script(wire: Wire) -> None:
        await accept(wire)
        accepted.append(wire)
        await released.wait()

    async with (
        RawServer(script) as server,
        proxy(http_route(server.port, section="websocket"), frontend) as running,
        await open_websocket(running.port) as client,
    ):
        await eventually(lambda: running.relays == 1)
        yield Pair(client, accepted[0], running)
        await eventually(lambda: running.relays == 0)
        released.set()


async def frames_until_end(wire: Wire) -> list[Received]:
    """All frames up to the end of the connection, which must come well before anything is timed out."""
    frames = []
    with anyio.fail_after(SOON_S):
        while True:
            try:
                frames.append(await receive_frame(wire))
            except LOST:
                return frames


@pytest.mark.parametrize("code", [1000, 1001, 1008, 3000, 4999])
@in_loop
async def test_a_close_of_the_client_passes_with_its_code_and_reason(code: int) -> None:
    async with relayed() as pair:
        await pair.client.send(close(code, b"so long", masked=True))
        opcode, payload = await receive_frame(pair.upstream)
        assert (opcode, payload) == (closing(code)[0], closing(code)[1] + b"so long")
        await pair.upstream.send(close(code, b"and thanks"))
        await pair.upstream.close()
        assert await frames_until_end(pair.client) == [(8, closing(code)[1] + b"and thanks")]


@pytest.mark.parametrize("code", [1000, 1012, 4000])
@in_loop
async def test_a_close_of_the_server_passes_with_its_code_and_reason(code: int) -> None:
    async with relayed() as pair:
        await pair.upstream.send(close(code, b"bye"))
        assert await receive_frame(pair.client) == (8, closing(code)[1] + b"bye")
        await pair.client.send(close(code, masked=True))
        assert await receive_frame(pair.upstream) == closing(code)
        await pair.upstream.close()
        assert await frames_until_end(pair.client) == []


@in_loop
async def test_an_empty_close_passes_empty() -> None:
    async with relayed() as pair:
        await pair.client.send(close(masked=True))
        assert await receive_frame(pair.upstream) == (8, b"")
        await pair.upstream.send(close())
        await pair.upstream.close()
        assert await frames_until_end(pair.client) == [(8, b"")]


@in_loop
async def test_a_client_that_does_not_end_tcp_after_the_closes_is_ended() -> None:
    async with relayed() as pair:
        await pair.upstream.send(close(1000))
        await receive_frame(pair.client)
        await pair.client.send(close(1000, masked=True))
        await receive_frame(pair.upstream)
        # neither side ends its connection; the proxy ends both
        with anyio.fail_after(SOON_S):
            assert await pair.client.rest() == b""
            assert await pair.upstream.rest() == b""


@pytest.mark.parametrize("how", ["end", "reset"])
@in_loop
async def test_a_lost_client_is_1001_for_the_server(how: str) -> None:
    async with relayed() as pair:
        await pair.client.send(frame(TEXT, b"last words", masked=True))
        assert await receive_frame(pair.upstream) == (TEXT, b"last words")
        if how == "end":
            await pair.client.close()
        else:
            pair.client.reset()
        assert await frames_until_end(pair.upstream) == [closing(1001)]
        await pair.upstream.close()


@pytest.mark.parametrize("how", ["end", "reset"])
@in_loop
async def test_a_lost_server_is_1011_for_the_client(how: str) -> None:
    async with relayed() as pair:
        await pair.upstream.send(frame(TEXT, b"last words"))
        assert await receive_frame(pair.client) == (TEXT, b"last words")
        if how == "end":
            await pair.upstream.close()
        else:
            pair.upstream.reset()
        assert await frames_until_end(pair.client) == [closing(1011)]


@in_loop
async def test_what_a_lost_side_sent_last_still_arrives() -> None:
    async with relayed() as pair:
        await pair.upstream.send(b"".join(frame(TEXT, b"%d" % number) for number in range(1000)))
        await pair.upstream.close()
        frames = await frames_until_end(pair.client)
        assert frames == [*((TEXT, b"%d" % number) for number in range(1000)), closing(1011)]


@in_loop
async def test_a_client_lost_inside_a_frame_is_no_close_for_the_server() -> None:
    async with relayed() as pair:
        await pair.client.send(frame(TEXT, b"x" * 100, masked=True)[:50])
        await pair.client.close()
        with anyio.fail_after(SOON_S):
            assert await pair.upstream.rest() == frame(TEXT, b"x" * 100, masked=True)[:50]
        await pair.upstream.close()


@in_loop
async def test_a_server_lost_inside_a_frame_is_no_close_for_the_client() -> None:
    async with relayed() as pair:
        await pair.upstream.send(frame(TEXT, b"x" * 100)[:50])
        await pair.upstream.close()
        with anyio.fail_after(SOON_S):
            assert await pair.client.rest() == frame(TEXT, b"x" * 100)[:50]


@in_loop
async def test_a_stopping_proxy_is_1001_for_both_and_waits_for_the_echoes() -> None:
    async with relayed("shutdown_timeout = 5s") as pair:
        signal.raise_signal(signal.SIGTERM)
        assert await receive_frame(pair.client) == closing(1001)
        assert await receive_frame(pair.upstream) == closing(1001)
        assert pair.running.relays == 1
        await pair.client.send(close(1001, masked=True))
        await pair.upstream.send(close(1001))
        await pair.upstream.close()
        assert await frames_until_end(pair.client) == []


@in_loop
async def test_a_stopping_proxy_does_not_cut_a_message_in_two() -> None:
    async with relayed("shutdown_timeout = 5s") as pair:
        await pair.upstream.send(frame(TEXT, b"be", fin=False))
        assert await receive_frame(pair.client) == (TEXT, b"be")
        signal.raise_signal(signal.SIGTERM)
        assert await receive_frame(pair.upstream) == closing(1001)
        await pair.upstream.send(frame(CONTINUATION, b"gin") + frame(TEXT, b"too late") + close(1001))
        await pair.upstream.close()
        await pair.client.send(close(1001, masked=True))
        assert await frames_until_end(pair.client) == [(CONTINUATION, b"gin"), closing(1001)]


@in_loop
async def test_a_websocket_that_ignores_the_stop_is_ended_at_shutdown_timeout() -> None:
    async with relayed("shutdown_timeout = 200ms") as pair:
        signal.raise_signal(signal.SIGTERM)
        assert await frames_until_end(pair.client) == [closing(1001)]
        assert await frames_until_end(pair.upstream) == [closing(1001)]


@in_loop
async def test_a_bug_ends_one_websocket_and_not_the_others(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    feed = FrameScanner.feed

    def broken(scanner: FrameScanner, data: bytes) -> bytes:
        if b"bug" in data:
            raise RuntimeError("a bug")
        return feed(scanner, data)

    monkeypatch.setattr(FrameScanner, "feed", broken)
    async with relayed() as other, relayed() as pair:
        await pair.upstream.send(frame(TEXT, b"bug"))
        assert await receive_frame(pair.client) == closing(1001)
        assert await pair.client.rest() == b""
        await other.upstream.send(frame(TEXT, b"well"))
        assert await receive_frame(other.client) == (TEXT, b"well")
        await other.client.close()
        await other.upstream.close()
    assert "internal error in a relay" in caplog.text
