"""A tap of a WebSocket in one of several processes, asked of the one admin listener."""

from __future__ import annotations

import re
from pathlib import Path

import anyio
import httpx
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

from tests.integration.harness import http_route, in_loop
from tests.system.harness import spawned


async def echo(connection: ServerConnection) -> None:
    async for message in connection:
        await connection.send(message)


@in_loop
async def test_a_tap_finds_the_process(tmp_path: Path) -> None:
    async with serve(echo, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        routes = "[admin]\nport = 0\n" + http_route(port, lines="inspect = yes", section="websocket")
        async with (
            spawned(tmp_path, routes, frontend="processes = 2") as running,
            connect(f"ws://127.0.0.1:{running.port}/", proxy=None) as client,
        ):
            (admin,) = [found[1] for line in running.log if (found := re.search(r"admin on (\S+)", line))]
            async with httpx.AsyncClient(base_url=f"http://{admin}", trust_env=False) as operator:
                sessions: list[dict[str, str]] = []
                with anyio.fail_after(5):
                    while not sessions:
                        sessions = (await operator.get("/sessions")).json()["sessions"]
                path = f"/websockets/{sessions[0]['id']}/tap"
                assert (await operator.get(path)).status_code == 404
                assert (await operator.post(path)).json()["frames"] == []
                await client.send("hello")
                assert await client.recv() == "hello"
                tapped = (await operator.get(path)).json()
                assert tapped["id"] == sessions[0]["id"]
                assert [(each["sender"], each["preview"]) for each in tapped["frames"]] == [
                    ("client", "hello"),
                    ("upstream", "hello"),
                ]
                assert (await operator.post(f"{path}?for=never")).status_code == 400
                assert (await operator.get("/websockets/websocket.9@1/tap")).status_code == 404
