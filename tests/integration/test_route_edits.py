"""What a route changes on the way: prefixes, fields of requests and answers, over the wire on both sides."""

from __future__ import annotations

import pytest

from tests.integration.harness import RawServer, Wire, connect, fetch, get, http_route, in_loop, ok, proxied, proxy
from tests.integration.websocket_wire import (
    TEXT,
    acceptance,
    echo,
    frame,
    handshake,
    receive_frame,
)

PREFIX = "path_prefix = /api\nstrip_prefix = yes"


@pytest.mark.parametrize(
    ("target", "forwarded"),
    [
        (b"/api", b"/"),
        (b"/api/", b"/"),
        (b"/api?a=b?c", b"/?a=b?c"),
        (b"/api/v1/x", b"/v1/x"),
        (b"/api/api", b"/api"),
        (b"/%61pi/%2f", b"/%2F"),
        (b"/x/../api/y", b"/y"),
        (b"/api/x/../../api/y", b"/y"),
        (b"/api/%2e%2e/api/y?%2e", b"/y?%2e"),
    ],
)
@in_loop
async def test_prefix_is_taken_off(target: bytes, forwarded: bytes) -> None:
    async with proxied(ok(), PREFIX) as (server, running), await connect(running.port) as client:
        await client.send(get(target, b"X-Forwarded-Prefix: /else"))
        assert (await client.response()).status == 200
        assert server.requests == [b"GET %b HTTP/1.1" % forwarded]
        assert b"\r\nX-Forwarded-Prefix: /api\r\n" in server.wires[0].received
        assert b"/else" not in server.wires[0].received


@in_loop
async def test_prefix_and_the_path_of_a_url() -> None:
    async with RawServer(ok()) as server:
        route = f"[http]\nserver1 = http://127.0.0.1:{server.port}/base/\n{PREFIX}\n"
        async with proxy(route) as running:
            for target in (b"/api", b"/api/x?y"):
                await fetch(running.port, target)
        assert server.requests == [b"GET /base/ HTTP/1.1", b"GET /base/x?y HTTP/1.1"]


REQUEST_EDITS = """set_request_header = X-Real-IP: {client_ip}
  X-Seen: {scheme} {method} {host} {hostport} {path} {query} {uri} [{header:X-Mine}]
  x-request-id: mine
  X-Empty: {header:X-Missing}
remove_request_header = User-Agent, X-Forwarded-For
  X-Mine"""


@in_loop
async def test_fields_of_requests_are_set_and_removed() -> None:
    async with proxied(ok(), REQUEST_EDITS) as (server, running), await connect(running.port) as client:
        lines = (b"user-agent: a", b"x-real-ip: 6.6.6.6", b"X-Empty: full", b"X-Mine: 1", b"x-mine: 2", b"X-Kept: k")
        await client.send(b"GET /a/b?c=d HTTP/1.1\r\nHost: site.example:81\r\n" + b"\r\n".join(lines) + b"\r\n\r\n")
        await client.response()
        sent = server.wires[0].received.lower()
        for line in (
            b"x-real-ip: 127.0.0.1",
            b"x-seen: http get site.example site.example:81 /a/b c=d /a/b?c=d [1, 2]",
            b"x-request-id: mine",
            b"x-forwarded-proto: http",
            b"x-kept: k",
            b"host: site.example:81",
        ):
            assert sent.count(b"\r\n%b\r\n" % line) == 1, line
        for name in (b"user-agent:", b"x-forwarded-for:", b"6.6.6.6", b"x-empty", b"x-mine:"):
            assert name not in sent, name


@pytest.mark.parametrize("kind", ["127.0.0.1:{port}", "http://127.0.0.1:{port}"])
@pytest.mark.parametrize(("host", "sent"), [("inner.example:7", b"inner.example:7"), ("{host}", b"site.example")])
@in_loop
async def test_host_is_what_the_route_says(kind: str, host: str, sent: bytes) -> None:
    async with RawServer(ok()) as server:
        server1 = kind.format(port=server.port)
        async with proxy(f"[http]\nserver1 = {server1}\nset_request_header = host: {host}\n") as running:
            await fetch(running.port)
        assert server.wires[0].received.count(b"\r\nHost: %b\r\n" % sent) == 1
        assert server.wires[0].received.lower().count(b"\r\nhost: ") == 1


@in_loop
async def test_client_behind_a_trusted_proxy_is_the_one_that_is_told_of() -> None:
    lines = "set_request_header = X-Who: {client_ip} {scheme} {request_id}"
    async with proxied(ok(), lines, "trusted_proxies = 127.0.0.1") as (server, running):
        async with await connect(running.port) as client:
            claims = (b"X-Forwarded-For: 9.9.9.9", b"X-Forwarded-Proto: https", b"X-Request-ID: abc")
            await client.send(get(b"/", *claims))
            await client.response()
        assert b"\r\nX-Who: 9.9.9.9 https abc\r\n" in server.wires[0].received


ANSWER_EDITS = """remove_header = server, X-Powered-By
add_header = X-Served-By: {backend}
  Server: mine
  X-You: {client_ip} {header:X-Odd}
  Link: </a>; rel=preload
  Link: </b>; rel=preload"""


@in_loop
async def test_fields_of_answers_are_removed_and_added() -> None:
    answer = ok(b"fine", b"Server: theirs", b"x-powered-by: PHP", b"Link: </c>", b"X-Kept: k")
    async with proxied(answer, ANSWER_EDITS) as (server, running), await connect(running.port) as client:
        for _ in range(2):  # heads of servers are remembered
            await client.send(get(b"/", b"X-Odd: a\tb"))
            response = await client.response()
            assert response.field(b"server") == b"mine"
            assert response.field(b"x-powered-by") is None
            assert response.field(b"x-served-by") == b"127.0.0.1:%d" % server.port
            assert response.field(b"x-you") == b"127.0.0.1 a\tb"
            assert response.values(b"link") == [b"</c>", b"</a>; rel=preload", b"</b>; rel=preload"]
            assert (response.field(b"x-kept"), response.body) == (b"k", b"fine")


@in_loop
async def test_date_that_is_removed_is_written_anew() -> None:
    async with proxied(ok(b"", b"Date: long ago"), "remove_header = Date") as (_, running):
        (date,) = (await fetch(running.port)).values(b"date")
        assert date.endswith(b" GMT")


@in_loop
async def test_edits_survive_another_attempt() -> None:
    async def silent(wire: Wire) -> None:
        """End the connection without a word."""

    async with RawServer(silent) as first, RawServer(ok()) as second:
        route = http_route(first.port, second.port, lines=PREFIX + "\nalgorithm = round-robin\n" + REQUEST_EDITS)
        async with proxy(route) as running:
            for _ in range(2):
                assert (await fetch(running.port, b"/api/x")).status == 200
        assert second.requests == [b"GET /x HTTP/1.1"] * 2
        assert all(b"\r\nX-Real-IP: 127.0.0.1\r\n" in wire.received for wire in second.wires)


# WebSockets.


@in_loop
async def test_handshakes_are_edited_both_ways() -> None:
    async with RawServer(echo) as server:
        lines = f"{PREFIX}\nset_request_header = X-Who: {{client_ip}}\nadd_header = X-By: {{backend}}\n"
        lines += "remove_request_header = Sec-WebSocket-Extensions"
        route = http_route(server.port, lines=lines, section="websocket")
        async with proxy(route) as running, await connect(running.port) as client:
            await client.send(handshake(b"Sec-WebSocket-Extensions: permessage-deflate", target=b"/api/ws"))
            opened = await client.response()
            assert opened.status == 101
            assert opened.field(b"x-by") == b"127.0.0.1:%d" % server.port
            await client.send(frame(TEXT, b"hello", masked=True))
            assert await receive_frame(client) == (TEXT, b"hello")
        received = server.wires[0].received
        assert received.startswith(b"GET /ws HTTP/1.1\r\n")
        assert b"\r\nX-Who: 127.0.0.1\r\n" in received
        assert b"Extensions" not in received


@in_loop
async def test_handshake_that_is_told_again_is_edited_too() -> None:
    served = 0

    async def once_then_echo(wire: Wire) -> None:
        nonlocal served
        served += 1
        if served > 1:
            await echo(wire)
            return
        await wire.send(acceptance((await wire.request()).head))

    async with RawServer(once_then_echo) as server:
        lines = f"{PREFIX}\nset_request_header = X-Who: {{client_ip}}\non_backend_loss = reconnect"
        route = http_route(server.port, lines=lines, section="websocket")
        async with proxy(route) as running, await connect(running.port) as client:
            await client.send(handshake(target=b"/api/ws"))
            assert (await client.response()).status == 101
            await client.send(frame(TEXT, b"hello", masked=True))
            assert await receive_frame(client) == (TEXT, b"hello")
        assert server.requests == [b"GET /ws HTTP/1.1"] * 2
        assert all(b"\r\nX-Who: 127.0.0.1\r\n" in wire.received for wire in server.wires)
        assert b"\r\nX-WSProxy-Resume: 1\r\n" in server.wires[1].received
