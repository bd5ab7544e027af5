"""Echo servers made with `websockets` and aiohttp, to compare what clients get from them direct and through the proxy.

Run in a thread with an event loop of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import websockets
from aiohttp import WSMsgType, web
from websockets.asyncio.server import ServerConnection, serve

MESSAGE_LIMIT_BYTES = 32 << 20


async def _echo(connection: ServerConnection) -> None:
    with contextlib.suppress(websockets.ConnectionClosed):
        async for message in connection:
            await connection.send(message)


async def _echo_aiohttp(request: web.Request) -> web.WebSocketResponse:
    answer = web.WebSocketResponse(max_msg_size=MESSAGE_LIMIT_BYTES, timeout=1.0)
    await answer.prepare(request)
    async for message in answer:
        if message.type == WSMsgType.TEXT:
            await answer.send_str(message.data)
        elif message.type == WSMsgType.BINARY:
            await answer.send_bytes(message.data)
    return answer


async def _serve(ready: queue.Queue[Echoes], stopping: queue.Queue[None]) -> None:
    application = web.Application()
    application.router.add_get("/{path:.*}", _echo_aiohttp)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        async with serve(_echo, "127.0.0.1", 0, max_size=MESSAGE_LIMIT_BYTES, close_timeout=1) as server:
            ready.put(Echoes(next(iter(server.sockets)).getsockname()[1], runner.addresses[0][1]))
            await asyncio.to_thread(stopping.get)
    finally:
        await runner.cleanup()


@dataclass(frozen=True)
class Echoes:
    """Where the two servers listen."""

    websockets_port: int
    aiohttp_port: int

    @classmethod
    @contextlib.contextmanager
    def running(cls) -> Iterator[Echoes]:
        """Run both until the end of the block."""
        logging.getLogger("websockets.server").setLevel(logging.CRITICAL)  # what clients break is no news here
        ready: queue.Queue[Echoes] = queue.Queue()
        stopping: queue.Queue[None] = queue.Queue()
        thread = threading.Thread(target=lambda: asyncio.run(_serve(ready, stopping)))
        thread.start()
        try:
            yield ready.get(timeout=10)
        finally:
            stopping.put(None)
            thread.join()
