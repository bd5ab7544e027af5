"""The attempt loop: where a failed exchange goes next, what that costs, and what the client hears in the end."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from tests.backend.test_group import InOrder, Running, running
from tests.fakes import ANSWER, ROUTE, Client, in_loop, settle, until
from wsproxy.errors import NO_BACKEND
from wsproxy.frontend.forward import forward
from wsproxy.frontend.route import Route


def route(it: Running, retries: int = 1) -> Route:
    return Route(replace(ROUTE, retries=retries), it.group, InOrder())


def names(it: Running) -> list[str]:
    """The servers that got a request, each as often as it did."""
    return [name for name, upstream in it.upstreams.items() for _ in upstream.requests]


@in_loop
async def test_an_answer_ends_it() -> None:
    async with running("a", "b") as it:
        it.upstreams["a"].always = ANSWER
        client = Client()
        await forward(client.exchange, route(it))
        assert (client.status, client.exchange.attempts, client.exchange.tried) == (200, 1, ())


@in_loop
async def test_refusing_servers_are_passed_over_at_no_cost_for_any_method() -> None:
    async with running("a", "b", "c") as it:
        it.upstreams["a"].refusing = it.upstreams["b"].refusing = True
        it.upstreams["c"].always = ANSWER
        client = Client(method=b"POST")
        await forward(client.exchange, route(it, retries=0))
        assert (client.status, client.exchange.attempts, client.exchange.tried) == (200, 3, ("a", "b"))


@in_loop
async def test_when_all_refuse_the_client_hears_of_the_last() -> None:
    async with running("a", "b") as it:
        it.upstreams["a"].refusing = it.upstreams["b"].refusing = True
        client = Client()
        await forward(client.exchange, route(it))
        assert (client.status, client.exchange.tried) == (502, ("a", "b"))


@in_loop
async def test_a_lost_request_that_is_safe_is_tried_so_often_as_retries_say() -> None:
    async with running("a", "b", "c") as it:
        for upstream in it.upstreams.values():
            upstream.always = b""
        client = Client()
        await forward(client.exchange, route(it, retries=1))
        assert (client.status, client.exchange.attempts, names(it)) == (502, 2, ["a", "b"])


@in_loop
async def test_a_lost_request_that_is_not_safe_is_not_tried_again() -> None:
    async with running("a", "b") as it:
        it.upstreams["a"].always = b""
        client = Client(method=b"POST")
        await forward(client.exchange, route(it))
        assert (client.status, names(it)) == (502, ["a"])


@in_loop
async def test_nothing_is_tried_again_once_the_client_has_seen_a_byte() -> None:
    async with running("a", "b") as it:
        client = Client()
        forwarded = asyncio.ensure_future(forward(client.exchange, route(it)))
        await until(lambda: it.upstreams["a"].pending)
        it.upstreams["a"].answer(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart")
        await settle()
        it.upstreams["a"].transports[0].end()
        await forwarded
        assert client.exchange.failure is not None
        assert names(it) == ["a"]


@in_loop
async def test_without_a_healthy_server_it_ends_at_once() -> None:
    async with running("a") as it:
        await it.group.set_up(it.group.backends["a"], False)
        client = Client()
        await forward(client.exchange, route(it))
        assert client.exchange.failure is NO_BACKEND
        assert client.exchange.attempts == 0


@in_loop
async def test_a_verdict_under_way_is_waited_for() -> None:
    async with running("a") as it:
        it.upstreams["a"].always = ANSWER
        lock = it.group.healthy._lock
        assert lock.try_read()
        verdict = asyncio.ensure_future(it.group.set_up(it.group.backends["a"], False))
        await settle()
        client = Client()
        forwarded = asyncio.ensure_future(forward(client.exchange, route(it)))
        await settle()
        assert not forwarded.done()
        lock.release_read()
        await asyncio.gather(verdict, forwarded)
        assert client.exchange.failure is NO_BACKEND


@in_loop
async def test_retries_stay_within_the_groups_budget() -> None:
    async with running("a", "b") as it:
        for upstream in it.upstreams.values():
            upstream.always = b""
        attempts = 0
        for _ in range(100):
            client = Client()
            await forward(client.exchange, route(it, retries=1))
            assert client.status == 502
            attempts += client.exchange.attempts
        assert 100 + 30 <= attempts <= 100 + 30 + 20  # the floor of a window, and a fifth of the traffic


@in_loop
async def test_what_costs_nothing_is_not_bound_by_the_budget() -> None:
    async with running("a", "b") as it:
        it.upstreams["a"].refusing = True
        it.upstreams["b"].always = ANSWER
        for _ in range(100):
            client = Client()
            await forward(client.exchange, route(it, retries=0))
            assert (client.status, client.exchange.attempts) == (200, 2)


@in_loop
async def test_a_client_that_leaves_ends_it() -> None:
    async with running("a", "b") as it:
        client = Client()
        forwarded = asyncio.ensure_future(forward(client.exchange, route(it)))
        await until(lambda: it.upstreams["a"].pending)
        client.leave()
        await forwarded
        assert (client.status, names(it)) == (499, ["a"])


@in_loop
async def test_a_client_that_leaves_while_a_verdict_is_waited_for_is_not_sent_anywhere() -> None:
    async with running("a") as it:
        lock = it.group.healthy._lock
        assert lock.try_read()
        verdict = asyncio.ensure_future(it.group.set_up(it.group.backends["a"], True))
        await settle()
        client = Client()
        forwarded = asyncio.ensure_future(forward(client.exchange, route(it)))
        await settle()
        client.leave()
        lock.release_read()
        await asyncio.gather(verdict, forwarded)
        assert (client.status, client.exchange.attempts) == (499, 0)
