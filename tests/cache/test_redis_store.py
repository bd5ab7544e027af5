"""Answers in a real Redis: what is found, what is let go, and that its faults are never more than a miss."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest

from tests.cache.answers import NOW, PLAIN, asked, stored
from tests.integration.harness import eventually, in_loop, logged
from tests.limiting.redis_server import RedisServer, client_of, hasten, redis_server
from wsproxy.cache.asked import Asked
from wsproxy.cache.freshness import Terms
from wsproxy.cache.redis_store import MOST_UNWRITTEN_BYTES, RedisStore
from wsproxy.cache.store import StoreFaultError
from wsproxy.cache.stored import StoredAnswer

FOO = (b"foo",)


@asynccontextmanager
async def running(url: str, timeout_s: float = 5.0) -> AsyncIterator[RedisStore]:
    """A store that writes what it is given."""
    store = RedisStore(url, timeout_s)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(store.run)
        yield store
        tasks.cancel_scope.cancel()


async def written(store: RedisStore) -> None:
    await eventually(lambda: not store._pending)


async def found(store: RedisStore, key: bytes, request: Asked = PLAIN) -> bytes | None:
    answer = await store.find(key, request)
    return None if answer is None else answer.body


@asynccontextmanager
async def two_stores() -> AsyncIterator[tuple[RedisStore, RedisStore, RedisServer]]:
    """Those of two proxies that share one Redis."""
    async with redis_server() as server, running(server.url) as one, running(server.url) as other:
        yield one, other, server


@in_loop
async def test_what_one_proxy_keeps_another_finds() -> None:
    async with two_stores() as (one, other, _):
        one.keep(b"k", (), PLAIN, stored('ETag: "1"', body=b"fine"))
        assert await found(one, b"k") == b"fine"  # before it is written
        await written(one)
        answer = await other.find(b"k", PLAIN)
        assert answer is not None
        assert (answer.body, answer.etag, answer.received_at) == (b"fine", b'"1"', NOW)
        assert await found(other, b"l") is None
        assert other.faults == 0


@in_loop
async def test_answers_that_vary() -> None:
    async with two_stores() as (one, other, _):
        first, second = asked("Foo: 1"), asked("Foo: 2")
        one.keep(b"k", FOO, first, stored(body=b"one"))
        await written(one)
        other.keep(b"k", FOO, second, stored(body=b"two"))
        await written(other)
        assert [await found(one, b"k", request) for request in (first, second, PLAIN)] == [b"one", b"two", None]
        assert await one.drop(b"k") == 2
        other.keep(b"k", FOO, second, stored(body=b"new"))
        await written(other)
        assert [await found(one, b"k", request) for request in (first, second)] == [None, b"new"]


@in_loop
async def test_what_is_forgotten_is_not_found_from_then_on() -> None:
    async with two_stores() as (one, other, _):
        one.keep(b"k", (), PLAIN, stored(body=b"old"))
        await written(one)
        one.forget(b"k")
        assert await found(one, b"k") is None
        one.keep(b"k", (), PLAIN, stored(body=b"new"))
        assert await found(one, b"k") == b"new"
        await written(one)
        assert await found(other, b"k") == b"new"
        one.forget(b"k")
        await written(one)
        assert await found(other, b"k") is None


@in_loop
async def test_purges() -> None:
    async with two_stores() as (one, other, _):
        one.keep(b"k", (), PLAIN, stored("Cache-Tag: a, b"))
        one.keep(b"l", FOO, asked("Foo: 1"), stored("Cache-Tag: b"))
        one.keep(b"m", (), PLAIN, stored())
        await written(one)
        assert await other.drop_tag(b"b") == 2
        assert await other.drop_tag(b"b") == 0
        assert await found(one, b"m") is not None
        assert await other.clear() >= 1
        assert await found(one, b"m") is None
        assert await other.drop(b"m") == 0


@in_loop
async def test_nothing_outlives_its_use_nor_do_its_tags() -> None:
    async with two_stores() as (one, _, server), client_of(server) as client:
        for number in range(50):
            one.keep(b"%d" % number, FOO, PLAIN, stored("Cache-Tag: a", on=Terms(0.05)))
        one.keep(b"long", (), PLAIN, stored("Cache-Tag: a", on=Terms(60.0)))
        await written(one)
        await anyio.sleep(0.1)  # Redis's own clock
        one.keep(b"more", (), PLAIN, stored("Cache-Tag: a", on=Terms(60.0)))
        await written(one)
        names = [name async for name in client.scan_iter(match=b"wsproxy:*")]
        assert len(names) == 3
        assert await client.zcard(next(name for name in names if b":t:" in name)) == 2
        assert await one.drop_tag(b"a") == 2


@in_loop
async def test_who_asks_together_is_answered_together() -> None:
    async with two_stores() as (one, other, server), client_of(server) as client:
        for number in range(40):
            one.keep(b"%d" % number, (), PLAIN, stored(body=b"body %d" % number))
        await written(one)
        damaged = await anext(client.scan_iter(match=b"wsproxy:a:*"))
        await client.set(damaged, b"something else")
        asked_before = (await client.info("commandstats")).get("cmdstat_mget", {}).get("calls", 0)
        answers = await asyncio.gather(*(found(other, b"%d" % (number % 45)) for number in range(60)))
        asked_after = (await client.info("commandstats"))["cmdstat_mget"]["calls"]
        assert asked_after - asked_before == 1
        wanted = [b"body %d" % (number % 45) if number % 45 < 40 else None for number in range(60)]
        wrong = [number % 45 for number in range(60) if answers[number] != wanted[number]]
        assert len(set(wrong)) == 1  # the damaged one
        assert all(answers[number] is None for number in range(60) if number % 45 in wrong)


@in_loop
async def test_who_asks_first_may_be_cancelled() -> None:
    async with two_stores() as (one, _, _server):
        first = asyncio.create_task(found(one, b"k"))
        second = asyncio.create_task(found(one, b"l"))
        await asyncio.sleep(0)
        first.cancel()
        assert await second is None
        assert one._batch is None


@in_loop
async def test_other_keys_of_the_same_redis_are_left_alone() -> None:
    async with two_stores() as (one, _, server), client_of(server) as client:
        await client.set(b"theirs", b"1")
        one.keep(b"k", (), PLAIN, stored())
        await written(one)
        assert await one.clear() == 1
        assert await client.get(b"theirs") == b"1"


@in_loop
async def test_what_is_damaged_is_a_miss() -> None:
    async with two_stores() as (one, _, server), client_of(server) as client:
        one.keep(b"k", (), PLAIN, stored())
        await written(one)
        (name,) = [name async for name in client.scan_iter(match=b"wsproxy:a:*")]
        await client.set(name, b"something else")
        assert await found(one, b"k") is None
        assert one.faults == 1


@pytest.mark.parametrize("is_paused", [True, False])
def test_a_redis_that_does_not_answer(is_paused: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    hasten(monkeypatch)

    @in_loop
    async def run() -> None:
        async with redis_server() as server, running(server.url, 0.25) as store:
            with logged() as lines:
                store.keep(b"k", (), PLAIN, stored(body=b"fine"))
                await written(store)
                if is_paused:
                    server.process.send_signal(signal.SIGSTOP)
                else:
                    await server.stop()
                assert await found(store, b"k") is None
                assert store.faults == 1
                for _ in range(100):  # it is not even asked
                    assert await found(store, b"k") is None
                assert store.faults == 1
                (warning,) = lines.of("WARNING")
                assert "the Redis of [cache]" in warning
                assert warning.endswith("answers come from the servers until it does")
                if is_paused:
                    server.process.send_signal(signal.SIGCONT)
                else:
                    await server.start()
                await eventually(lambda: len(lines.of("INFO")) == 1)
                assert await found(store, b"k") == (b"fine" if is_paused else None)
                assert "answers again" in lines.of("INFO")[0]

    run()


@in_loop
async def test_an_operator_is_told() -> None:
    async with redis_server() as server, running(server.url) as store:
        await server.stop()
        for purge in (store.drop(b"k"), store.drop_tag(b"a"), store.clear()):
            with pytest.raises(StoreFaultError, match="Redis does not answer"):
                await purge


@in_loop
async def test_what_waits_to_be_written_is_bounded() -> None:
    store = RedisStore("redis://127.0.0.1:1/0", 0.05)  # nobody runs it: nothing is written
    large = stored(body=b"x" * 1024 * 1024)
    for number in range(100):
        store.keep(b"%d" % number, (), PLAIN, large)
    assert store._unwritten_bytes <= MOST_UNWRITTEN_BYTES
    assert store.faults > 80


def test_a_value_is_an_answer() -> None:
    assert isinstance(stored(), StoredAnswer)
