"""Proxies that share a cache in Redis, and what their clients see when it is slow or gone."""

from __future__ import annotations

import signal
from time import monotonic

from tests.integration.caching_site import Site, site
from tests.integration.harness import RawServer, eventually, http_route, in_loop, ok, proxy
from tests.limiting.redis_server import redis_server

FRESH = b"Cache-Control: max-age=60"


@in_loop
async def test_two_proxies_share_what_is_kept() -> None:
    async with redis_server() as redis:
        lines = f"store = redis\nredis_url = {redis.url}\nredis_timeout = 5s\n"
        async with site(lines) as one, RawServer(one.serve) as server:
            routes = f"{http_route(server.port, lines='cache = yes')}[cache]\n{lines}"
            async with proxy(routes) as running:
                other = Site()
                other.proxy = running
                other.cache.clock = lambda: one.now
                one.answer = ok(b"fine", FRESH, b"Vary: Foo", b'ETag: "1"')
                await one.fetch(b"/a", b"Foo: 1")
                await eventually(lambda: not one.cache.store._pending)  # type: ignore[attr-defined]
                hit = await other.fetch(b"/a", b"Foo: 1")
                assert (hit.body, hit.field(b"age")) == (b"fine", b"0")
                assert (await other.fetch(b"/a", b"Foo: 1", b'If-None-Match: "1"')).status == 304
                assert len(one.seen) == 1
                one.answer = ok(b"new", FRESH)
                await other.fetch(b"/a", method=b"POST", body=b"x")
                await eventually(lambda: not other.cache.store._pending)  # type: ignore[attr-defined]
                assert (await one.fetch(b"/a", b"Foo: 1")).body == b"new"


@in_loop
async def test_a_redis_that_hangs_costs_a_hit_and_no_time() -> None:
    async with redis_server() as redis:
        lines = f"store = redis\nredis_url = {redis.url}\nredis_timeout = 400ms\n"
        async with site(lines) as served:
            await served.fetch()
            await eventually(lambda: not served.cache.store._pending)  # type: ignore[attr-defined]
            redis.process.send_signal(signal.SIGSTOP)
            began = monotonic()
            for _ in range(10):
                assert (await served.fetch()).body == b"fine"
            assert monotonic() - began < 3  # the first of them waits for the deadline, and no other
            assert served.cache.store.faults >= 1
            assert len(served.seen) == 11


@in_loop
async def test_a_redis_that_is_not_there_from_the_start() -> None:
    async with site("store = redis\nredis_url = redis://127.0.0.1:1/0\n") as served:
        for _ in range(3):
            assert (await served.fetch()).body == b"fine"
