"""The example of a cache in Redis does what its comment says, with a Redis and servers of the test's own."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import anyio

from tests.integration.harness import PATIENCE_S, Message, RawServer, connect, fetch, get, in_loop, ok, refused_port
from tests.limiting.redis_server import redis_server
from tests.system.harness import spawned
from tests.system.test_examples import ask, example


async def kept(port: int, target: bytes) -> Message:
    """What the cache has of it, as soon as it has: Redis gets an answer behind the client."""
    with anyio.fail_after(PATIENCE_S):
        while True:
            async with await connect(port) as client:
                await client.send(get(target, b"Cache-Control: only-if-cached"))
                if (answer := await client.response()).status != 504:
                    return answer


@in_loop
async def test_weighted_servers_behind_a_cache_in_redis(tmp_path: Path) -> None:
    async with redis_server() as redis, RawServer(ok(b"one")) as one, RawServer(ok(b"two")) as two:
        admin = await refused_port()
        places = {"p8080": 0, "p8081": admin, "p9001": one.port, "p9002": two.port, "p6379": redis.port}
        text = example("weighted-with-redis-cache.ini", **places)
        async with spawned(tmp_path, "", whole=text) as running:
            answers = [await fetch(running.port, b"/%d" % number) for number in range(8)]
            assert Counter(answer.body for answer in answers) == {b"one": 6, b"two": 2}
            for number, answer in enumerate(answers):
                again = await kept(running.port, b"/%d" % number)
                assert again.body == answer.body
                assert (again.field(b"cache-status") or b"").startswith(b"wsproxy; hit")
            purged = await ask(admin, "POST", "/cache/purge", {"url": "http://site.example/3"})
            assert purged.body == b'{"purged":1}\n'
            assert (await fetch(running.port, b"/3")).field(b"age") is None
        async with spawned(tmp_path, "", whole=text) as running:  # what is kept outlives the proxy
            assert (await fetch(running.port, b"/4")).field(b"age") is not None
