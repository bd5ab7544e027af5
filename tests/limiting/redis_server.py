"""A real redis-server on a port of its own, without a file, for the length of a test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import anyio
import pytest
from redis.asyncio import Redis

from tests.integration.harness import refused_port
from tests.programs import program
from wsproxy.net import redis_link
from wsproxy.protection import outage

HASTY_S = 0.02


class RedisServer:
    """Starts, stops, and starts again at the same port."""

    def __init__(self, program: str, port: int) -> None:
        self._program = program
        self._process: asyncio.subprocess.Process | None = None
        self.port = port

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def process(self) -> asyncio.subprocess.Process:
        assert self._process is not None
        return self._process

    async def start(self) -> None:
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self._process = await asyncio.create_subprocess_exec(
            self._program, *options, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
        )
        with anyio.fail_after(20):
            while True:
                with suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                    writer.close()
                    return
                await anyio.sleep(0.01)

    async def stop(self) -> None:
        """Kill it, paused or not."""
        with suppress(ProcessLookupError):
            self.process.kill()
        await self.process.wait()


@asynccontextmanager
async def redis_server() -> AsyncIterator[RedisServer]:
    """One that runs inside the block."""
    server = RedisServer(program("redis-server"), await refused_port())
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


@asynccontextmanager
async def client_of(server: RedisServer) -> AsyncIterator[Redis]:
    """A client of the test's own, to look at what is there."""
    client = Redis(port=server.port)
    try:
        yield client
    finally:
        await client.aclose()


def hasten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have servers that failed looked after every 20 ms."""
    for name in ("FIRST_PAUSE_S", "LONGEST_PAUSE_S"):
        monkeypatch.setattr(outage, name, HASTY_S)
    monkeypatch.setattr(redis_link, "TRIAL_S", HASTY_S)
