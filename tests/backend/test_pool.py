"""The worker pool: who carries what and in which order, how it grows and shrinks, what a client that leaves costs."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from tests.fakes import ANSWER, ROUTE, Client, UpstreamDialer, in_loop, make_server, run, settle, sweep, until
from wsproxy.backend import pool as pool_module
from wsproxy.backend.pool import WorkerPool
from wsproxy.backend.queue import BoundedQueue
from wsproxy.backend.worker import KEPT_AFTER, Worker
from wsproxy.config.group_settings import Address, ServerSettings
from wsproxy.errors import CLIENT_LEFT, INTERNAL, QUEUE_TIMEOUT, STOPPING
from wsproxy.exchange import Exchange
from wsproxy.net.deadlines import NEVER, TICK_S, Deadlines
from wsproxy.protection import pool_size


class Pool:
    """A running pool on a scripted upstream."""

    def __init__(self, upstream: UpstreamDialer, options: dict[str, Any]) -> None:
        self.upstream = upstream
        self.deadlines = Deadlines()
        self.waiting: deque[Exchange] = deque()
        self.pool = WorkerPool(make_server(**options), self.deadlines, self.waiting)
        self.pool._dialer = upstream

    def offer(self, *clients: Client) -> list[bool]:
        taken = []
        for client in clients:
            client.exchange.begin()
            taken.append(self.pool.offer(client.exchange))
        return taken

    def wait_for_group(self, *clients: Client) -> None:
        for client in clients:
            client.exchange.begin()
            client.exchange.start_clock(asyncio.get_running_loop().time())
            self.waiting.append(client.exchange)

    @property
    def targets(self) -> list[bytes]:
        return [request.split(b" ", 2)[1] for request, _ in self.upstream.requests]


@asynccontextmanager
async def running(*script: bytes, always: bytes | None = None, **options: Any) -> AsyncIterator[Pool]:
    made = Pool(UpstreamDialer(*script, always=always), options)
    task = asyncio.ensure_future(made.pool.run())
    await until(lambda: made.pool._tasks is not None and made.pool.idle == made.pool.settings.min_workers)
    yield made
    made.pool.close()
    for _ in range(len(made.upstream.pending)):
        made.upstream.answer()
    made.upstream.always = ANSWER
    await task
    assert not made.pool.workers
    assert not made.upstream.open, "a worker that leaves closes its connection"


def done(client: Client) -> bool:
    return client.exchange._done is not None and client.exchange._done.done()


# Who carries what.


@in_loop
async def test_an_idle_worker_takes_an_exchange_at_once() -> None:
    async with running(ANSWER) as it:
        client = Client()
        assert it.offer(client) == [True]
        assert it.pool.in_flight == 1
        await until(lambda: done(client))
        assert client.transport.sent.startswith(b"HTTP/1.1 200 OK\r\n")
        assert client.transport.sent.endswith(b"ok")
        assert (it.pool.exchanges, it.pool.connections_opened, it.pool.in_flight) == (1, 1, 0)
        assert client.exchange.backend_name == "server1"


@in_loop
async def test_exchanges_follow_one_another_over_one_connection() -> None:
    async with running(always=ANSWER) as it:
        for _ in range(5):
            client = Client()
            it.offer(client)
            await until(lambda: done(client))  # noqa: B023 - awaited before the next round
        await until(lambda: it.pool.idle == 1)
        assert (it.pool.exchanges, it.pool.connections_opened) == (5, 1)


@in_loop
async def test_never_more_connections_than_max_workers_and_first_in_first_out() -> None:
    async with running(max_workers=2, min_workers=0, buffer_size=3) as it:
        clients = [Client(b"/%d" % i) for i in range(7)]
        # One worker for the first; the next three queue; a full queue makes the pool grow, once; then nothing is free.
        assert it.offer(*clients) == [True] * 5 + [False] * 2
        it.waiting.extend(client.exchange for client in clients[5:])
        await until(lambda: len(it.upstream.pending) == 2)
        for answered in range(1, 8):
            await until(lambda: it.upstream.pending)
            it.upstream.answer()
            await until(lambda: sum(done(client) for client in clients) == answered)  # noqa: B023
        assert it.targets == [b"/0", b"/1", b"/2", b"/3", b"/4", b"/5", b"/6"]
        assert it.upstream.most_open == 2
        assert [client.status for client in clients] == [200] * 7


@in_loop
async def test_a_flood_is_served_whole_within_the_limits() -> None:
    async with running(always=ANSWER, max_workers=3, min_workers=1, buffer_size=10) as it:
        clients = [Client(b"/%d" % i) for i in range(500)]
        for client in clients:
            if it.waiting or not it.offer(client)[0]:
                it.wait_for_group(client)
        await until(lambda: all(done(client) for client in clients))
        assert [client.status for client in clients] == [200] * 500
        assert it.upstream.most_open <= 3
        assert it.targets == [b"/%d" % i for i in range(500)]
        await until(lambda: it.pool.idle == len(it.pool.workers))


# How it grows.


@in_loop
async def test_from_no_workers_the_first_exchange_starts_one() -> None:
    async with running(always=ANSWER, min_workers=0) as it:
        assert not it.pool.workers
        client = Client()
        assert it.offer(client) == [True]
        assert (len(it.pool.workers), it.pool.grown, len(it.pool.queue)) == (1, 1, 0)
        await until(lambda: done(client))


@in_loop
async def test_a_full_queue_starts_a_worker_for_the_head_of_the_queue() -> None:
    async with running(max_workers=2, buffer_size=1) as it:
        first, second, third = Client(b"/1"), Client(b"/2"), Client(b"/3")
        assert it.offer(first, second) == [True, True]
        assert len(it.pool.workers) == 1
        assert it.offer(third) == [True]
        assert len(it.pool.workers) == 2
        assert list(it.pool.queue) == [third.exchange], "no overtaking: the new worker takes the one that waited"
        await until(lambda: len(it.upstream.pending) == 2)


@in_loop
async def test_a_head_that_waits_grows_the_pool_without_another_arrival() -> None:
    async with running(max_workers=3, buffer_size=10) as it:
        clients = [Client(b"/%d" % i) for i in range(3)]
        started = asyncio.get_running_loop().time()
        it.offer(*clients)
        assert len(it.pool.workers) == 1
        await until(lambda: len(it.upstream.pending) == 3)  # nothing is answered, nothing arrives: only the timer
        assert asyncio.get_running_loop().time() - started > 0.005
        assert len(it.pool.workers) == 3
        assert it.pool._grow_timer is None


@in_loop
async def test_a_head_that_is_served_soon_grows_nothing() -> None:
    with pytest.MonkeyPatch.context() as patch:
        for module in (pool_module, pool_size):  # 5 ms are soon over on a busy machine
            patch.setattr(module, "HEAD_WAIT_S", 0.3)
        async with running(always=ANSWER, max_workers=3, buffer_size=10) as it:
            clients = [Client() for _ in range(3)]
            it.offer(*clients)
            await until(lambda: all(done(client) for client in clients))
            await until(lambda: it.pool._grow_timer is None)  # it looks once, at an empty queue
            assert it.pool.grown == 0


@in_loop
async def test_without_a_queue_each_exchange_needs_a_worker() -> None:
    async with running(max_workers=2, min_workers=1, buffer_size=0) as it:
        assert it.offer(Client(), Client(), Client()) == [True, True, False]
        await until(lambda: len(it.upstream.pending) == 2)


@in_loop
async def test_an_exchange_is_refused_before_the_pool_runs_and_after_it_closes() -> None:
    made = Pool(UpstreamDialer(), {})
    assert made.offer(Client()) == [False]
    with pytest.raises(RuntimeError):
        made.pool.tasks  # noqa: B018
    made.pool.close()
    await made.pool.run()
    assert made.offer(Client()) == [False]


# How it shrinks.


@in_loop
async def test_idle_workers_leave_down_to_the_minimum() -> None:
    async with running(max_workers=4, min_workers=1, buffer_size=0, worker_timeout_s=3.0) as it:
        clients = [Client() for _ in range(4)]
        assert it.offer(*clients) == [True] * 4
        await until(lambda: len(it.upstream.pending) == 4)
        for _ in range(4):
            it.upstream.answer()
        await until(lambda: it.pool.idle == 4)
        sweep(it.deadlines, 1.0)
        assert len(it.pool.workers) == 4, "not idle for long enough"
        sweep(it.deadlines, 3.5)
        await until(lambda: len(it.upstream.open) == 1)
        assert (len(it.pool.workers), it.pool.idle, it.pool.shrunk) == (1, 1, 3)
        assert it.pool.deadline == NEVER, "nothing is left to look at"
        sweep(it.deadlines, 99.0)
        assert len(it.pool.workers) == 1


@in_loop
async def test_a_pool_may_shrink_to_nothing_and_grow_again() -> None:
    async with running(always=ANSWER, min_workers=0, worker_timeout_s=1.0) as it:
        for grown in (1, 2):
            client = Client()
            it.offer(client)
            await until(lambda: it.pool.idle == 1)
            assert it.pool.grown == grown
            sweep(it.deadlines, 99.0 * grown)
            await until(lambda: not it.upstream.open)
            assert not it.pool.workers


# Waiting and giving up.


@in_loop
async def test_queue_timeout_fails_what_is_queued_with_retry_after() -> None:
    async with running(max_workers=1, buffer_size=5) as it:
        busy, patient = Client(), Client()
        hasty = Client(route=replace(ROUTE, queue_timeout_s=0.0))
        it.offer(busy, patient, hasty)
        sweep(it.deadlines)
        assert hasty.exchange.failure is QUEUE_TIMEOUT
        assert (QUEUE_TIMEOUT.status, QUEUE_TIMEOUT.retry_after_s) == (503, 1)
        assert done(hasty)
        assert not done(busy)
        assert not done(patient)
        assert list(it.pool.queue) == [patient.exchange]


@in_loop
async def test_slots_freed_by_a_timeout_go_to_those_who_wait_for_the_group() -> None:
    async with running(max_workers=1, buffer_size=1) as it:
        hasty, waiting = Client(route=replace(ROUTE, queue_timeout_s=0.0)), Client()
        it.offer(Client(), hasty)
        it.wait_for_group(waiting)
        sweep(it.deadlines)
        assert done(hasty)
        assert list(it.pool.queue) == [waiting.exchange]
        assert not it.waiting


@in_loop
async def test_a_freed_worker_serves_the_queue_before_those_who_wait_for_the_group() -> None:
    async with running(max_workers=1, buffer_size=1) as it:
        busy, queued, waiting = Client(b"/busy"), Client(b"/queued"), Client(b"/waiting")
        assert it.offer(busy, queued) == [True, True]
        it.wait_for_group(waiting)
        await until(lambda: it.upstream.pending)
        it.upstream.answer()
        await until(lambda: it.upstream.pending)
        assert list(it.pool.queue) == [waiting.exchange], "the slot of the queue that became free"
        it.upstream.answer()
        await until(lambda: it.upstream.pending)
        assert it.targets == [b"/busy", b"/queued", b"/waiting"]


@in_loop
async def test_what_came_back_from_this_server_waits_for_another_and_is_passed() -> None:
    async with running(max_workers=1, buffer_size=1) as it:
        returned, fresh = Client(b"/returned"), Client(b"/fresh")
        it.wait_for_group(returned, fresh)
        returned.exchange.tried = ("server1",)
        it.pool.fill()
        await until(lambda: it.upstream.pending)
        assert it.targets == [b"/fresh"]
        assert list(it.waiting) == [returned.exchange]


@in_loop
async def test_a_pool_whose_server_is_down_takes_nothing_of_what_waits() -> None:
    async with running(max_workers=1) as it:
        waiting = Client()
        it.wait_for_group(waiting)
        it.pool.takes_waiting = False
        it.pool.fill()
        assert list(it.waiting) == [waiting.exchange]


@in_loop
async def test_a_pool_that_starts_takes_what_waits_even_without_workers() -> None:
    made = Pool(UpstreamDialer(ANSWER), {"min_workers": 0})
    client = Client()
    made.wait_for_group(client)
    task = asyncio.ensure_future(made.pool.run())
    await until(lambda: done(client))
    assert client.status == 200
    made.pool.close()
    await task


@in_loop
async def test_the_warning_names_the_key_once() -> None:
    records: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = records.append  # type: ignore[assignment]
    logger = logging.getLogger("wsproxy.backend")
    logger.addHandler(handler)
    try:
        async with running(max_workers=1, buffer_size=9) as it:
            hasty = replace(ROUTE, queue_timeout_s=0.0)
            it.offer(Client(), Client(route=hasty), Client(route=hasty))
            sweep(it.deadlines, 1.0)
            it.offer(Client(route=hasty))
            sweep(it.deadlines, 2.0)
            assert [record.levelno for record in records] == [logging.WARNING]
            assert "raise max_workers" in records[0].getMessage()
            assert "all 1 workers are busy, 1 of them" in records[0].getMessage()
            it.offer(Client(route=hasty))
            sweep(it.deadlines, 99.0)
            assert len(records) == 2, "again after a minute"
    finally:
        logger.removeHandler(handler)


@in_loop
async def test_no_warning_while_the_pool_could_grow() -> None:
    async with running(max_workers=2, buffer_size=9) as it:
        it.pool.warn_if_held(1e9, 5.0)
        assert it.pool._warned_at < 0


# Clients that leave.


@in_loop
async def test_a_client_that_leaves_the_queue_frees_its_slot_at_once() -> None:
    async with running(max_workers=1, buffer_size=1) as it:
        leaver, waiting = Client(), Client()
        it.offer(Client(), leaver)
        it.wait_for_group(waiting)
        leaver.leave()
        assert leaver.status == 499
        assert list(it.pool.queue) == [waiting.exchange]
        assert leaver.exchange.holder is None
        leaver.leave()  # twice is once
        await settle()
        assert leaver.exchange.times_finished == 1
        assert it.pool.exchanges <= 1


@in_loop
async def test_a_client_that_leaves_between_the_hand_over_and_the_worker_is_skipped() -> None:
    async with running() as it:
        leaver = Client()
        it.offer(leaver)
        leaver.leave()
        await until(lambda: it.pool.idle == 1)
        assert (leaver.status, leaver.exchange.times_finished) == (499, 1)
        assert not it.upstream.transports


@in_loop
async def test_a_client_that_leaves_while_its_worker_dials_leaves_a_connection_for_the_next() -> None:
    async with running(ANSWER) as it:
        it.upstream.gate.clear()
        leaver, next_one = Client(b"/leaver"), Client(b"/next")
        it.offer(leaver)
        await until(lambda: it.upstream.dialling)
        leaver.leave()
        assert done(leaver), "the session need not wait for the dial"
        it.upstream.gate.set()
        await until(lambda: it.pool.idle == 1)
        it.offer(next_one)
        await until(lambda: done(next_one))
        assert it.targets == [b"/next"]
        assert (it.pool.connections_opened, leaver.exchange.times_finished, leaver.status) == (1, 1, 499)


STAGES: list[tuple[str, bytes]] = [
    ("the request was sent", b""),
    ("half a head was read", b"HTTP/1.1 200 OK\r\nContent-"),
    ("the head was read", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"),
    ("in the body", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345"),
    ("in a chunk", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nA\r\n12345"),
    ("before the end", b"HTTP/1.1 200 OK\r\n\r\n12345"),
]


@pytest.mark.parametrize("early", [b"", *(early for _, early in STAGES[1:])], ids=[name for name, _ in STAGES])
@pytest.mark.parametrize("reused", [False, True], ids=["new connection", "used connection"])
def test_a_client_that_leaves_a_worker_costs_the_connection_and_nothing_else(early: bytes, reused: bool) -> None:
    async def main() -> None:
        async with running(max_workers=1) as it:
            if reused:
                first = Client(b"/first")
                it.offer(first)
                await until(lambda: it.upstream.pending)
                it.upstream.answer()
                await until(lambda: it.pool.idle == 1)
            leaver, next_one = Client(b"/leaver"), Client(b"/next")
            it.offer(leaver, next_one)
            await until(lambda: it.upstream.pending)
            if early:
                it.upstream.pending[0].feed(early)
            await settle()
            leaver.leave()
            await until(lambda: len(it.upstream.requests) == 2 + reused)
            assert (leaver.status if not leaver.exchange.answered else 499) == 499
            assert leaver.exchange.failure is not None
            assert leaver.exchange.failure.status == 499
            assert leaver.exchange.times_finished == 1
            assert it.pool.connections_opened == 2, "one for the leaver (or the first), one for the next"
            it.upstream.pending.popleft()
            it.upstream.answer()
            await until(lambda: it.pool.idle == 1)
            assert next_one.status == 200
            assert (len(it.pool.workers), it.pool.grown, len(it.upstream.open)) == (1, 0, 1)

    run(main)


@in_loop
async def test_a_client_that_does_not_read_and_leaves_frees_its_worker() -> None:
    async with running(max_workers=1) as it:
        leaver, next_one = Client(b"/leaver"), Client(b"/next")
        leaver.stream.pause_writing()
        it.offer(leaver, next_one)
        await until(lambda: it.upstream.pending)
        it.upstream.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345")
        await until(lambda: leaver.transport.sent)
        await settle()
        assert not done(leaver)
        leaver.leave()
        await until(lambda: it.upstream.pending)
        assert it.targets == [b"/leaver", b"/next"]
        assert leaver.exchange.times_finished == 1


# Failures.


@in_loop
async def test_a_refused_connection_leaves_the_worker_to_the_next_exchange() -> None:
    async with running(ANSWER) as it:
        it.upstream.refusing = True
        refused, served = Client(), Client()
        it.offer(refused)
        await until(lambda: done(refused))
        it.upstream.refusing = False
        it.offer(served)
        await until(lambda: done(served))
        assert (refused.status, served.status) == (502, 200)


class BrokenError(Exception):
    """What no code is prepared for."""


class BrokenHead:
    """A request head that cannot be written."""

    def __getattr__(self, name: str) -> object:
        raise BrokenError(name)


@in_loop
async def test_a_worker_survives_an_internal_error() -> None:
    async with running(ANSWER, max_workers=1) as it:
        broken, served = Client(), Client()
        broken.exchange.sent = BrokenHead()  # type: ignore[assignment]
        logging.getLogger("wsproxy.backend").disabled = True
        try:
            it.offer(broken, served)
            await until(lambda: done(served))
        finally:
            logging.getLogger("wsproxy.backend").disabled = False
        assert broken.exchange.failure is INTERNAL
        assert served.status == 200
        assert len(it.pool.workers) == 1


# The end.


@in_loop
async def test_close_finishes_the_queue_and_takes_nothing_of_what_waits() -> None:
    async with running(max_workers=1, buffer_size=2) as it:
        clients = [Client(b"/%d" % i) for i in range(3)]
        waiting = Client()
        it.offer(*clients)
        it.wait_for_group(waiting)
        it.pool.close()
        for _ in clients:
            await until(lambda: it.upstream.pending)
            it.upstream.answer()
        await until(lambda: not it.pool.workers)
        assert [client.status for client in clients] == [200, 200, 200]
        assert list(it.waiting) == [waiting.exchange]


@in_loop
async def test_a_cancelled_pool_fails_what_it_has_and_takes_nothing_new() -> None:
    made = Pool(UpstreamDialer(), {"max_workers": 2, "min_workers": 2, "buffer_size": 5})
    task = asyncio.ensure_future(made.pool.run())
    await until(lambda: made.pool.idle == 2)
    clients = [Client() for _ in range(3)]
    made.offer(*clients)
    await until(lambda: len(made.upstream.pending) == 2)
    task.cancel()
    await asyncio.wait([task])
    assert [client.exchange.failure for client in clients] == [STOPPING] * 3
    assert made.offer(Client()) == [False]
    assert len(made.deadlines) == 0
    assert not made.upstream.open


@in_loop
async def test_a_cancelled_pool_with_idle_workers_takes_nothing_new() -> None:
    made = Pool(UpstreamDialer(), {"min_workers": 2})
    task = asyncio.ensure_future(made.pool.run())
    await until(lambda: made.pool.idle == 2)
    task.cancel()
    await asyncio.wait([task])
    assert made.offer(Client()) == [False]


@pytest.mark.parametrize("workers", [0, 1])
def test_a_pool_cancelled_before_a_worker_has_its_turn_ends_what_that_was_given(workers: int) -> None:
    """One that is woken, and one that is made, for an exchange; each is cancelled before it begins."""

    async def main() -> None:
        made = Pool(UpstreamDialer(), {"max_workers": 1, "min_workers": workers, "buffer_size": 5})
        task = asyncio.ensure_future(made.pool.run())
        await until(lambda: made.pool._tasks is not None and made.pool.idle == workers)
        clients = [Client() for _ in range(2)]
        task.cancel()  # it has its turn before the worker
        assert made.offer(*clients) == [True, True]
        await asyncio.wait([task])
        assert [client.exchange.failure for client in clients] == [STOPPING] * 2
        assert [client.exchange.times_finished for client in clients] == [1, 1]
        assert not made.upstream.transports
        assert not made.pool.workers

    run(main)


@in_loop
async def test_a_client_that_left_before_a_cancelled_worker_had_its_turn_stays_one_that_left() -> None:
    made = Pool(UpstreamDialer(), {"min_workers": 1})
    task = asyncio.ensure_future(made.pool.run())
    await until(lambda: made.pool.idle == 1)
    client = Client()
    task.cancel()
    made.offer(client)
    client.leave()
    await asyncio.wait([task])
    assert client.exchange.failure is CLIENT_LEFT


@pytest.mark.parametrize("answer", [b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe", b"nonsense\r\n\r\n"])
def test_an_exchange_that_was_begun_is_ended_once_by_a_cancelled_worker(answer: bytes) -> None:
    async def main() -> None:
        made = Pool(UpstreamDialer(always=ANSWER), {"max_workers": 1, "min_workers": 1})
        task = asyncio.ensure_future(made.pool.run())
        await until(lambda: made.pool.idle == 1)
        for _ in range(KEPT_AFTER + 1):
            before = Client()
            made.offer(before)
            await until(lambda: done(before) and made.pool.idle == 1)  # noqa: B023 - now
        made.upstream.always = None
        client = Client()
        made.offer(client)
        assert made.upstream.pending, "sent at once"
        task.cancel()
        made.upstream.answer(answer)  # the worker's task is woken to go on with it
        await asyncio.wait([task])
        assert client.exchange.failure is STOPPING
        assert client.exchange.times_finished == 1
        assert made.pool.totals.failed[STOPPING.side] == 1

    run(main)


# What a server without a Host of its own is called.


@pytest.mark.parametrize(
    ("address", "value", "is_own"),
    [
        (Address("10.0.0.1", 80), b"10.0.0.1:80", False),
        (Address(unix_path="/run/a.sock"), b"localhost", False),
        (Address("api.test", 443, tls=True, authority="api.test"), b"api.test", True),
    ],
)
def test_authority(address: Address, value: bytes, is_own: bool) -> None:
    async def main() -> None:
        pool = WorkerPool(ServerSettings("a", address), Deadlines(), deque())
        assert (pool.authority.value, pool.authority.is_own) == (value, is_own)

    run(main)


@in_loop
async def test_the_pool_dials_its_address() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    pool = WorkerPool(ServerSettings("a", Address("127.0.0.1", port)), Deadlines(), deque())
    connection = await pool.connect(ROUTE)
    assert pool.connections_opened == 1
    connection.close()
    server.close()
    await server.wait_closed()


def test_the_queue_is_one_of_exchanges_and_workers_are_known_by_identity() -> None:
    async def main() -> None:
        made = Pool(UpstreamDialer(), {"buffer_size": 7})
        assert isinstance(made.pool.queue, BoundedQueue)
        assert made.pool.queue.size == 7
        assert Worker(made.pool) != Worker(made.pool)

    run(main)


@in_loop
async def test_one_connection_at_a_time_shows_whether_the_server_keeps_them() -> None:
    async with running() as it:
        first, second, third = [await it.pool.connect(ROUTE) for _ in range(3)]
        assert it.pool.try_out(first)
        assert not it.pool.try_out(second)
        it.upstream.transports[0].end()
        assert first.stream.closed
        assert not it.pool.try_out(second)  # it is known now
        sweep(it.deadlines, 1000.0)
        assert it.pool.try_out(second)  # and was forgotten
        for tick in range(1, 6):
            sweep(it.deadlines, 1000.0 + tick * TICK_S)
        assert second.stream.closed
        assert not it.pool.try_out(third)
        third.close()


@in_loop
async def test_a_pool_that_ends_ends_its_trial() -> None:
    async with running() as it:
        connection = await it.pool.connect(ROUTE)
        assert it.pool.try_out(connection)
    assert connection.stream.closed
