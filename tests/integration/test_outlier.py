"""A server that answers its probes and fails its requests is left out for a while."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.integration.harness import Proxy, RawServer, eventually, fetch, http_route, in_loop, logged, ok, proxy
from wsproxy.backend.guard import Guard

BUSY = b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy"


@asynccontextmanager
async def two(first: bytes, second: bytes, lines: str) -> AsyncIterator[tuple[RawServer, RawServer, Proxy]]:
    """The proxy before two servers that always give the same answer."""
    async with (
        RawServer(first) as one,
        RawServer(second) as other,
        proxy(http_route(one.port, other.port, lines=lines)) as it,
    ):
        yield one, other, it


def guard_of(it: Proxy, server: RawServer) -> Guard:
    return it.application.groups["http"].group.backends[f"127.0.0.1:{server.port}"].guard


async def asked(port: int, count: int) -> Counter[int]:
    return Counter([(await fetch(port)).status for _ in range(count)])


@in_loop
async def test_a_server_that_is_busy_is_left_out_and_comes_back() -> None:
    lines = "algorithm = round-robin\noutlier_time = 500ms\noutlier_failures = 3\n"
    with logged() as log:
        async with two(BUSY, ok(), lines) as (busy, _, it):
            assert await asked(it.port, 6) == {503: 3, 200: 3}
            guard = guard_of(it, busy)
            assert guard.ejected
            assert await asked(it.port, 10) == {200: 10}
            await eventually(lambda: not guard.ejected)
            assert (await asked(it.port, 4))[503] == 2
    assert any(line.endswith("3 failures in a row, the last: it answered 503") for line in log.of("WARNING"))


@in_loop
async def test_outlier_no_leaves_it_in() -> None:
    async with two(BUSY, ok(), "algorithm = round-robin\noutlier = no\n") as (_, _, it):
        assert await asked(it.port, 40) == {503: 20, 200: 20}


@in_loop
async def test_a_server_that_refuses_is_back_when_probes_say_so() -> None:
    """Long before its time: what a probe cannot open is just what failed."""
    lines = "algorithm = round-robin\nhealth_check_interval = 100ms\nhealth_check_fall = 100\n"
    async with two(ok(b"one"), ok(b"two"), lines) as (one, _, it):
        guard = guard_of(it, one)
        await one.stop()
        assert await asked(it.port, 20) == {200: 20}
        assert guard.ejected
        await one.start()
        await eventually(lambda: not guard.ejected)
        assert {(await fetch(it.port)).body for _ in range(4)} == {b"one", b"two"}
