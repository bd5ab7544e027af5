"""Sessions that a server has named, known to another instance through a real Redis; and what a fault of it costs."""

from __future__ import annotations

import anyio
import pytest

from tests.integration.harness import RawServer, Wire, connect, eventually, get, http_route, in_loop, logged, ok, proxy
from tests.limiting.redis_server import RedisServer, hasten, redis_server
from wsproxy.observe.snapshot import RedisFigures
from wsproxy.sharing import sessions as module
from wsproxy.sharing.sessions import SharedSessions


class Named:
    """A server that names a session in its first answer, and says its own name in the others."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def __call__(self, wire: Wire) -> None:
        while True:
            request = await wire.request()
            if b"sid=" in request.target:
                await wire.send(ok(self.name.encode()))
            else:
                await wire.send(ok(b'0{"sid":"of-%b"}' % self.name.encode(), b"Content-Type: text/plain"))


async def ask(port: int, target: bytes) -> bytes:
    async with await connect(port) as client:
        await client.send(get(target))
        return (await client.response()).body


def lines(url: str) -> str:
    return f"sticky = query:sid\nsticky_redis = {url}\nalgorithm = round-robin\n"


def told(redis: RedisServer) -> str:
    return lines(redis.url)


@in_loop
async def test_a_client_may_come_to_another_instance() -> None:
    async with redis_server() as redis, RawServer(Named("a")) as a, RawServer(Named("b")) as b:
        route = http_route(a.port, b.port, lines=told(redis))
        async with proxy(route) as first, proxy(route) as second:
            named = {await ask(first.port, b"/socket.io/") for _ in range(2)}
            assert named == {b'0{"sid":"of-a"}', b'0{"sid":"of-b"}'}
            (store,) = second.application.routes.remembering.stores
            with anyio.fail_after(10):
                for name in (b"of-a", b"of-b"):  # it is written down beside the answers
                    while not await store.backend_of("http", name):  # noqa: ASYNC110 - in Redis
                        await anyio.sleep(0.005)
            for name in (b"a", b"b"):
                answers = [await ask(second.port, b"/socket.io/?sid=of-" + name) for _ in range(5)]
                assert answers == [name] * 5


@in_loop
async def test_a_redis_that_is_gone_costs_no_request_and_is_found_again(monkeypatch: pytest.MonkeyPatch) -> None:
    hasten(monkeypatch)
    async with redis_server() as redis, RawServer(Named("a")) as server:
        with logged() as log:
            async with proxy(http_route(server.port, lines=told(redis))) as running:
                assert await ask(running.port, b"/?sid=unknown") == b"a"
                await redis.stop()
                for _ in range(5):
                    assert await ask(running.port, b"/?sid=other") == b"a"
                (store,) = running.application.routes.remembering.stores
                assert store.faults == 1  # it is not asked again and again
                figures = running.application.figures.snapshot
                assert figures().redis == (RedisFigures("sticky_redis", redis.url, True, 1),)
                await redis.start()
                await eventually(lambda: any("answers again" in line for line in log.of("INFO")))
                assert await ask(running.port, b"/") == b'0{"sid":"of-a"}'
                assert figures().redis == (RedisFigures("sticky_redis", redis.url, False, 1),)
        assert len([line for line in log.of("WARNING") if "sticky_redis" in line]) == 1


@in_loop
async def test_what_waits_to_be_written_is_bounded() -> None:
    store = SharedSessions("redis://127.0.0.1:1/0")
    for number in range(2 * module.MOST_WAITING):
        store.note("http", b"%d" % number, "a")
    assert len(store._waiting) == module.MOST_WAITING
