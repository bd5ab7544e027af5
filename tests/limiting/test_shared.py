"""Buckets in a real Redis: the same answers as in memory, for all who ask, and none when Redis is gone."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

from tests.integration.harness import eventually, in_loop, logged, refused_port
from tests.limiting.redis_server import redis_server
from wsproxy.limiting.gates import Gates
from wsproxy.limiting.shared import MOST_WAITING, SharedBuckets
from wsproxy.net.redis_link import TIMEOUT_S


@asynccontextmanager
async def buckets(url: str) -> AsyncIterator[SharedBuckets]:
    """A store that runs inside the block."""
    gates = Gates()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(gates.run)
        try:
            yield gates.store(url)
        finally:
            tasks.cancel_scope.cancel()


async def spare(store: SharedBuckets, *keys: bytes, token_s: float = 100.0, burst: int = 2) -> list[float] | None:
    return await store.take(list(keys), [(token_s, token_s * burst)] * len(keys))


@in_loop
async def test_a_bucket_gives_its_burst_and_then_says_how_long_to_wait() -> None:
    async with redis_server() as server, buckets(server.url) as store:
        first, second = [await spare(store, b"a") for _ in range(2)]
        assert first == [100.0]
        assert second is not None
        assert 0.0 <= second[0] < 5.0
        refused = await spare(store, b"a")
        assert refused is not None
        assert -100.0 < refused[0] < -95.0
        assert await spare(store, b"b") == [100.0]


@in_loop
async def test_thirds_of_a_second_add_up() -> None:
    async with redis_server() as server, buckets(server.url) as store:
        answers = await asyncio.gather(*(spare(store, b"a", token_s=2000 / 3, burst=3) for _ in range(4)))
        assert [answer is not None and answer[0] >= 0 for answer in answers] == [True, True, True, False]


@in_loop
async def test_what_one_bucket_refuses_costs_the_others_nothing() -> None:
    async with redis_server() as server, buckets(server.url) as store:
        for _ in range(2):
            await spare(store, b"full")
        for _ in range(5):
            answer = await spare(store, b"other", b"full")
            assert answer is not None
            assert answer[1] < 0
        assert await spare(store, b"other") == [100.0]


@in_loop
async def test_a_bucket_that_was_larger_is_empty_and_no_more() -> None:
    async with redis_server() as server, buckets(server.url) as store:
        for _ in range(5):
            await spare(store, b"a", burst=5)
        answer = await spare(store, b"a", token_s=1.0, burst=3)
        assert answer is not None
        assert -1.0 <= answer[0] <= -0.9


@in_loop
async def test_thousands_at_a_time_go_in_few_trips_and_count_right() -> None:
    async with redis_server() as server, buckets(server.url) as store:
        answers = await asyncio.gather(*(spare(store, b"a", burst=700) for _ in range(3000)))
        assert sum(answer is not None and answer[0] >= 0 for answer in answers) == 700
        assert store.faults == 0


@in_loop
async def test_a_server_that_was_started_again_is_told_the_script_again() -> None:
    async with redis_server() as server, buckets(server.url) as store:
        await spare(store, b"a")
        await server.stop()
        await server.start()
        assert await spare(store, b"a") == [100.0], "over a connection that is new, like the script"
        assert store.faults == 0


@in_loop
async def test_without_redis_everything_passes_and_nobody_asks() -> None:
    url = f"redis://127.0.0.1:{await refused_port()}/0"
    with logged() as log:
        async with buckets(url) as store:
            assert await asyncio.gather(*(spare(store, b"a") for _ in range(50))) == [None] * 50
            assert not store.is_open
            assert store.faults == 1
    (warning,) = log.of("WARNING")
    assert "does not answer" in warning
    assert "pass uncounted" in warning


@in_loop
async def test_a_redis_that_hangs_holds_nobody_up_for_long_and_is_found_again() -> None:
    async with redis_server() as server, buckets(server.url) as store:
        assert await spare(store, b"a") == [100.0]
        server.process.send_signal(signal.SIGSTOP)
        started = anyio.current_time()
        assert await spare(store, b"a") is None
        assert anyio.current_time() - started < TIMEOUT_S + 1
        assert not store.is_open
        server.process.send_signal(signal.SIGCONT)
        await eventually(lambda: store.is_open)
        assert await spare(store, b"fresh") == [100.0], "no answer of before is taken for this one"


@in_loop
async def test_no_more_wait_than_may() -> None:
    store = SharedBuckets("redis://127.0.0.1:1")  # which nobody runs
    for _ in range(MOST_WAITING):
        assert store.is_open
        store.take([b"a"], [(1.0, 1.0)])
    assert not store.is_open
