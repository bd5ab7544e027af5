"""A backend that cannot be reached: who waits for it is told at once, and nobody else waits, until it can be."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from tests.backend.test_group import InOrder, Running, run
from tests.backend.test_pool import done
from tests.fakes import ANSWER, ROUTE, Client, in_loop, make_server, sweep, until
from tests.integration.harness import logged
from wsproxy.backend import reach
from wsproxy.errors import UNREACHABLE
from wsproxy.frontend.forward import forward
from wsproxy.frontend.route import Route

HASTY = replace(ROUTE, queue_timeout_s=0.0)
"""Its requests wait for next to nothing, so that a second of dials in vain is enough."""


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wsproxy.protection.reach.LEAST_S", 0.0)
    monkeypatch.setattr(reach, "SCOUT_EVERY_S", 0.01)


def lost(it: Running, name: str) -> bool:
    return it.pool(name).reach.is_lost


async def lose(it: Running, *names: str) -> None:
    """Let a request to each of them find that nobody answers its dials."""
    for name in names:
        it.upstreams[name].refusing = True
        client = Client(route=HASTY)
        client.exchange.begin()
        it.group.backends[name].offer(client.exchange)
        await until(lambda: done(client))  # noqa: B023 - awaited before the next round
        assert client.status == 502


@in_loop
async def test_who_waits_for_a_connection_is_told_once_none_is_to_be_had() -> None:
    async with run(Running(make_server("a", max_workers=1, buffer_size=5))) as it:
        it.upstreams["a"].gate.clear()  # dials hang
        clients = [Client() for _ in range(3)]
        it.submit(*clients)
        await until(lambda: it.upstreams["a"].dialling)
        it.pool("a").queue[0].route = HASTY
        sweep(it.deadlines, 0.0)
        assert [client.exchange.failure for client in clients] == [None, UNREACHABLE, UNREACHABLE]
        assert lost(it, "a")
        it.upstreams["a"].always = ANSWER
        it.upstreams["a"].gate.set()
        await until(lambda: done(clients[0]))
        assert clients[0].status == 200
        assert not lost(it, "a"), "the dial under way has found it"


@in_loop
async def test_nobody_waits_until_it_is_found_again_by_itself() -> None:
    with logged() as log:
        async with run(Running(make_server("a"))) as it:
            await lose(it, "a")
            dialled = it.upstreams["a"].dialling
            client = Client()
            it.submit(client)
            assert client.exchange.failure is UNREACHABLE
            assert (client.status, client.exchange.failure.retry_after_s) == (503, 1)
            assert it.upstreams["a"].dialling == dialled
            it.upstreams["a"].refusing = False
            it.upstreams["a"].always = ANSWER
            await until(lambda: not lost(it, "a"))
            client = Client()
            it.submit(client)
            await until(lambda: done(client))
            assert client.status == 200
    assert log.of("WARNING") == ["a cannot be reached for 0 s: requests are refused until it can"]
    assert "a can be reached again" in log.of("INFO")


@in_loop
async def test_others_are_asked_instead() -> None:
    async with run(Running(make_server("a"), make_server("b"))) as it:
        await lose(it, "a")
        it.upstreams["b"].always = ANSWER
        client = Client(method=b"POST")
        await forward(client.exchange, Route(ROUTE, it.group, InOrder()))
        assert (client.status, client.exchange.backend_name, client.exchange.attempts) == (200, "b", 1)


@in_loop
async def test_with_all_of_them_lost_the_answer_is_503() -> None:
    async with run(Running(make_server("a"), make_server("b"))) as it:
        await lose(it, "a", "b")
        client = Client()
        await forward(client.exchange, Route(ROUTE, it.group, InOrder()))
        assert client.exchange.failure is UNREACHABLE
        assert client.exchange.attempts == 0


@in_loop
async def test_who_waits_for_the_group_does_not_wait_for_the_lost() -> None:
    async with run(Running(make_server("a", max_workers=1, buffer_size=0))) as it:
        it.upstreams["a"].gate.clear()
        carried, waiting = Client(route=HASTY), Client()
        it.submit(carried, waiting)
        await until(lambda: it.upstreams["a"].dialling)
        assert list(it.group.waiting) == [waiting.exchange]
        it.upstreams["a"].refusing = True
        it.upstreams["a"].gate.set()
        await until(lambda: lost(it, "a"))
        sweep(it.deadlines, 0.0)
        await until(lambda: done(waiting))
        assert waiting.exchange.failure is UNREACHABLE


@in_loop
async def test_a_backend_that_is_removed_looks_for_nothing() -> None:
    async with run(Running(make_server("a"), make_server("b"))) as it:
        await lose(it, "a")
        backend = await it.group.remove("a")
        assert backend is not None
        await asyncio.wait_for(backend.gone.wait(), 5)
