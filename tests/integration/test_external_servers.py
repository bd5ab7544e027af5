"""Servers written as URLs: their path, their Host, and what of their own URLs a client may see."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.certificates import Authority
from tests.integration.harness import Message, RawServer, Wire, connect, fetch, get, in_loop, proxy
from tests.integration.sites import TlsServer
from tests.integration.websocket_wire import acceptance, handshake

REWRITE = "rewrite_redirects = yes\nrewrite_cookies = yes\n"
PREFIX = "path_prefix = /api\nstrip_prefix = yes\n"


def see_other(*lines: bytes) -> bytes:
    return b"HTTP/1.1 303 See Other\r\nContent-Length: 0\r\n" + b"\r\n".join(lines) + b"\r\n\r\n"


async def redirected(server: RawServer, lines: str, location: bytes, base: str = "", target: bytes = b"/") -> Message:
    """What a client gets whose server answers with this Location, PORT standing for the server's own."""

    async def script(wire: Wire) -> None:
        request = await wire.request()
        host = request.field(b"host") or b""
        place = location.replace(b"PORT", b"%d" % server.port).replace(b"HOST", host)
        await wire.send(see_other(b"Location: " + place))

    server._script = script
    route = f"[http]\nserver1 = http://127.0.0.1:{server.port}{base}\n{lines}"
    async with proxy(route) as running, await connect(running.port) as client:
        await client.send(get(target))
        return await client.response()


@pytest.mark.parametrize(
    ("lines", "base", "location", "seen"),
    [
        ("", "/v1", b"http://127.0.0.1:PORT/v1/x", b"http://127.0.0.1:PORT/v1/x"),
        (REWRITE, "/v1", b"http://127.0.0.1:PORT/v1/x?y", b"/x?y"),
        (REWRITE, "/v1", b"http://HOST/v1/x", b"/x"),
        (REWRITE, "", b"http://127.0.0.1:PORT", b"/"),
        (REWRITE + PREFIX, "/v1", b"http://127.0.0.1:PORT/v1/x", b"/api/x"),
        (REWRITE + PREFIX, "", b"/login", b"/api/login"),
        (REWRITE + PREFIX + "preserve_host = yes", "", b"http://HOST/x", b"http://site.example/api/x"),
        (REWRITE + PREFIX, "/v1", b"https://else.example/v1/x", b"https://else.example/v1/x"),
    ],
)
@in_loop
async def test_location(lines: str, base: str, location: bytes, seen: bytes) -> None:
    async with RawServer(b"") as server:
        target = b"/api/a" if PREFIX in lines else b"/a"
        response = await redirected(server, lines, location, base, target)
        assert response.field(b"location") == seen.replace(b"PORT", b"%d" % server.port)
        path = base.encode() + b"/a"
        assert server.requests == [b"GET %b HTTP/1.1" % path]


@in_loop
async def test_location_of_a_server_behind_tls(tmp_path: Path) -> None:
    authority = Authority(tmp_path)

    async def script(wire: Wire) -> None:
        host = (await wire.request()).field(b"host") or b""
        await wire.send(see_other(b"Location: https://%b/v1/x" % host))

    server = TlsServer(script, authority.server_context("localhost"))
    async with server.running():
        server1 = f"https://localhost:{server.port}/v1\ntls_ca = {authority.certificate}\nhealth_check_interval = 1h"
        async with proxy(f"[http]\nserver1 = {server1}\n{PREFIX}{REWRITE}") as running:
            assert (await fetch(running.port, b"/api/a")).field(b"location") == b"/api/x"


@in_loop
async def test_cookies_and_the_other_fields_that_hold_urls() -> None:
    answer = see_other(
        b"Set-Cookie: a=b; Path=/v1; Domain=127.0.0.1; HttpOnly",
        b"Set-Cookie: c=d; Path=/v1/x",
        b"Content-Location: /v1/y",
        b"Refresh: 0; url=/v1/z",
    )
    async with RawServer(answer) as server:
        route = f"[http]\nserver1 = http://127.0.0.1:{server.port}/v1\n{PREFIX}{REWRITE}add_header = Set-Cookie: mine=1"
        async with proxy(route) as running, await connect(running.port) as client:
            await client.send(get(b"/api/"))
            response = await client.response()
            cookies = [b"a=b; Path=/api; HttpOnly", b"c=d; Path=/api/x", b"mine=1"]
            assert response.values(b"set-cookie") == cookies
            assert response.field(b"content-location") == b"/api/y"
            assert response.field(b"refresh") == b"0; url=/api/z"


@in_loop
async def test_each_of_the_two_is_asked_for_by_itself() -> None:
    answer = see_other(b"Set-Cookie: a=b; Path=/v1", b"Location: /v1/x")
    async with RawServer(answer) as server:
        for line, cookie, location in (
            ("rewrite_redirects = yes", b"a=b; Path=/v1", b"/x"),
            ("rewrite_cookies = yes", b"a=b; Path=/", b"/v1/x"),
        ):
            route = f"[http]\nserver1 = http://127.0.0.1:{server.port}/v1\n{line}"
            async with proxy(route) as running, await connect(running.port) as client:
                await client.send(get())
                response = await client.response()
                assert (response.field(b"set-cookie"), response.field(b"location")) == (cookie, location)


@in_loop
async def test_handshake_gets_the_path_the_host_and_cookies_that_come_back() -> None:
    async def script(wire: Wire) -> None:
        request = await wire.request()
        await wire.send(acceptance(request.head, b"Set-Cookie: a=b; Path=/v1"))
        await wire.rest()

    async with RawServer(script) as server:
        route = f"[websocket]\nserver1 = http://127.0.0.1:{server.port}/v1\n{PREFIX}{REWRITE}"
        async with proxy(route) as running, await connect(running.port) as client:
            await client.send(handshake(target=b"/api/ws"))
            opened = await client.response()
            assert (opened.status, opened.field(b"set-cookie")) == (101, b"a=b; Path=/api")
        assert server.wires[0].received.startswith(b"GET /v1/ws HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n" % server.port)
