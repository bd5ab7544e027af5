"""What a reload changes of how connections come in: listeners with TLS, and whose PROXY headers are believed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import anyio
import pytest

from tests.certificates import Authority
from tests.integration.harness import (
    RawServer,
    Wire,
    connect,
    eventually,
    fetch,
    get,
    http_route,
    in_loop,
    ok,
    raw_request,
)
from tests.integration.sites import connect_tls, frontend
from wsproxy.app import Application
from wsproxy.config.build import load

ANNOUNCED = b"PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\n"


@cache
def authority() -> Authority:
    return Authority(Path(mkdtemp(prefix="wsproxy-tests-")))


@asynccontextmanager
async def reloading(*texts: str) -> AsyncIterator[tuple[Application, int]]:
    """The product on the first text, and its first port; a reload takes the next."""
    waiting = [load(f"[log]\naccess = off\n{text}", "test.ini", {}, "/") for text in texts]
    application = Application(waiting.pop(0), lambda: waiting.pop(0))
    async with anyio.create_task_group() as tasks:
        addresses = await tasks.start(application.run)
        try:
            yield application, int(addresses[0].rpartition(":")[2])
        finally:
            tasks.cancel_scope.cancel()


async def answer(wire: Wire) -> None:
    while True:
        await wire.send(ok((await wire.request()).field(b"x-forwarded-for") or b""))


@in_loop
async def test_a_reload_adds_the_listener_that_redirects_lead_to_and_gives_it_other_certificates() -> None:
    chains = [authority().issue("site.example"), authority().issue("site.example", "other.example")]
    async with RawServer(answer) as server:
        route = http_route(server.port)
        plain, redirecting = frontend(lines=""), frontend(lines="redirect_https = yes")
        texts = [plain, *(frontend(pair, name="secure") + redirecting for pair in chains)]
        async with reloading(*(text + route for text in texts)) as (application, port):
            assert (await fetch(port)).status == 200
            for _ in chains:
                await application.reload()
                secure = application.listeners.frontend_by_name["frontend:secure"].sockets[0].getsockname()[1]
                redirect = application.listeners.frontend_by_name["frontend"].sockets[0].getsockname()[1]
                location = (await fetch(redirect)).field(b"location")
                assert location == b"https://site.example:%d/" % secure
                async with await connect_tls(secure, authority().client_context()) as client:
                    await client.send(get())
                    assert (await client.response()).body == b"127.0.0.1"


@pytest.mark.parametrize("is_tcp", [False, True])
@in_loop
async def test_a_reload_changes_whose_proxy_headers_are_believed(is_tcp: bool) -> None:
    async with RawServer(answer) as server:

        def text(trusted: str) -> str:
            lines = f"proxy_protocol = accept\ntrusted_proxies = {trusted}\n"
            servers = f"server1 = 127.0.0.1:{server.port}\nhealth_check_interval = 1h\n"
            if is_tcp:
                return f"[tcp:test]\nhost = 127.0.0.1\nport = 0\n{lines}{servers}"
            return frontend(lines=lines) + f"[http]\n{servers}"

        async with reloading(*map(text, ("192.0.2.7", "127.0.0.1", "192.0.2.7"))) as (application, port):
            assert await raw_request(port, ANNOUNCED + get()) == b""
            await application.reload()
            async with await connect(port) as client:
                await client.send(ANNOUNCED + get())
                assert (await client.response()).body == (b"" if is_tcp else b"192.0.2.1")
            await application.reload()
            assert await raw_request(port, ANNOUNCED + get()) == b""


@in_loop
async def test_who_has_come_to_a_listener_that_another_replaces_is_answered_by_it() -> None:
    async with RawServer(ok()) as server:

        def text(lines: str) -> str:
            return frontend(authority().issue("site.example"), lines=lines) + http_route(server.port)

        async with reloading(text(""), text("max_connections_per_ip = 9")) as (application, port):
            before = application.listeners.frontends[0]
            async with await connect_tls(port, authority().client_context()) as silent:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)  # its handshake is to come
                await eventually(lambda: before.connections == 2)
                await application.reload()
                assert application.listeners.frontends[0] is not before
                await writer.start_tls(authority().client_context(), server_hostname="site.example")
                for wire in (silent, Wire(reader, writer)):
                    await wire.send(get())
                    reply = await wire.response()
                    assert (reply.status, reply.field(b"connection")) == (200, b"close")
                    assert await wire.rest() == b""
                writer.close()
            await eventually(before.ended.is_set)
