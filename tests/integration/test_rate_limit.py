"""Rate limits through the running product: what a client over its limit gets, and what everybody else keeps."""

from __future__ import annotations

from pathlib import Path

from tests.integration.harness import (
    Message,
    Proxy,
    RawServer,
    Wire,
    connect,
    eventually,
    fetch,
    get,
    http_route,
    in_loop,
    ok,
    proxied,
    proxy,
    reload,
)
from tests.integration.websocket_wire import accept, handshake
from tests.limiting.redis_server import redis_server
from wsproxy.observe.metrics import render

TWO = "rate_limit = 2/h"


def metric(running: Proxy, name: str, **labels: str) -> float:
    """A sample of a scrape."""
    text = render(running.application.figures.snapshot(), "")[0].decode()
    wanted = ",".join(f'{key}="{value}"' for key, value in sorted(labels.items()))
    (value,) = [line.split()[-1] for line in text.splitlines() if line.startswith(f"wsproxy_{name}{{{wanted}}}")]
    return float(value)


@in_loop
async def test_who_comes_too_often_is_told_when_to_come_again_and_keeps_the_connection() -> None:
    async with proxied(ok(), TWO) as (server, running), await connect(running.port) as client:
        await client.send(get() * 3)
        first, second, third = [await client.response() for _ in range(3)]
        assert (first.status, second.status, third.status) == (200, 200, 429)
        assert first.field(b"ratelimit-policy") == b'"ip 2/h";q=2;w=3600'
        assert first.field(b"ratelimit") == b'"ip 2/h";r=1;t=1800'
        assert third.field(b"retry-after") == b"1800"
        assert third.field(b"ratelimit") == b'"ip 2/h";r=0;t=1800'
        assert third.field(b"connection") is None
        await client.send(get())
        assert (await client.response()).status == 429
        assert len(server.requests) == 2
        assert metric(running, "rate_limit_refused_requests_total", route="http") == 2
        assert metric(running, "rate_limit_entries", route="http") == 1
        assert metric(running, "http_requests_total", route="http", backend="", code="429") == 2


@in_loop
async def test_a_small_body_is_passed_over_and_a_long_one_ends_the_connection() -> None:
    async with proxied(ok(), "rate_limit = 1/h") as (server, running), await connect(running.port) as client:
        post = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
        await client.send(get())
        assert (await client.response()).status == 200
        await client.send(post + get())
        assert [(await client.response()).status for _ in range(2)] == [429, 429]
        await client.send(post.replace(b"5", b"50"))
        last = await client.response()
        assert (last.status, last.field(b"connection")) == (429, b"close")
        assert await client.rest() == b""
        assert len(server.requests) == 1


@in_loop
async def test_a_chunked_body_ends_the_connection() -> None:
    async with proxied(ok(), "rate_limit = 1/h") as (_, running), await connect(running.port) as client:
        await client.send(get())
        await client.response()
        await client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
        assert (await client.response()).field(b"connection") == b"close"
        assert await client.rest() == b""


@in_loop
async def test_a_trusted_proxy_tells_clients_apart() -> None:
    async with (
        proxied(ok(), "rate_limit = 1/h", "trusted_proxies = 127.0.0.1") as (_, running),
        await connect(running.port) as client,
    ):
        found = []
        for address in (b"192.0.2.1", b"192.0.2.1", b"192.0.2.2"):
            await client.send(get(b"/", b"X-Forwarded-For: " + address))
            found.append((await client.response()).status)
        assert found == [200, 429, 200]


@in_loop
async def test_tokens_come_back() -> None:
    async with proxied(ok(), "rate_limit = 20/s\nrate_limit_burst = 1") as (_, running):
        assert (await fetch(running.port)).status == 200

        statuses: list[int] = []
        while 200 not in statuses:
            statuses.append((await fetch(running.port)).status)
        assert metric(running, "rate_limit_refused_requests_total", route="http") == len(statuses) - 1


@in_loop
async def test_handshakes_count_and_a_websocket_that_is_open_does_not() -> None:
    async def script(wire: Wire) -> None:
        await accept(wire)
        await wire.rest()

    async with (
        RawServer(script) as server,
        proxy(http_route(server.port, lines="rate_limit = 1/h", section="websocket")) as running,
        await connect(running.port) as first,
        await connect(running.port) as second,
    ):
        await first.send(handshake())
        assert Message(await first.until(b"\r\n\r\n")).status == 101
        await second.send(handshake())
        refused = await second.response()
        assert (refused.status, refused.field(b"retry-after")) == (429, b"3600")
        assert metric(running, "websocket_handshakes_total", route="websocket", result="rate_limit") == 1


@in_loop
async def test_a_reload_changes_rates_in_place() -> None:
    async with RawServer(ok()) as server, proxy(http_route(server.port, lines=TWO)) as running:
        assert [(await fetch(running.port)).status for _ in range(3)] == [200, 200, 429]
        await reload(running, http_route(server.port, lines="rate_limit = 3/h"))
        refused = await fetch(running.port)
        assert (refused.status, refused.field(b"ratelimit-policy")) == (429, b'"ip 3/h";q=3;w=3600')
        await reload(running, http_route(server.port))
        assert (await fetch(running.port)).field(b"ratelimit") is None
        await reload(running, http_route(server.port, lines="rate_limit = 1/h\nrate_limit_key = route"))
        assert [(await fetch(running.port)).status for _ in range(2)] == [200, 429]


@in_loop
async def test_the_access_line_says_who_refused_it(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    log = f"access = {path}\naccess_format = $status $route $termination $reason"
    async with RawServer(ok()) as server, proxy(http_route(server.port)) as running:
        await reload(running, http_route(server.port, lines="rate_limit = 1/h"), log)
        await fetch(running.port)
        await fetch(running.port)
        await eventually(lambda: path.read_text().count("\n") == 2)
    assert path.read_text().splitlines()[1] == "429 http PR too many requests"


@in_loop
async def test_two_proxies_hold_one_limit_through_redis() -> None:
    async with RawServer(ok()) as server, redis_server() as redis:
        lines = f"rate_limit = 5/h\nrate_limit_store = redis\nredis_url = {redis.url}"
        route = http_route(server.port, lines=lines)
        async with proxy(route) as one, proxy(route) as other:
            statuses = [(await fetch(each.port)).status for _ in range(4) for each in (one, other)]
            assert statuses == [200] * 5 + [429] * 3
            refused = await fetch(one.port)
            assert 710 <= int(refused.field(b"retry-after") or 0) <= 720
            await redis.stop()
            assert (await fetch(one.port)).status == 200
            assert metric(one, "rate_limit_unchecked_requests_total", route="http") == 1
            await redis.start()
            unchecked = [200]
            while 429 not in unchecked:
                unchecked.append((await fetch(one.port)).status)
            assert unchecked[-6:] == [200] * 5 + [429], "it counts again as soon as Redis is back"


@in_loop
async def test_a_request_whose_limit_is_being_asked_about_is_answered_though_the_proxy_stops() -> None:
    async def silent(wire: Wire) -> None:
        await wire.rest()

    async with RawServer(ok()) as server, RawServer(silent) as redis:
        lines = f"rate_limit = 5/h\nrate_limit_store = redis\nredis_url = redis://127.0.0.1:{redis.port}/0"
        async with proxy(http_route(server.port, lines=lines)) as running, await connect(running.port) as client:
            await client.send(get())
            await eventually(lambda: redis.opened == 1)
            running.application.listeners.frontends[0].stop()
            answer = await client.response()
            assert (answer.status, answer.field(b"connection")) == (200, b"close")
