"""backend/worker.py: the usual exchange, carried while the worker's task sleeps, and where it is left to the task."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator

import pytest

from tests.fakes import ANSWER, Client, UpstreamDialer, run, settle, sweep, until
from wsproxy.backend.authority import Authority
from wsproxy.backend.connection import UpstreamConnection
from wsproxy.backend.guard import Guard
from wsproxy.backend.totals import PoolTotals
from wsproxy.backend.worker import KEPT_AFTER, Worker
from wsproxy.config.model import RouteSettings
from wsproxy.config.watch_settings import WatchSettings
from wsproxy.errors import CLIENT_LEFT, INTERNAL, STOPPING
from wsproxy.exchange import Exchange
from wsproxy.http.messages import ResponseHead
from wsproxy.net.deadlines import Deadlines
from wsproxy.protection.persistence import PersistenceState

HEAD = b"HTTP/1.1 200 OK\r\nDate: Tue, 15 Nov 1994 08:12:31 GMT\r\nContent-Length: 2\r\n\r\n"


class Pool:
    """A pool of one worker, which rests when nothing waits."""

    def __init__(self, tasks: asyncio.TaskGroup) -> None:
        self.name = "server1"
        self.exchanges = 0
        self.authority = Authority(b"10.0.0.1:80", False)
        self.deadlines = Deadlines()
        self.persistence = PersistenceState()
        self.totals = PoolTotals()
        self.guard = Guard(WatchSettings())
        self.upstream = UpstreamDialer()
        self.tasks = tasks
        self.waiting: list[Exchange] = []
        self.idle = False
        self.worker = Worker(self)

    async def connect(self, route: RouteSettings) -> UpstreamConnection:
        stream = await self.upstream.dial(route.connect_timeout_s)
        return UpstreamConnection(stream, self.deadlines, self.persistence)

    def try_out(self, connection: UpstreamConnection) -> bool:
        return False

    def next_exchange(self, worker: Worker) -> Exchange | None:
        return self.waiting.pop(0) if self.waiting else None

    def put_down(self, worker: Worker) -> None:
        self.idle = True

    def left(self, worker: Worker) -> None:
        self.idle = False

    def offer(self, client: Client) -> None:
        """As a pool does: to the worker if it is idle, else it waits."""
        client.exchange.begin()
        if self.idle:
            self.idle = False
            self.worker.take(client.exchange)
        else:
            self.waiting.append(client.exchange)


@contextlib.asynccontextmanager
async def resting(answers: int = KEPT_AFTER + 1) -> AsyncIterator[Pool]:
    """A worker that rests on a connection over which so many answers have come."""
    async with asyncio.TaskGroup() as tasks:
        pool = Pool(tasks)
        worker = pool.worker
        task = tasks.create_task(worker.run())
        await until(lambda: pool.idle)
        for _ in range(answers):
            client = Client()
            pool.offer(client)
            await until(lambda: pool.upstream.pending)
            pool.upstream.answer()
            await until(lambda: pool.idle)
        yield pool
        if pool.idle:
            worker.wake(None)
        else:
            task.cancel()


@contextlib.asynccontextmanager
async def asked() -> AsyncIterator[tuple[Pool, Client]]:
    """The same, which has just been given a request; and who sent it."""
    async with resting() as pool:
        client = Client()
        pool.offer(client)
        yield pool, client


async def serves_another(pool: Pool) -> None:
    """The next request is answered, whatever became of the one before."""
    client = Client()
    pool.offer(client)
    await until(lambda: pool.upstream.pending)
    pool.upstream.answer(HEAD + b"ok")
    await until(lambda: pool.idle)
    assert client.transport.sent == HEAD + b"ok"


def test_it_is_sent_and_answered_without_a_turn_of_the_loop() -> None:
    async def main() -> None:
        async with asked() as (pool, client):
            assert len(pool.upstream.pending) == 1, "sent at once"
            pool.upstream.answer(HEAD + b"ok")
            assert client.transport.sent == HEAD + b"ok"
            assert client.exchange.failure is None
            assert client.exchange.attempts == 1
            assert pool.idle
            await settle()
            assert client.exchange.times_finished == 1
            assert len(pool.upstream.transports) == 1

    run(main)


def test_what_waits_follows_at_once_on_a_connection_that_lasts() -> None:
    async def main() -> None:
        async with resting() as pool:
            first, second = Client(), Client()
            pool.offer(first)
            pool.offer(second)
            assert len(pool.upstream.pending) == 1
            pool.upstream.answer(HEAD + b"ok")
            assert len(pool.upstream.pending) == 1, "the second was sent"
            pool.upstream.answer(HEAD + b"ok")
            assert second.transport.sent == HEAD + b"ok"

    run(main)


def test_a_young_connection_is_given_time_to_end_before_the_next_is_sent() -> None:
    async def main() -> None:
        async with resting(answers=1) as pool:
            first, second = Client(), Client()
            pool.offer(first)
            pool.offer(second)
            ended = pool.upstream.transports[0]
            pool.upstream.answer(HEAD + b"ok")
            ended.end()  # comes with the answer, from a server that keeps no connection
            await until(lambda: pool.upstream.pending)
            pool.upstream.answer(HEAD + b"ok")
            await settle()
            assert second.transport.sent == HEAD + b"ok"
            assert pool.totals.stale == 0, "nothing was sent into a connection that had ended"
            assert len(pool.upstream.transports) == 2

    run(main)


@pytest.mark.parametrize("cut", [1, len(HEAD) - 1, len(HEAD), len(HEAD) + 1])
def test_an_answer_in_pieces_is_left_to_the_task(cut: int) -> None:
    async def main() -> None:
        async with asked() as (pool, client):
            transport = pool.upstream.pending.popleft()
            transport.feed((HEAD + b"ok")[:cut])
            assert not client.transport.sent, "its rest is waited for"
            await settle()
            transport.feed((HEAD + b"ok")[cut:])
            await until(lambda: pool.idle)
            assert client.transport.sent == HEAD + b"ok"
            assert client.exchange.attempts == 1
            again = Client()
            pool.offer(again)
            pool.upstream.answer(HEAD + b"ok")
            assert again.transport.sent == HEAD + b"ok", "the next is a usual one again"

    run(main)


def test_an_answer_is_edited_without_the_task() -> None:
    async def main() -> None:
        async with asked() as (pool, client):
            client.exchange.edits = (_into_tea,)
            pool.upstream.answer(HEAD + b"ok")
            assert client.transport.sent.startswith(b"HTTP/1.1 418 Tea\r\n")
            assert pool.idle

    run(main)


def test_an_edited_answer_that_comes_in_two_pieces_is_edited_once() -> None:
    edited: list[int] = []

    def edit(response: ResponseHead, exchange: Exchange) -> ResponseHead:
        edited.append(response.status)
        return _into_tea(response, exchange)

    async def main() -> None:
        async with asked() as (pool, client):
            client.exchange.edits = (edit,)
            upstream = pool.upstream.pending[0]
            pool.upstream.answer(HEAD + b"o")
            await settle()
            upstream.feed(b"k")
            await until(lambda: pool.idle)
            assert client.transport.sent.startswith(b"HTTP/1.1 418 Tea\r\n")
            assert client.transport.sent.endswith(b"\r\n\r\nok")
            assert edited == [200]

    run(main)


def test_a_refusal_is_edited_by_the_task() -> None:
    async def main() -> None:
        async with asked() as (pool, client):
            client.exchange.edits = (_into_tea,)
            pool.upstream.answer(HEAD.replace(b"200 OK", b"503 No") + b"ok")
            await until(lambda: pool.idle)
            assert client.transport.sent.startswith(b"HTTP/1.1 418 Tea\r\n")

    run(main)


def test_an_edit_may_ask_for_a_filter() -> None:
    class Upper:
        def begin(self, response: ResponseHead) -> ResponseHead:
            return response

        def feed(self, data: bytes) -> bytes:
            return data.upper()

        def end(self) -> bytes:
            return b""

        def abort(self) -> None:
            raise AssertionError

    def edit(response: ResponseHead, exchange: Exchange) -> ResponseHead:
        exchange.filter = Upper()
        return response

    async def main() -> None:
        async with asked() as (pool, client):
            client.exchange.edits = (edit,)
            pool.upstream.answer(HEAD + b"ok")
            await until(lambda: pool.idle)
            assert client.transport.sent == HEAD + b"OK"

    run(main)


def _into_tea(response: ResponseHead, _: Exchange) -> ResponseHead:
    return ResponseHead(418, b"Tea", 1, response.fields, response.length, response.keep_alive)


@pytest.mark.parametrize("is_reset", [False, True])
def test_a_connection_that_ends_before_the_answer_is_replaced(is_reset: bool) -> None:
    async def main() -> None:
        async with asked() as (pool, client):
            transport = pool.upstream.pending.popleft()
            if is_reset:
                transport.lose()
            else:
                transport.end()
            await until(lambda: pool.upstream.pending)
            pool.upstream.answer(HEAD + b"ok")
            await until(lambda: pool.idle)
            assert client.transport.sent == HEAD + b"ok"
            assert pool.totals.stale == 1
            assert client.exchange.failure is None

    run(main)


def test_interim_answers_and_then_an_end_fail_once() -> None:
    async def main() -> None:
        async with resting() as pool:
            client = Client()
            client.exchange.head.minor_version = 0  # which is told of no interim answer, and may be tried again
            pool.offer(client)
            transport = pool.upstream.pending.popleft()
            transport.feed(b"HTTP/1.1 102 Processing\r\n\r\n")
            await settle()
            transport.end()
            await until(lambda: pool.upstream.pending)
            pool.upstream.answer(HEAD + b"ok")
            await until(lambda: pool.idle)
            assert b"\r\n\r\nok" in client.transport.sent

    run(main)


def test_silence_is_a_504() -> None:
    async def main() -> None:
        async with asked() as (pool, client):
            sweep(pool.deadlines, client.exchange.route.response_timeout_s + 1)
            await until(lambda: pool.idle)
            assert client.status == 504

    run(main)


def test_nonsense_is_a_502() -> None:
    async def main() -> None:
        async with asked() as (pool, client):
            pool.upstream.answer(b"SSH-2.0-OpenSSH_9.2\r\n")
            await until(lambda: pool.idle)
            assert client.status == 502

    run(main)


def test_a_client_that_leaves_takes_the_connection_with_it_and_not_the_worker() -> None:
    async def main() -> None:
        async with asked() as (pool, client):
            pool.upstream.pending.clear()
            client.leave()
            await until(lambda: pool.idle)
            assert client.exchange.failure is CLIENT_LEFT
            assert not pool.upstream.open
            await serves_another(pool)

    run(main)


@pytest.mark.parametrize("begun", [HEAD + b"o", b"HTTP/1.1 103 Hints\r\n\r\n", HEAD.replace(b"200 OK", b"503 No")])
def test_an_answer_that_began_for_a_client_who_leaves_at_once_is_not_given_to_the_next(begun: bytes) -> None:
    async def main() -> None:
        async with asked() as (pool, client):
            pool.upstream.pending.popleft().feed(begun)  # which wakes the task
            client.leave()
            await until(lambda: pool.idle)
            assert client.exchange.failure is CLIENT_LEFT
            again = Client()
            pool.offer(again)
            await until(lambda: pool.upstream.pending)
            answer = HEAD.replace(b"200 OK", b"404 Not Found") + b"no"
            pool.upstream.answer(answer)
            await until(lambda: pool.idle)
            assert again.transport.sent == answer

    run(main)


def test_a_client_that_cannot_be_written_to_has_left() -> None:
    async def main() -> None:
        async with asked() as (pool, client):
            client.stream.abort()
            pool.upstream.answer(HEAD + b"ok")
            assert client.exchange.failure is CLIENT_LEFT
            assert pool.idle

    run(main)


def test_a_bug_costs_one_exchange(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Authority):
        def head_of(self, exchange: Exchange) -> bytes:
            raise RuntimeError("a bug")

    async def main() -> None:
        async with resting() as pool:
            kept = pool.authority
            pool.authority = Broken(b"", False)
            client = Client()
            pool.offer(client)
            assert client.exchange.failure is INTERNAL
            pool.authority = kept
            await until(lambda: pool.idle)
            await serves_another(pool)

    with caplog.at_level(logging.ERROR):
        run(main)
    assert "internal error" in caplog.text


def test_a_bug_in_an_edit_costs_one_exchange_and_its_connection(caplog: pytest.LogCaptureFixture) -> None:
    def edit(response: ResponseHead, exchange: Exchange) -> ResponseHead:
        raise RuntimeError("a bug")

    async def main() -> None:
        async with asked() as (pool, client):
            client.exchange.edits = (edit,)
            pool.upstream.answer(HEAD + b"ok")
            assert client.exchange.failure is INTERNAL
            assert not client.transport.sent
            assert not pool.upstream.open, "its body has not been read"
            await serves_another(pool)

    with caplog.at_level(logging.ERROR):
        run(main)
    assert "internal error" in caplog.text


def test_a_cancelled_worker_fails_what_is_under_way() -> None:
    async def main() -> None:
        async with asked() as (pool, client):
            pool.upstream.pending.clear()
        assert client.exchange.failure is STOPPING
        assert client.exchange.holder is None
        assert not pool.upstream.open

    run(main)


def test_a_cancelled_worker_takes_nothing_more() -> None:
    async def main() -> None:
        async with resting(answers=1) as pool:
            client, waiting = Client(), Client()
            pool.offer(client)
            pool.offer(waiting)
            pool.upstream.answer(ANSWER)  # the next would be taken one turn of the loop later
            assert not pool.idle
        assert client.exchange.failure is None
        assert pool.waiting == [waiting.exchange], "left to the pool"

    run(main)
