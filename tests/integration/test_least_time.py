"""Answers are measured where a route asks for it, and the quick server gets the requests."""

from __future__ import annotations

import asyncio
from collections import Counter

from tests.integration.harness import RawServer, Wire, fetch, http_route, in_loop, ok, proxy


def slow(name: bytes, delay_s: float) -> RawServer:
    async def script(wire: Wire) -> None:
        while True:
            await wire.request()
            await asyncio.sleep(delay_s)  # what makes it slow
            await wire.send(ok(name))

    return RawServer(script)


@in_loop
async def test_the_quick_one_gets_the_most() -> None:
    counts: Counter[bytes] = Counter()
    async with slow(b"quick", 0.001) as quick, slow(b"slow", 0.3) as late:
        route = http_route(quick.port, late.port, lines="algorithm = least-time\nmax_workers = 20")
        async with proxy(route) as it:
            for _ in range(10):
                counts.update(answer.body for answer in await asyncio.gather(*(fetch(it.port) for _ in range(10))))
    assert counts[b"quick"] > 2 * counts[b"slow"]
    assert counts[b"slow"] > 0


@in_loop
async def test_who_fails_at_once_does_not_draw_the_requests() -> None:
    async with RawServer(b"nonsense\r\n\r\n") as broken, slow(b"well", 0.02) as well:
        lines = "algorithm = latency\nretries = 0\n"
        async with proxy(http_route(broken.port, well.port, lines=lines)) as it:
            statuses = [(await fetch(it.port)).status for _ in range(30)]
    assert statuses.count(502) <= 2
