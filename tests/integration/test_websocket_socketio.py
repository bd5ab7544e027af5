"""socket.io through sticky routes: a session begins by polling, goes on as a WebSocket, and always finds its server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import aiohttp
import pytest
import socketio  # type: ignore[import-untyped]
from aiohttp import web
from websockets.asyncio.client import connect as websocket_connect

from tests.integration.harness import eventually, in_loop, proxy
from tests.integration.websocket_pair import relays_of


@asynccontextmanager
async def chat_server(name: str) -> AsyncIterator[int]:
    """A server that answers what it is told with its own name before it; its port."""
    server = socketio.AsyncServer(async_mode="aiohttp")

    @server.on("say")  # type: ignore[untyped-decorator]
    async def say(_: str, word: str) -> str:
        return f"{name} heard {word}"

    application = web.Application()
    server.attach(application)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield runner.addresses[0][1]
    finally:
        await server.shutdown()
        await runner.cleanup()


@asynccontextmanager
async def chat_client(port: int) -> AsyncIterator[socketio.AsyncClient]:
    """A client that polls first, and keeps cookies as a browser would; before it somebody else takes a turn."""
    async with websocket_connect(f"ws://127.0.0.1:{port}/socket.io/?EIO=4&transport=websocket"):
        pass
    jar = aiohttp.CookieJar(unsafe=True)  # of a server that has an address for a name
    async with aiohttp.ClientSession(cookie_jar=jar) as session:
        client = socketio.AsyncClient(http_session=session, reconnection=False)
        await client.connect(f"http://127.0.0.1:{port}", transports=["polling", "websocket"])
        try:
            yield client
        finally:
            await client.disconnect()


def routes(*ports: int, sticky: str) -> str:
    servers = "".join(f"server{number} = 127.0.0.1:{port}\n" for number, port in enumerate(ports, 1))
    lines = f"group = chat\nalgorithm = round-robin\npath_prefix = /socket.io/\n{sticky}\n"
    return f"[group:chat]\n{servers}health_check_interval = 1h\n[http]\n{lines}[websocket]\n{lines}"


@pytest.mark.parametrize("sticky", ["sticky = cookie", "sticky = ip"])
@in_loop
async def test_socketio(sticky: str) -> None:
    async with (
        chat_server("one") as one,
        chat_server("two") as two,
        proxy(routes(one, two, sticky=sticky)) as running,
        AsyncExitStack() as stack,
    ):
        clients = [await stack.enter_async_context(chat_client(running.port)) for _ in range(4)]
        await eventually(lambda: {client.transport() for client in clients} == {"websocket"})
        answers = [[await client.call("say", word) for word in ("a", "b")] for client in clients]
        for first, second in answers:
            assert (first[3:], second) == (" heard a", first[:3] + " heard b")
        served_by = {first[:3] for first, _ in answers}
        assert len(served_by) == (2 if "cookie" in sticky else 1)
        assert relays_of(running, "chat").totals.handshakes == {"opened": 8}
        await stack.aclose()
        await eventually(lambda: running.relays == 0)


@in_loop
async def test_without_stickiness_a_session_finds_the_wrong_server() -> None:
    """The other half of the test above: by turns alone no upgrade comes where the polling was."""
    async with (
        chat_server("one") as one,
        chat_server("two") as two,
        proxy(routes(one, two, sticky="")) as running,
    ):
        transport = ""
        with suppress(socketio.exceptions.ConnectionError):
            async with chat_client(running.port) as client:
                transport = client.transport()
        assert transport != "websocket"
