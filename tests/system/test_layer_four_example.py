"""The example of layer 4 does what its comment says: real Redis servers, one of which is lost."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

import anyio
from redis.asyncio import Redis

from tests.integration.harness import in_loop, refused_port
from tests.limiting.redis_server import redis_server
from tests.system.harness import spawned
from tests.system.test_examples import ask, example


@in_loop
async def test_clients_of_redis_are_spread_and_led_to_the_server_that_is_left(tmp_path: Path) -> None:
    async with redis_server() as first, redis_server() as second, AsyncExitStack() as clients:
        port, admin = await refused_port(), await refused_port()
        text = example("layer-4.ini", p6379=port, p6380=first.port, p6381=second.port, p8081=admin)
        async with spawned(tmp_path, "", whole=text, started="listening on"):

            async def client() -> Redis:
                return await clients.enter_async_context(Redis(port=port, single_connection_client=True))

            async def where(one: Redis) -> int:
                return int((await one.info("server"))["tcp_port"])

            with anyio.fail_after(20):
                both = [await client(), await client()]
                assert {await where(one) for one in both} == {first.port, second.port}
                large = b"\0\r\n" * 1_000_000
                await both[0].set("key", large)
                assert await both[0].get("key") == large
                await first.stop()
                later = [await client(), await client()]
                assert {await where(one) for one in later} == {second.port}
                status = (await ask(admin, "GET", "/status")).body
                assert b"127.0.0.1:%d" % first.port in status
