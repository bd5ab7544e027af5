"""Several requests for the same answer: one fetch, answers that are stale by permission, failures of either side."""

from __future__ import annotations

import asyncio

import pytest

from tests.integration.caching_site import Site, site, status_of
from tests.integration.harness import Message, connect, eventually, get, in_loop, logged, ok

FRESH = b"Cache-Control: max-age=60"


class Gate:
    """A server that answers when it is told to. waiting: requests that came and were not answered yet."""

    def __init__(self, served: Site, answer: bytes) -> None:
        self.answer = answer
        self.open = asyncio.Event()
        self.waiting = 0
        served.answer = self

    async def __call__(self, request: Message) -> bytes:
        self.waiting += 1
        await self.open.wait()
        self.waiting -= 1
        return self.answer


@in_loop
async def test_one_fetch_for_all() -> None:
    async with site() as served:
        gate = Gate(served, ok(b"fine", FRESH))
        clients = [asyncio.create_task(served.fetch()) for _ in range(20)]
        await eventually(lambda: gate.waiting == 1 and served.proxy is not None and served.proxy.sessions == 20)
        gate.open.set()
        answers = await asyncio.gather(*clients)
        assert {answer.body for answer in answers} == {b"fine"}
        assert len(served.seen) == 1
        assert served.results["collapsed"] + served.results.get("hit", 0) == 19


@in_loop
async def test_what_turns_out_to_be_for_one_is_fetched_by_each_and_not_in_turn() -> None:
    async with site() as served:
        gate = Gate(served, ok(b"fine", b"Cache-Control: private"))
        clients = [asyncio.create_task(served.fetch()) for _ in range(5)]
        await eventually(lambda: gate.waiting == 1)
        gate.open.set()
        await asyncio.gather(*clients)
        assert len(served.seen) == 5
        gate.open.clear()
        clients = [asyncio.create_task(served.fetch()) for _ in range(5)]
        await eventually(lambda: gate.waiting == 5)  # it is known now that there is nothing to wait for
        gate.open.set()
        await asyncio.gather(*clients)


@in_loop
async def test_variants_do_not_get_each_others_answers() -> None:
    async with site() as served:
        opened = asyncio.Event()

        async def answer(request: Message) -> bytes:
            await opened.wait()
            return ok(request.field(b"foo") or b"", FRESH, b"Vary: Foo")

        served.answer = answer
        values = [b"1", b"2", b"1", b"2", b"3"]
        clients = [asyncio.create_task(served.fetch(b"/", b"Foo: " + value)) for value in values]
        await eventually(lambda: len(served.seen) == 1)
        opened.set()
        assert [answer.body for answer in await asyncio.gather(*clients)] == values
        assert len(served.seen) <= 5


@in_loop
async def test_the_first_client_leaves_and_the_next_takes_over() -> None:
    async with site() as served:
        gate = Gate(served, ok(b"fine", FRESH))
        async with await connect(served.port()) as first:
            await first.send(get())
            await eventually(lambda: gate.waiting == 1)
            second = asyncio.create_task(served.fetch())
            await eventually(lambda: served.proxy is not None and served.proxy.sessions == 2)
        await eventually(lambda: len(served.seen) == 2)
        gate.open.set()
        assert (await second).body == b"fine"
        assert len(served.cache.flights) == 0


@in_loop
async def test_who_waits_may_leave() -> None:
    async with site() as served:
        gate = Gate(served, ok(b"fine", FRESH))
        first = asyncio.create_task(served.fetch())
        await eventually(lambda: gate.waiting == 1)
        async with await connect(served.port()) as second:
            await second.send(get())
            await eventually(lambda: served.proxy is not None and served.proxy.sessions == 2)
        await eventually(lambda: served.proxy is not None and served.proxy.sessions == 1)
        gate.open.set()
        assert (await first).body == b"fine"


@in_loop
async def test_nobody_waits_for_ever() -> None:
    async with site("wait_timeout = 50ms") as served:
        gate = Gate(served, ok(b"fine", FRESH))
        clients = [asyncio.create_task(served.fetch()) for _ in range(3)]
        await eventually(lambda: gate.waiting == 3)
        gate.open.set()
        await asyncio.gather(*clients)


@in_loop
async def test_stale_while_another_is_fetched() -> None:
    async with site() as served:
        served.answer = ok(b"one", b"Cache-Control: max-age=5, stale-while-revalidate=10", b'ETag: "1"')
        await served.fetch()
        served.now += 6
        gate = Gate(served, ok(b"two", b"Cache-Control: max-age=5, stale-while-revalidate=10"))
        answers = [await served.fetch() for _ in range(5)]
        assert {(answer.body, status_of(answer)) for answer in answers} == {(b"one", b"hit; ttl=-1")}
        await eventually(lambda: gate.waiting == 1)
        assert served.seen[-1].field(b"if-none-match") == b'"1"'
        gate.open.set()
        await eventually(lambda: len(served.cache.flights) == 0)
        assert (await served.fetch()).body == b"two"
        assert len(served.seen) == 2
        assert served.cache.totals.background == 1


@in_loop
async def test_a_background_fetch_may_fail_or_be_confirmed() -> None:
    async with site("stale_while_revalidate = 1h") as served:
        served.answer = ok(b"one", b"Cache-Control: max-age=5", b'ETag: "1"')
        await served.fetch()
        served.now += 6
        served.answer = b""
        assert (await served.fetch()).body == b"one"
        await eventually(lambda: len(served.seen) > 1 and len(served.cache.flights) == 0)
        served.answer = b'HTTP/1.1 304 Not Modified\r\nETag: "1"\r\n\r\n'
        assert (await served.fetch()).body == b"one"
        await eventually(lambda: len(served.cache.flights) == 0)
        assert (await served.fetch()).field(b"age") == b"0"


@in_loop
async def test_a_background_fetch_of_what_is_too_large_is_given_up() -> None:
    async with site("stale_while_revalidate = 1h\nmax_entry_size = 1k") as served:
        served.answer = ok(b"one", b"Cache-Control: max-age=5")
        await served.fetch()
        served.now += 6
        # an answer without an end, which nobody would ever have read
        served.answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n800\r\n" + b"x" * 2048 + b"\r\n"
        assert (await served.fetch()).body == b"one"
        await eventually(lambda: len(served.seen) == 2 and len(served.cache.flights) == 0)


@pytest.mark.parametrize(
    ("failure", "told"),
    [(b"", b"hit; ttl=-1"), (b"HTTP/1.1 503 Busy\r\nContent-Length: 2\r\n\r\nno", b"hit; ttl=-1")],
)
def test_stale_where_the_server_fails(failure: bytes, told: bytes) -> None:
    @in_loop
    async def run() -> None:
        async with site() as served:
            served.answer = ok(b"one", b"Cache-Control: max-age=5, stale-if-error=10")
            await served.fetch()
            served.now += 6
            served.answer = failure
            answer = await served.fetch()
            assert (answer.status, answer.body, status_of(answer)) == (200, b"one", told)
            served.now += 10
            assert (await served.fetch()).status in (502, 503)

    run()


@in_loop
async def test_no_stale_answer_where_that_is_ruled_out() -> None:
    async with site("stale_if_error = 1h\nstale_while_revalidate = 1h") as served:
        served.answer = ok(b"one", b"Cache-Control: max-age=5, must-revalidate")
        await served.fetch()
        served.now += 6
        served.answer = b""
        assert (await served.fetch()).status == 502


@in_loop
async def test_what_must_be_confirmed_each_time_is_confirmed_by_each() -> None:
    async with site() as served:
        served.answer = ok(b"one", b"Cache-Control: no-cache", b'ETag: "1"')
        await served.fetch()
        gate = Gate(served, b'HTTP/1.1 304 Not Modified\r\nETag: "1"\r\nCache-Control: no-cache\r\n\r\n')
        clients = [asyncio.create_task(served.fetch()) for _ in range(4)]
        await eventually(lambda: gate.waiting == 4)
        gate.open.set()
        assert {answer.body for answer in await asyncio.gather(*clients)} == {b"one"}


@in_loop
async def test_the_copies_in_the_making_are_bounded() -> None:
    async with site("max_size = 64k\nmax_entry_size = 60k\nwait_timeout = 10s") as served:
        gate = Gate(served, ok(b"x" * 50_000, FRESH))
        clients = [asyncio.create_task(served.fetch(b"/%d" % number)) for number in range(8)]
        await eventually(lambda: gate.waiting == 8)
        gate.open.set()
        assert {len(answer.body) for answer in await asyncio.gather(*clients)} == {50_000}
        assert served.cache._filling_bytes == 0


@in_loop
async def test_stopping_with_a_background_fetch_under_way() -> None:
    with logged() as lines:
        async with site("stale_while_revalidate = 1h") as served:
            served.answer = ok(b"one", b"Cache-Control: max-age=5")
            await served.fetch()
            served.now += 6
            gate = Gate(served, ok())
            await served.fetch()
            await eventually(lambda: gate.waiting == 1)
    assert lines.of("ERROR") == []
