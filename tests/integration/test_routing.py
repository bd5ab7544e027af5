"""Which server a request reaches, by host, field, path and method, and what it hears when there is none."""

from __future__ import annotations

import pytest

from tests.integration.harness import RawServer, connect, get, http_route, in_loop, ok, proxied, proxy

SITE = b"Host: site.example\r\n\r\n"


@in_loop
async def test_routes_of_one_path_that_differ_in_method_and_field() -> None:
    async with RawServer(ok(b"read")) as reads, RawServer(ok(b"write")) as writes, RawServer(ok(b"beta")) as beta:
        routes = (
            http_route(reads.port, section="http:read", lines="path_prefix = /api\nmethod = GET")
            + http_route(writes.port, section="http:write", lines="path_prefix = /api\nmethod = POST, PUT")
            + http_route(beta.port, section="http:beta", lines="path_prefix = /api\nheader = X-Beta")
        )
        async with proxy(routes) as running, await connect(running.port) as client:
            for request, body in (
                (get(b"/api"), b"read"),
                (b"POST /api/x HTTP/1.1\r\nContent-Length: 0\r\n" + SITE, b"write"),
                (b"POST /api/x HTTP/1.1\r\nContent-Length: 0\r\nX-Beta: 1\r\n" + SITE, b"beta"),
                (get(b"/api"), b"read"),
            ):
                await client.send(request)
                assert (await client.response()).body == body


@in_loop
async def test_method_that_no_route_has_is_405_and_costs_no_connection() -> None:
    lines = "path_prefix = /api\nmethod = GET, PUT"
    async with proxied(ok(), lines) as (_, running), await connect(running.port) as client:
        for target, status, allowed in ((b"/api/x", 405, b"GET, HEAD, PUT"), (b"/x", 404, None)):
            await client.send(b"DELETE %b HTTP/1.1\r\n" % target + SITE)
            response = await client.response()
            assert (response.status, response.field(b"allow")) == (status, allowed)
        await client.send(get(b"/api"))
        assert (await client.response()).status == 200


@pytest.mark.parametrize("host", [b"a.example", b"www.b.example:8080", b"B.EXAMPLE"])
@in_loop
async def test_one_route_for_several_hosts(host: bytes) -> None:
    async with RawServer(ok(b"named")) as server, RawServer(ok(b"other")) as other:
        named = http_route(server.port, section="http:named", lines="host = a.example, b.example *.b.example")
        async with proxy(http_route(other.port) + named) as running, await connect(running.port) as client:
            await client.send(b"GET / HTTP/1.1\r\nHost: %b\r\n\r\n" % host)
            assert (await client.response()).body == b"named"
            await client.send(get())
            assert (await client.response()).body == b"other"
