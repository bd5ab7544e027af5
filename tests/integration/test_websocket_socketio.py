"""socket.io through sticky routes: a session begins by polling, goes on as a WebSocket, and always finds its server."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import aiohttp
import pytest
import socketio  # type: ignore[import-untyped]
from aiohttp import web
from websockets.asyncio.client import connect as websocket_connect

from tests.integration.harness import eventually, in_loop, proxy
from tests.integration.websocket_pair import relays_of
from wsproxy.config.build import load


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


@pytest.mark.parametrize("sticky", ["sticky = cookie", "sticky = ip", "sticky = query:sid"])
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
        assert len(served_by) == (1 if sticky == "sticky = ip" else 2)
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


@in_loop
async def test_a_name_that_a_server_gave_leads_to_it_across_a_reload() -> None:
    """By hand, as a client's library does it: first answers, a reload, then polls and the WebSocket that takes over."""
    async with (
        chat_server("one") as one,
        chat_server("two") as two,
        proxy(routes(one, two, sticky="sticky = query:sid")) as running,
        aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session,
    ):
        base = f"http://127.0.0.1:{running.port}/socket.io/?EIO=4"
        names = []
        for _ in range(8):
            async with session.get(f"{base}&transport=polling") as answer:
                names.append(json.loads((await answer.text())[1:])["sid"])
        changed = routes(one, two, sticky="sticky = query:sid\nqueue_timeout = 4s")
        text = f"[frontend]\nhost = 127.0.0.1\nport = 0\n[log]\naccess = off\n{changed}"
        change = running.application.make_reload(load(text, "test.ini", {}, "/"))
        await running.application.carry_out(change)
        assert change.plan.routes.changed
        for name in names:
            async with session.post(f"{base}&transport=polling&sid={name}", data="40") as answer:
                assert (answer.status, await answer.text()) == (200, "OK")
            async with session.get(f"{base}&transport=polling&sid={name}") as answer:
                assert (await answer.text()).startswith('40{"sid":')
            async with websocket_connect(
                f"ws://127.0.0.1:{running.port}/socket.io/?EIO=4&transport=websocket&sid={name}"
            ) as client:
                await client.send("2probe")
                assert await client.recv() == "3probe"
        async with session.get(f"{base}&transport=polling&sid=unheard-of") as answer:
            assert answer.status == 400, "it is hashed, and its server does not know it either"
