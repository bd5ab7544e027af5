"""A breaker between a client and a server that fails, and what a client hears of one that cannot be reached."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from tests.integration.harness import (
    RawServer,
    Wire,
    eventually,
    fetch,
    http_route,
    in_loop,
    ok,
    proxied,
    proxy,
)

BUSY = b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy"


class Moody:
    """Answers as it is told."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer

    async def __call__(self, wire: Wire) -> None:
        while True:
            await wire.request()
            await wire.send(self.answer)


@in_loop
async def test_open_half_open_closed() -> None:
    moody = Moody(BUSY)
    lines = "breaker = yes\nbreaker_failures = 3\nbreaker_open = 300ms\nretries = 0\n"
    async with proxied(moody, lines) as (server, it):
        (backend,) = it.application.groups["http"].group.backends.values()
        assert [(await fetch(it.port)).body for _ in range(3)] == [b"busy"] * 3
        seen = len(server.requests)
        refused = await fetch(it.port)
        assert refused.status == 503
        assert b"no healthy backend" in refused.body
        assert refused.field(b"retry-after") == b"1"
        assert len(server.requests) == seen
        await eventually(lambda: backend.guard.is_half_open)
        assert (await fetch(it.port)).body == b"busy"
        assert backend.guard.is_open
        moody.answer = ok()
        await eventually(lambda: backend.guard.is_half_open)
        assert [(await fetch(it.port)).status for _ in range(5)] == [200] * 5


@contextmanager
def silent_port() -> Iterator[int]:
    """A port whose backlog is full: a connection is neither accepted nor refused."""
    with socket.socket() as listening, socket.socket() as first, socket.socket() as second:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for filling in (first, second):
            filling.setblocking(False)
            filling.connect_ex(listening.getsockname())
        yield listening.getsockname()[1]


@in_loop
async def test_nobody_waits_for_a_server_that_cannot_be_reached() -> None:
    lines = "queue_timeout = 3s\nconnect_timeout = 600ms\nmax_workers = 1\noutlier = no\n"
    with silent_port() as port:
        async with proxy(http_route(port, lines=lines)) as it:
            pool = it.pool()
            while not pool.reach.is_lost:
                assert (await fetch(it.port)).status in (503, 504)
            before = pool.totals.queue_timeouts
            answer = await fetch(it.port)
            assert (answer.status, answer.field(b"retry-after")) == (503, b"1")
            assert b"cannot be reached" in answer.body
            assert pool.totals.queue_timeouts == before, "it has waited"


@in_loop
async def test_another_server_is_asked_meanwhile() -> None:
    lines = "queue_timeout = 1s\nconnect_timeout = 400ms\noutlier = no\nalgorithm = round-robin\n"
    with silent_port() as port:
        async with RawServer(ok()) as well, proxy(http_route(port, well.port, lines=lines)) as it:
            pool = it.pool()
            while not pool.reach.is_lost:
                assert (await fetch(it.port)).status == 200
            await eventually(lambda: pool.in_flight == 0)
            before = sum(pool.totals.failed.values())
            assert {(await fetch(it.port)).status for _ in range(8)} == {200}
            assert sum(pool.totals.failed.values()) - before < 3, "every other one waited for a connection"
