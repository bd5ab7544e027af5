"""The gates of routes, and the Redis servers that they count on only as long as they have to."""

from __future__ import annotations

import anyio

from tests.integration.harness import in_loop
from tests.limiting.redis_server import redis_server
from wsproxy.config.build import load
from wsproxy.config.model import RouteSettings
from wsproxy.limiting.gates import Gates


def route(lines: str) -> RouteSettings:
    text = f"[frontend]\nport = 0\n[http]\nserver1 = 127.0.0.1:1\n{lines}\n"
    return load(text, "test.ini", {}, "/").routes[0]


@in_loop
async def test_a_redis_that_no_limit_counts_on_is_left() -> None:
    async with redis_server() as redis, anyio.create_task_group() as tasks:
        gates = Gates()
        limited = route(f"rate_limit = 5/s\nrate_limit_store = redis\nredis_url = {redis.url}")
        gates.gate(limited)
        tasks.start_soon(gates.run)
        store = gates.store(redis.url)
        assert await store.take([b"a"], [(100.0, 200.0)]) == [100.0]
        gates.settle([limited])
        assert gates.store(redis.url) is store
        gates.settle([route("rate_limit = 5/s")])
        with anyio.fail_after(20):
            while store.is_open:  # noqa: ASYNC110 - nothing announces that a task has ended
                await anyio.sleep(0.005)
        again = gates.store(redis.url)
        assert again is not store
        spare = await again.take([b"a"], [(100.0, 200.0)])
        assert spare is not None
        assert 0.0 <= spare[0] < 5.0, "the other token"
        tasks.cancel_scope.cancel()
