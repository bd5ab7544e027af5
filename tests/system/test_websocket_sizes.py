"""WebSocket messages of any size through a process of its own, which keeps none of them."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from websockets.asyncio.client import connect as websocket_connect
from websockets.asyncio.server import ServerConnection, serve

from tests.integration.harness import http_route, in_loop
from tests.system.harness import spawned

MESSAGE_BYTES = 64 * 1024 * 1024
PEAK_BYTES = 80 * 1024**2
"""What an idle process needs and some buffers: were one message held, it would be twice as much."""

linux = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc (Linux)")


async def echo(connection: ServerConnection) -> None:
    async for message in connection:
        await connection.send(message)


@linux
@in_loop
async def test_messages_of_64_mib_both_ways_take_no_memory(tmp_path: Path) -> None:
    block = os.urandom(1024 * 1024)
    message = block * (MESSAGE_BYTES // len(block))
    async with serve(echo, "127.0.0.1", 0, max_size=None, compression=None) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        async with (
            spawned(tmp_path, http_route(port, section="websocket")) as running,
            websocket_connect(f"ws://127.0.0.1:{running.port}/ws", compression=None, max_size=None) as client,
        ):
            await client.send(message)
            assert hashlib.sha1(await client.recv(decode=False)).digest() == hashlib.sha1(message).digest()
            assert running.peak_bytes < PEAK_BYTES
