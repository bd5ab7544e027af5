"""What the proxy says by itself, and adds to what others say: errors in the client's form, Date, Via."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.integration.harness import (
    RawServer,
    connect,
    fetch,
    get,
    http_route,
    in_loop,
    ok,
    proxied,
    proxy,
    raw_request,
    refused_port,
)

DATE = re.compile(rb"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), [0-3][0-9] [A-Z][a-z]{2} [0-9]{4} [0-2][0-9](:[0-5][0-9]){2} GMT")
ELSEWHERE = http_route(1, lines="path_prefix = /api")


# Errors.


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        (b"text/html,*/*;q=0.8", b"text/html; charset=utf-8"),
        (b"text/plain", b"text/plain; charset=utf-8"),
        (b"application/json", b"application/json"),
        (b"*/*", b"application/json"),
    ],
)
@in_loop
async def test_a_refused_request_is_answered_in_the_form_it_asks_for(accept: bytes, media_type: bytes) -> None:
    async with proxy(ELSEWHERE) as running, await connect(running.port) as client:
        await client.send(get(b"/", b"Accept: " + accept))
        response = await client.response()
        assert response.status == 404
        assert response.field(b"content-type") == media_type
        assert re.search(rb"[0-9a-f]{20}", response.body), "the request id"


@in_loop
async def test_a_404_costs_no_connection_unless_its_request_has_a_body() -> None:
    async with proxied(ok(), "path_prefix = /api") as (_, running):
        async with await connect(running.port) as client:
            for target, status in ((b"/x", 404), (b"/api", 200), (b"/y", 404), (b"/api", 200)):
                await client.send(get(target))
                assert (await client.response()).status == status
            await client.send(b"HEAD /x HTTP/1.1\r\nHost: a\r\n\r\n" + get(b"/api"))
            assert (await client.response(b"HEAD")).status == 404
            assert (await client.response()).status == 200, "the HEAD got no body"
        request = b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n"
        assert (await raw_request(running.port, request)).startswith(b"HTTP/1.1 404 ")


@in_loop
async def test_the_404s_of_a_connection_are_limited_like_its_requests() -> None:
    async with proxy(ELSEWHERE, "keepalive_requests = 2") as running, await connect(running.port) as client:
        await client.send(get() * 3)
        assert [(await client.response()).field(b"connection") for _ in range(2)] == [None, b"close"]
        assert await client.rest() == b""


@in_loop
async def test_a_trusted_peers_request_id_is_the_one_of_errors_too() -> None:
    frontend = "trusted_proxies = 127.0.0.1"
    route = http_route(await refused_port(), lines="path_prefix = /api")
    async with proxy(route, frontend) as running, await connect(running.port) as client:
        for target, status in ((b"/", 404), (b"/api", 502)):
            await client.send(get(target, b"X-Request-ID: my-own-id"))
            response = await client.response()
            assert response.status == status
            assert json.loads(response.body)["request_id"] == "my-own-id"


@in_loop
async def test_an_error_says_nothing_about_the_inside() -> None:
    port = await refused_port()
    async with RawServer(b"HTP/9 nonsense\r\n\r\n") as server:
        lines = "server1_name = secret-name"
        for behind in (port, server.port):
            async with proxy(http_route(behind, lines=lines)) as running:
                response = await fetch(running.port)
                assert response.status == 502
                shown = response.head + response.body
                for secret in (b"secret-name", str(behind).encode(), b"nonsense", b"wsproxy", b"Error", b"Server"):
                    assert secret not in shown


@in_loop
async def test_error_pages(tmp_path: Path) -> None:
    (tmp_path / "missing.html").write_bytes(b"<h1>no such page</h1>")
    (tmp_path / "down.txt").write_bytes(b"back soon")
    pages = f"error_page = 404 = {tmp_path}/missing.html\n  502 503 = {tmp_path}/down.txt"
    async with proxy(http_route(await refused_port(), lines="path_prefix = /api"), pages) as running:
        missing, down = await fetch(running.port), await fetch(running.port, b"/api")
        assert (missing.status, missing.body) == (404, b"<h1>no such page</h1>")
        assert missing.field(b"content-type") == b"text/html; charset=utf-8"
        assert (down.status, down.body) == (502, b"back soon")


# Date.


@in_loop
async def test_an_answer_without_a_date_gets_one() -> None:
    async with proxied(ok()) as (_, running):
        date = (await fetch(running.port)).field(b"date")
        assert date is not None
        assert DATE.fullmatch(date)


@pytest.mark.parametrize("name", [b"Date", b"date", b"DATE"])
@pytest.mark.parametrize("before", [(), (b"X-A: b",)])
@in_loop
async def test_an_answer_keeps_its_own_date(name: bytes, before: tuple[bytes, ...]) -> None:
    async with proxied(ok(b"x", *before, name + b": Tue, 15 Nov 1994 08:12:31 GMT")) as (_, running):
        for _ in range(2):
            assert (await fetch(running.port)).field(b"date") == b"Tue, 15 Nov 1994 08:12:31 GMT"


@in_loop
async def test_what_only_looks_like_a_date_is_none() -> None:
    fields = (b"X-Date: Tue, 15 Nov 1994 08:12:31 GMT", b"X-A: Date: x")
    async with proxied(ok(b"x", *fields)) as (_, running):
        assert (await fetch(running.port)).field(b"date") is not None


@in_loop
async def test_long_and_chunked_answers_and_errors_have_one_too() -> None:
    answers = (ok(bytes(100_000)), b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n")
    for raw in answers:
        async with proxied(raw) as (_, running):
            assert (await fetch(running.port)).field(b"date") is not None
    async with proxy(ELSEWHERE) as running, await connect(running.port) as client:
        await client.send(get() + b"OPTIONS * HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n")
        assert (await client.response()).field(b"date") is not None
        assert (await client.response()).field(b"date") is not None
        assert b"\r\nDate: " in await raw_request(running.port, b"nonsense\r\n\r\n")


# Via.


@in_loop
async def test_via_is_added_on_both_ways_behind_what_was_there() -> None:
    async with proxied(ok(b"", b"Via: 1.0 origin-side"), frontend="via = edge") as (server, running):
        async with await connect(running.port) as client:
            for _ in range(2):
                await client.send(get(b"/", b"Via: 1.1 other"))
                assert (await client.response()).values(b"via") == [b"1.0 origin-side", b"1.1 edge"]
        received = bytes(server.wires[0].received)
        assert received.count(b"Via: 1.1 other\r\n") == received.count(b"Via: 1.1 edge\r\n") == 2
        assert received.index(b"Via: 1.1 other") < received.index(b"Via: 1.1 edge")


@in_loop
async def test_without_a_name_nothing_is_added() -> None:
    async with proxied(ok()) as (server, running):
        assert (await fetch(running.port)).field(b"via") is None
        assert b"Via" not in bytes(server.wires[0].received)


@in_loop
async def test_a_request_that_came_through_here_is_a_loop() -> None:
    async with proxied(ok(), frontend="via = edge") as (server, running), await connect(running.port) as client:
        await client.send(get(b"/", b"Via: 1.1 other, 1.1 Edge"))
        assert (await client.response()).status == 508
        assert server.opened == 0
