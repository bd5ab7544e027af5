"""HTTP messages through the product: what arrives on the other side, both ways, byte for byte where it matters."""

from __future__ import annotations

import re

import anyio
import httpx
import pytest

from tests.integration.harness import (
    Message,
    RawServer,
    Wire,
    answer_once,
    connect,
    fetch,
    get,
    http_route,
    in_loop,
    ok,
    proxied,
    proxy,
    raw_request,
)


async def exchange(data: bytes, server_answer: bytes, frontend: str = "") -> tuple[Message, Message]:
    """The request as the server got it, and the response as the client got it."""
    seen: list[Message] = []

    async def script(wire: Wire) -> None:
        seen.append(await wire.request())
        await wire.send(server_answer)

    async with proxied(script, frontend=frontend) as (_, running), await connect(running.port) as client:
        await client.send(data)
        response = await client.response(data.split(b" ")[0])
    return seen[0], response


@in_loop
async def test_a_connection_is_kept_for_many_requests() -> None:
    async with proxied(ok(b"hello")) as (server, running):
        async with await connect(running.port) as client:
            for number in range(20):
                await client.send(get(b"/%d" % number))
                response = await client.response()
                assert (response.status, response.body) == (200, b"hello")
                assert response.field(b"connection") is None
        assert server.opened == 1
        assert server.requests == [b"GET /%d HTTP/1.1" % number for number in range(20)]


@in_loop
async def test_a_connection_ends_when_the_client_asks_for_it() -> None:
    async with proxied(ok(b"bye")) as (_, running):
        reply = await raw_request(running.port, get(b"/", b"Connection: close"))
    assert reply.endswith(b"\r\n\r\nbye")
    assert b"\r\nConnection: close\r\n" in reply


@in_loop
async def test_a_connection_ends_after_keepalive_requests() -> None:
    async with proxied(ok(), frontend="keepalive_requests = 2") as (_, running), await connect(running.port) as client:
        await client.send(get(), get())
        first, second = await client.response(), await client.response()
        assert first.field(b"connection") is None
        assert second.field(b"connection") == b"close"
        assert await client.rest() == b""


@in_loop
async def test_pipelined_requests_are_answered_in_their_order() -> None:
    async def script(wire: Wire) -> None:
        while True:
            request = await wire.request()
            await wire.send(ok(request.target))

    async with proxied(script, "max_workers = 8") as (_, running), await connect(running.port) as client:
        await client.send(b"".join(get(b"/%d" % number) for number in range(50)))
        assert [(await client.response()).body for _ in range(50)] == [b"/%d" % n for n in range(50)]


@in_loop
async def test_a_pipelined_request_behind_a_body_is_not_taken_for_a_part_of_it() -> None:
    async def script(wire: Wire) -> None:
        while True:
            request = await wire.request()
            await wire.send(ok(request.target + b" " + request.body))

    sized = b"POST /sized HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
    chunked = b"POST /chunked HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nde\r\n1\r\nf\r\n0\r\n\r\n"
    async with proxied(script) as (_, running), await connect(running.port) as client:
        await client.send(sized + chunked + get(b"/last"))
        bodies = [(await client.response()).body for _ in range(3)]
    assert bodies == [b"/sized abc", b"/chunked def", b"/last "]


@in_loop
async def test_a_chunked_request_arrives_chunked_and_whole() -> None:
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (b"one ", b"two ", b"x" * 5000))
    head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    request, response = await exchange(head + chunks + b"0\r\nX-Trailer: t\r\n\r\n", ok())
    assert request.body == b"one two " + b"x" * 5000
    assert request.field(b"transfer-encoding") == b"chunked"
    assert response.status == 200


@in_loop
async def test_a_chunked_response_arrives_chunked_and_whole() -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    _, response = await exchange(get(), head + b"4;ext=1\r\none \r\n3\r\ntwo\r\n0\r\nX-Sum: 1\r\n\r\n")
    assert response.body == b"one two"
    assert response.field(b"transfer-encoding") == b"chunked"


@in_loop
async def test_pieces_of_a_response_are_passed_on_as_they_come() -> None:
    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        await first_arrived.wait()
        await wire.send(b"6\r\nsecond\r\n0\r\n\r\n")

    first_arrived = anyio.Event()
    async with proxied(script) as (_, running), await connect(running.port) as client:
        await client.send(get())
        assert (await client.until(b"first\r\n")).endswith(b"\r\n\r\n5\r\nfirst\r\n")
        first_arrived.set()
        assert await client.until(b"0\r\n\r\n") == b"6\r\nsecond\r\n0\r\n\r\n"


@in_loop
async def test_pieces_of_a_request_are_passed_on_as_they_come() -> None:
    async def script(wire: Wire) -> None:
        await wire.until(b"\r\n\r\nfirst")
        first_arrived.set()
        await wire.until(b"second")
        await wire.send(ok())

    first_arrived = anyio.Event()
    async with proxied(script) as (_, running), await connect(running.port) as client:
        await client.send(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\nfirst")
        await first_arrived.wait()
        await client.send(b"second")
        assert (await client.response()).status == 200


@in_loop
async def test_a_response_to_head_has_a_length_and_no_body() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
    async with proxied(head) as (server, running), await connect(running.port) as client:
        for _ in range(2):  # the second shows that nothing was awaited or left over behind the first
            await client.send(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
            response = await client.response(b"HEAD")
            assert response.field(b"content-length") == b"1000"
        assert server.opened == 1


@pytest.mark.parametrize("status_line", [b"204 No Content", b"304 Not Modified"])
@in_loop
async def test_statuses_without_a_body_end_with_their_head(status_line: bytes) -> None:
    fields = b"Content-Length: 1000\r\n" if status_line.startswith(b"304") else b""
    head = b"HTTP/1.1 %b\r\n%bETag: x\r\n\r\n" % (status_line, fields)
    async with proxied(head) as (server, running), await connect(running.port) as client:
        for _ in range(2):
            await client.send(get())
            response = await client.response()
            assert response.start == b"HTTP/1.1 " + status_line
            assert response.field(b"etag") == b"x"
            assert response.field(b"transfer-encoding") is None
        assert server.opened == 1


@in_loop
async def test_a_response_that_ends_with_its_connection_becomes_chunked() -> None:
    server = answer_once(b"HTTP/1.1 200 OK\r\n\r\nall ", b"of it")
    async with proxied(server) as (_, running), await connect(running.port) as client:
        for _ in range(2):
            await client.send(get())
            response = await client.response()
            assert response.field(b"transfer-encoding") == b"chunked"
            assert response.body == b"all of it"


@in_loop
async def test_a_client_of_http_1_0_gets_the_end_of_the_connection_for_chunks() -> None:
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    async with proxied(chunked) as (server, running):
        reply = await raw_request(running.port, b"GET / HTTP/1.0\r\n\r\n")
    assert reply.endswith(b"\r\n\r\nhello")
    assert b"chunked" not in reply
    assert server.requests == [b"GET / HTTP/1.1"]


@in_loop
async def test_a_client_of_http_1_0_may_keep_its_connection() -> None:
    async with proxied(ok()) as (_, running), await connect(running.port) as client:
        for _ in range(2):
            await client.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            assert (await client.response()).field(b"connection") == b"keep-alive"
        await client.send(b"GET / HTTP/1.0\r\n\r\n")
        assert (await client.response()).field(b"connection") == b"close"
        assert await client.rest() == b""


@in_loop
async def test_hop_by_hop_fields_end_here_on_both_ways() -> None:
    nominated = (b"Connection: keep-alive, X-Hop", b"Connection: X-Other", b"X-Hop: 1", b"X-Other: 2")
    known = (b"Keep-Alive: max=5", b"Proxy-Connection: keep-alive", b"TE: trailers", b"Upgrade: h2c")
    back = (b"Connection: X-Back", b"X-Back: 1", b"Keep-Alive: timeout=5", b"Proxy-Authenticate: Basic")
    asked = get(b"/", *nominated, *known, b"Proxy-Authorization: Basic eA==", b"X-End: to end")
    request, response = await exchange(asked, ok(b"", *back, b"X-End: to end"))
    assert {name for name, _ in request.fields} == {
        b"host", b"x-end", b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"x-request-id",
    }  # fmt: skip
    assert {name for name, _ in response.fields} == {b"content-length", b"x-end", b"date"}


@in_loop
async def test_what_a_client_claims_to_be_is_overwritten() -> None:
    claims = (b"X-Forwarded-For: 6.6.6.6", b"X-Forwarded-Proto: https", b"X-Forwarded-Host: evil", b"Forwarded: for=6")
    request, _ = await exchange(get(b"/", *claims, b"X-Request-ID: mine"), ok())
    assert request.field(b"x-forwarded-for") == b"127.0.0.1"
    assert request.field(b"x-forwarded-proto") == b"http"
    assert request.field(b"x-forwarded-host") == b"site.example"
    assert request.field(b"forwarded") is None
    assert re.fullmatch(rb"[0-9a-f]{20,}", request.field(b"x-request-id") or b"")


@in_loop
async def test_a_trusted_proxy_is_believed_and_added_to() -> None:
    claims = (b"X-Forwarded-For: 6.6.6.6", b"X-Forwarded-Proto: https", b"X-Request-ID: mine")
    request, _ = await exchange(get(b"/", *claims), ok(), "trusted_proxies = 127.0.0.0/8")
    assert request.field(b"x-forwarded-for") == b"6.6.6.6, 127.0.0.1"
    assert request.field(b"x-forwarded-proto") == b"https"
    assert request.field(b"x-request-id") == b"mine"


@in_loop
async def test_every_request_of_a_connection_has_an_id_of_its_own() -> None:
    ids: list[bytes | None] = []

    async def script(wire: Wire) -> None:
        while True:
            ids.append((await wire.request()).field(b"x-request-id"))
            await wire.send(ok())

    async with proxied(script) as (_, running), await connect(running.port) as client:
        for _ in range(3):
            await client.send(get())
            await client.response()
    assert None not in ids
    assert len(set(ids)) == 3


@in_loop
async def test_an_absolute_target_is_forwarded_in_origin_form() -> None:
    request, _ = await exchange(b"GET http://other.example/a?b=1 HTTP/1.1\r\nHost: site.example\r\n\r\n", ok())
    assert request.target == b"/a?b=1"
    assert request.field(b"host") == b"other.example"


@in_loop
async def test_an_ambiguous_message_is_refused_and_nothing_of_it_forwarded() -> None:
    head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with proxied(ok()) as (server, running):
        reply = await raw_request(running.port, head + b"0\r\n\r\n" + get(b"/x"))
        assert reply.startswith(b"HTTP/1.1 400 ")
        assert reply.count(b"HTTP/1.1 ") == 1
        assert server.opened == 0


@in_loop
async def test_no_route_is_404_and_the_longest_prefix_wins() -> None:
    async with RawServer(ok(b"root")) as root, RawServer(ok(b"deep")) as deep:
        routes = http_route(root.port, lines="path_prefix = /a", section="http:root")
        routes += http_route(deep.port, lines="path_prefix = /a/deep", section="http:deep")
        async with proxy(routes) as running:
            assert (await fetch(running.port, b"/a/x")).body == b"root"
            assert (await fetch(running.port, b"/a/deep/x")).body == b"deep"
            assert (await fetch(running.port, b"/a/%2e%2e/a/deep")).body == b"deep"
            assert (await fetch(running.port, b"/b")).status == 404


@in_loop
async def test_an_early_refusal_arrives_while_the_body_is_still_coming() -> None:
    async def script(wire: Wire) -> None:
        await wire.until(b"\r\n\r\n")
        await wire.send(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nno!")
        await wire.rest()

    async with proxied(script) as (_, running):
        async with await connect(running.port) as client:
            await client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 5000)
            response = await client.response()
            assert (response.status, response.body) == (413, b"no!")
            assert response.field(b"connection") == b"close"
            assert await client.rest() == b""
        assert (await fetch(running.port)).status == 413  # the worker is free for the next


@in_loop
async def test_an_answer_may_begin_and_end_before_the_body_has_come_whole() -> None:
    async def script(wire: Wire) -> None:
        await wire.until(b"first")
        await wire.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\necho\r\n")
        await wire.until(b"second")
        await wire.send(b"0\r\n\r\n")

    async with proxied(script) as (_, running), await connect(running.port) as client:
        await client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\nfirst")
        await client.until(b"echo\r\n")
        await client.send(b"second")
        assert await client.until(b"0\r\n\r\n") == b"0\r\n\r\n"


@in_loop
async def test_a_body_over_the_limit_is_413() -> None:
    async with proxied(ok(), frontend="max_body_size = 1k") as (_, running):
        head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        reply = await raw_request(running.port, head + b"800\r\n" + b"x" * 0x800 + b"\r\n800\r\n")
        assert reply.startswith(b"HTTP/1.1 413 ")
        assert b"HTTP/1.1 200" not in reply


@in_loop
async def test_a_real_client_is_served() -> None:
    async def script(wire: Wire) -> None:
        while True:
            request = await wire.request()
            await wire.send(ok(request.body[::-1], b"Content-Type: text/plain"))

    async with proxied(script) as (_, running), httpx.AsyncClient() as client:
        for size in (0, 10, 300_000):
            body = bytes(range(251)) * (size // 251) + b"end"
            response = await client.post(f"http://127.0.0.1:{running.port}/", content=body)
            assert response.status_code == 200
            assert response.content == body[::-1]
