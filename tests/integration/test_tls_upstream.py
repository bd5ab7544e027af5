"""TLS to the servers: who is believed, what they are told, and that probes and WebSockets go the same way."""

from __future__ import annotations

import os
import ssl
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import pytest
from websockets.asyncio.client import connect as websocket_connect
from websockets.asyncio.server import ServerConnection, serve

from tests.certificates import Authority
from tests.integration.harness import RawServer, Wire, answer, eventually, fetch, in_loop, logged, ok, proxy
from tests.integration.sites import TlsServer


@cache
def authority() -> Authority:
    return Authority(Path(mkdtemp(prefix="wsproxy-tests-")))


def server_context(*names: str) -> ssl.SSLContext:
    return authority().server_context(*names)


def https_route(port: int, lines: str = "", host: str = "localhost", checks: str = "1h") -> str:
    """A route to a TLS server, which is believed when our authority has signed its certificate."""
    believed = "" if "tls_" in lines else f"tls_ca = {authority().certificate}\n"
    return f"[http]\nserver1 = https://{host}:{port}\nhealth_check_interval = {checks}\n{believed}{lines}\n"


async def tell_host(wire: Wire) -> None:
    """A server that answers with the Host it was asked for."""
    while True:
        await wire.send(ok((await wire.request()).field(b"host") or b""))


@in_loop
async def test_a_server_gets_its_own_host_and_is_asked_for_by_name() -> None:
    server = TlsServer(tell_host, server_context("localhost"))
    async with server.running(), proxy(https_route(server.port)) as running:
        response = await fetch(running.port)
        assert (response.status, response.body) == (200, b"localhost:%d" % server.port)
        assert set(server.names) == {"localhost"}


@in_loop
async def test_a_server_may_get_the_clients_host() -> None:
    server = TlsServer(tell_host, server_context("localhost"))
    async with server.running(), proxy(https_route(server.port, "preserve_host = yes")) as running:
        assert (await fetch(running.port)).body == b"site.example"


@in_loop
async def test_an_address_is_checked_against_the_addresses_of_a_certificate() -> None:
    server = TlsServer(tell_host, server_context("127.0.0.1"))
    async with server.running(), proxy(https_route(server.port, host="127.0.0.1")) as running:
        assert (await fetch(running.port)).status == 200
        assert set(server.names) == {None}, "a name is no address (RFC 6066 section 3)"


@pytest.mark.parametrize(
    ("names", "lines", "reason"),
    [
        (["other.example"], "", "mismatch"),
        (["localhost"], "tls_ca = {other}", "unable to get local issuer certificate"),
        (["localhost"], "tls_verify = yes", "unable to get local issuer certificate"),
    ],
)
@in_loop
async def test_a_server_that_cannot_prove_who_it_is_gets_nothing(names: list[str], lines: str, reason: str) -> None:
    server = TlsServer(tell_host, server_context(*names))
    other = Authority(Path(mkdtemp(prefix="wsproxy-tests-"))).certificate
    lines = lines.format(other=other) + "\nhealth_check_fall = 1"
    lines += "" if "tls_" in lines else f"\ntls_ca = {authority().certificate}"
    with logged() as log:
        async with server.running(), proxy(https_route(server.port, lines, checks="50ms")) as running:
            assert (await fetch(running.port)).status in (502, 503)
            await eventually(lambda: any("certificate not accepted" in line for line in log.of("WARNING")))
    assert reason in "".join(log.of("WARNING"))


@in_loop
async def test_a_server_may_go_unchecked() -> None:
    server = TlsServer(tell_host, server_context("other.example"))
    async with server.running(), proxy(https_route(server.port, "tls_verify = no")) as running:
        assert (await fetch(running.port)).status == 200


@in_loop
async def test_a_certificate_of_its_own_may_be_what_is_believed() -> None:
    chain, key = authority().issue("localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    server = TlsServer(tell_host, context)
    async with server.running(), proxy(https_route(server.port, f"tls_ca = {chain}")) as running:
        assert (await fetch(running.port)).status == 200


@in_loop
async def test_connections_are_kept_and_large_answers_pass() -> None:
    body = os.urandom(2 * 1024 * 1024)
    server = TlsServer(answer(ok(body)), server_context("localhost"))
    async with server.running(), proxy(https_route(server.port, "max_workers = 1")) as running:
        for _ in range(3):
            assert (await fetch(running.port)).body == body
        assert running.pool().connections_opened == 1


@in_loop
async def test_an_answer_that_ends_with_the_connection() -> None:
    async def until_close(wire: Wire) -> None:
        await wire.request()
        await wire.send(b"HTTP/1.1 200 OK\r\n\r\n", b"to the end")
        await wire.close()

    server = TlsServer(until_close, server_context("localhost"))
    async with server.running(), proxy(https_route(server.port)) as running:
        assert (await fetch(running.port)).body == b"to the end"


@in_loop
async def test_plain_text_where_tls_is_expected_is_a_server_that_is_down() -> None:
    async def banner(wire: Wire) -> None:
        await wire.send(b"220 hello\r\n")
        await wire.rest()

    with logged() as log:
        async with RawServer(banner) as server:
            route = https_route(server.port, checks="50ms") + "health_check_fall = 1\n"
            async with proxy(route) as running:
                assert (await fetch(running.port)).status in (502, 503)
                await eventually(lambda: any("is down" in line and "tls: " in line for line in log.of("WARNING")))


@in_loop
async def test_probes_ask_over_tls() -> None:
    asked: list[bytes] = []

    async def script(wire: Wire) -> None:
        asked.append((await wire.request()).target)
        await wire.send(ok())

    server = TlsServer(script, server_context("localhost"))
    lines = "enable_health_check = yes\nhealth_check_path = /up"
    async with server.running(), proxy(https_route(server.port, lines, checks="50ms")):
        await eventually(lambda: asked.count(b"/up") >= 2)


@in_loop
async def test_websockets_to_a_tls_server() -> None:
    async def echo(connection: ServerConnection) -> None:
        async for message in connection:
            await connection.send(message)

    async with serve(echo, "127.0.0.1", 0, ssl=server_context("localhost")) as server:
        port = server.sockets[0].getsockname()[1]
        async with proxy(https_route(port).replace("[http]", "[websocket]")) as running:
            async with websocket_connect(f"ws://127.0.0.1:{running.port}/") as websocket:
                await websocket.send("x" * 200_000)
                assert await websocket.recv() == "x" * 200_000
            assert websocket.close_code == 1000
