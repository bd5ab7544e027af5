"""The yardstick: the reverse proxy that one writes with aiohttp in an hour, streaming, keep-alive both ways, on uvloop.

Run `python -m loadtests.aiohttp_proxy PORT ORIGIN_PORT`. It has no queue, no health checks, no limits and no log: what
is left is the price of doing this with a Python HTTP library.
"""

from __future__ import annotations

import asyncio
import sys

import aiohttp
import uvloop
from aiohttp import web

HOP_BY_HOP = frozenset({"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "host"})
BACKLOG = 4096  # as the origin's


class AiohttpProxy:
    """Sends everything to one origin."""

    def __init__(self, session: aiohttp.ClientSession, origin_port: int) -> None:
        self._session = session
        self._origin = f"http://127.0.0.1:{origin_port}"

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """One request, or one WebSocket."""
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._websocket(request)
        headers = {name: value for name, value in request.headers.items() if name.lower() not in HOP_BY_HOP}
        headers["X-Forwarded-For"] = request.remote or "unknown"
        headers["X-Forwarded-Proto"] = request.scheme
        body = request.content if request.can_read_body else None
        async with self._session.request(
            request.method, self._origin + request.raw_path, headers=headers, data=body, allow_redirects=False
        ) as upstream:
            response = web.StreamResponse(status=upstream.status, reason=upstream.reason)
            for name, value in upstream.headers.items():
                if name.lower() not in HOP_BY_HOP:
                    response.headers.add(name, value)
            await response.prepare(request)
            async for chunk in upstream.content.iter_any():
                await response.write(chunk)
            await response.write_eof()
            return response

    async def _websocket(self, request: web.Request) -> web.StreamResponse:
        client = web.WebSocketResponse(compress=False)
        async with self._session.ws_connect(self._origin + request.raw_path) as upstream:
            await client.prepare(request)
            relays = [asyncio.create_task(relay(client, upstream)), asyncio.create_task(relay(upstream, client))]
            _, pending = await asyncio.wait(relays, return_when=asyncio.FIRST_COMPLETED)
            for task in pending:
                task.cancel()
            await client.close()
        return client


WebSocket = web.WebSocketResponse | aiohttp.ClientWebSocketResponse


async def relay(source: WebSocket, target: WebSocket) -> None:
    """Pass messages on until `source` ends."""
    async for message in source:
        if message.type is aiohttp.WSMsgType.TEXT:
            await target.send_str(message.data)
        elif message.type is aiohttp.WSMsgType.BINARY:
            await target.send_bytes(message.data)


async def serve(port: int, origin_port: int) -> None:
    """Proxy 127.0.0.1:`port` to 127.0.0.1:`origin_port` until the process is ended."""
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as session:
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", AiohttpProxy(session, origin_port).handle)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port, backlog=BACKLOG).start()
        await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), int(sys.argv[2])))
