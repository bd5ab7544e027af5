"""TLS on the clients' side: certificates, names, what fails, and that everything else works over it as without."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import httpx
import pytest
from websockets.asyncio.client import connect as websocket_connect
from websockets.asyncio.server import ServerConnection, serve

from tests.certificates import Authority
from tests.descriptors import open_sockets
from tests.integration.harness import (
    Message,
    RawServer,
    Wire,
    answer,
    connect,
    eventually,
    get,
    http_route,
    in_loop,
    logged,
    ok,
    raw_request,
)
from tests.integration.sites import Site, connect_tls, frontend, site
from wsproxy.config.model import CertificateSettings
from wsproxy.net.tls import TlsError


@cache
def authority() -> Authority:
    return Authority(Path(mkdtemp(prefix="wsproxy-tests-")))


def client() -> ssl.SSLContext:
    return authority().client_context()


@cache
def pair(*names: str) -> tuple[Path, Path]:
    return authority().issue(*names)


@pytest.fixture(autouse=True)
def quiet_loop(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Whatever clients do, the event loop has nothing to complain of."""
    yield
    assert [record.getMessage() for record in caplog.records if record.name == "asyncio"] == []


def tls_frontend(lines: str = "") -> str:
    return frontend(pair("site.example"), lines=lines)


async def common_name(port: int, name: str | None) -> set[str]:
    """The names in the certificate that a client of this name gets."""
    context = client()
    context.check_hostname = False
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=name or "")
    names = {value for _, value in writer.get_extra_info("peercert")["subjectAltName"]}
    writer.close()
    await writer.wait_closed()
    return names


@in_loop
async def test_a_request_over_tls_is_told_to_be_one() -> None:
    async def script(wire: Wire) -> None:
        while True:
            request = await wire.request()
            await wire.send(ok(request.field(b"x-forwarded-proto") or b"none"))

    async with RawServer(script) as server, site(tls_frontend() + http_route(server.port)) as running:
        async with await connect_tls(running.port, client()) as wire:
            for _ in range(3):
                await wire.send(get())
                assert (await wire.response()).body == b"https"
        assert server.opened == 1


@in_loop
async def test_a_client_library_over_tls() -> None:
    tls = frontend(pair("127.0.0.1"))
    async with (
        RawServer(ok(b"hello")) as server,
        site(tls + http_route(server.port)) as running,
        httpx.AsyncClient(verify=client()) as web,
    ):
        answers = [await web.get(f"https://127.0.0.1:{running.port}/{number}") for number in range(3)]
    assert [(reply.status_code, reply.text) for reply in answers] == [(200, "hello")] * 3


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@in_loop
async def test_versions_and_the_protocol_that_is_agreed_on(version: ssl.TLSVersion) -> None:
    context = client()
    context.minimum_version = context.maximum_version = version
    context.set_alpn_protocols(["h2", "http/1.1"])
    async with (
        RawServer(ok()) as server,
        site(tls_frontend() + http_route(server.port)) as running,
        await connect_tls(running.port, context) as wire,
    ):
        connection = wire._writer.get_extra_info("ssl_object")
        assert connection.selected_alpn_protocol() == "http/1.1"
        assert connection.version() == version.name.replace("_", ".")
        await wire.send(get())
        assert (await wire.response()).status == 200


@in_loop
async def test_the_certificate_is_chosen_by_name() -> None:
    pairs = [pair("first.example", "one.first.example"), pair("*.wild.example"), pair("exact.wild.example")]
    text = frontend(*pairs) + http_route(1)
    async with site(text) as running:
        assert await common_name(running.port, "one.first.example") == {"first.example", "one.first.example"}
        assert await common_name(running.port, "a.wild.example") == {"*.wild.example"}
        assert await common_name(running.port, "Exact.Wild.example") == {"exact.wild.example"}
        for unknown in ("a.b.wild.example", "wild.example", "other.example", "127.0.0.1"):
            assert "first.example" in await common_name(running.port, unknown)


@in_loop
async def test_certificates_are_read_again() -> None:
    chain, key = authority().issue("before.example")
    text = frontend((chain, key)) + http_route(1)
    async with site(text) as running:
        identities = running.application.listeners.frontends[0].identities
        assert identities is not None
        assert await common_name(running.port, "x") == {"before.example"}
        new_chain, new_key = authority().issue("after.example")
        os.replace(new_chain, chain)
        with pytest.raises(TlsError, match="is not the key of"):
            identities.reload()
        assert await common_name(running.port, "x") == {"before.example"}, "a half renewal changes nothing"
        os.replace(new_key, key)
        identities.reload()
        assert await common_name(running.port, "x") == {"after.example"}


@in_loop
async def test_plain_http_on_a_tls_port_is_told_so() -> None:
    async with site(tls_frontend() + http_route(1)) as running:
        reply = await raw_request(running.port, get())
        assert reply.startswith(b"HTTP/1.1 400 Bad Request\r\n")
        assert b"this port speaks https" in reply
        await eventually(lambda: running.connections == 0)


@pytest.mark.parametrize(
    "bytes_sent",
    [
        b"\x00\x01\x02",
        b"\x16\x03\x01\x00\x05hello",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\x15\x03\x01\x00\x02\x02\x28",
    ],
)
@in_loop
async def test_what_is_no_handshake_ends_at_once_or_with_its_time(bytes_sent: bytes) -> None:
    with logged() as log:
        async with site(tls_frontend("header_timeout = 300ms") + http_route(1)) as running:
            async with await connect(running.port) as wire:
                await wire.send(bytes_sent)
                await wire.rest()
            await eventually(lambda: running.connections == 0)
    assert log.of("ERROR") == log.of("WARNING") == []


@in_loop
async def test_a_silent_client_gets_header_timeout() -> None:
    async with site(tls_frontend("header_timeout = 100ms") + http_route(1)) as running:
        async with await connect(running.port) as wire:
            assert await wire.rest() == b""
        await eventually(lambda: running.connections == 0)


@in_loop
async def test_clients_that_leave_inside_a_handshake_leave_nothing_behind() -> None:
    async with site(tls_frontend() + http_route(1)) as running:
        before = open_sockets()
        for size in (0, 1, 3, 11, 60):
            wire = await connect(running.port)
            await wire.send((b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"r" * 60)[:size])
            wire.reset()
        await eventually(lambda: running.connections == 0)
        await eventually(lambda: open_sockets() == before)


@in_loop
async def test_a_stop_does_not_wait_for_handshakes() -> None:
    async with site(tls_frontend() + http_route(1)) as running, await connect(running.port) as wire:
        await eventually(lambda: running.connections == 1)
        running.application.listeners.frontends[0].stop()
        assert await wire.rest() == b""
        await eventually(lambda: running.connections == 0)


@in_loop
async def test_a_handshake_is_finished_and_a_request_answered_where_another_process_accepts() -> None:
    async with RawServer(ok()) as server, site(tls_frontend() + http_route(server.port)) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        await eventually(lambda: running.connections == 1)
        running.application.listeners.frontends[0].hand_over()
        await writer.start_tls(client(), server_hostname="site.example")
        async with Wire(reader, writer) as wire:
            await wire.send(get())
            reply = await wire.response()
            assert (reply.status, reply.field(b"connection")) == (200, b"close")
        await eventually(lambda: running.connections == 0)


@in_loop
async def test_a_handshake_that_never_ends_is_ended_with_idle_connections() -> None:
    text = tls_frontend("shutdown_timeout = 100ms") + http_route(1)
    async with site(text) as running, await connect(running.port) as wire:
        await eventually(lambda: running.connections == 1)
        running.application.listeners.frontends[0].hand_over()
        assert await wire.rest() == b""
        await eventually(lambda: running.connections == 0)


@in_loop
async def test_an_early_refusal_reaches_a_client_that_is_still_sending() -> None:
    text = tls_frontend("max_body_size = 1k")
    async with (
        RawServer(ok()) as server,
        site(text + http_route(server.port)) as running,
        await connect_tls(running.port, client()) as wire,
    ):
        await wire.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\n" + b"x" * 30_000)
        response = await wire.response()
        assert (response.status, response.field(b"connection")) == (413, b"close")
        await wire.send(b"x" * 30_000)
        assert await wire.rest() == b"", "the answer is not taken back by a reset"


@in_loop
async def test_large_bodies_pass_both_ways() -> None:
    size = 3 * 1024 * 1024
    body = os.urandom(size)

    async def script(wire: Wire) -> None:
        request = await wire.request()
        await wire.send(ok(request.body))

    async with (
        RawServer(script) as server,
        site(tls_frontend() + http_route(server.port)) as running,
        await connect_tls(running.port, client()) as wire,
    ):
        await wire.send(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size + body)
        assert (await wire.response()).body == body


@in_loop
async def test_an_answer_until_the_end_of_the_connection_ends_with_that_of_tls() -> None:
    async with RawServer(ok(b"all of it")) as server, site(tls_frontend() + http_route(server.port)) as running:
        async with await connect_tls(running.port, client()) as wire:
            await wire.send(b"GET / HTTP/1.0\r\nHost: a\r\n\r\n")
            assert (await wire.rest()).endswith(b"\r\n\r\nall of it")
        await eventually(lambda: running.connections == 0)


@in_loop
async def test_websockets_over_tls() -> None:
    async def echo(connection: ServerConnection) -> None:
        async for message in connection:
            await connection.send(message)

    async with serve(echo, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        text = frontend(pair("127.0.0.1")) + http_route(port, section="websocket")
        async with site(text) as running:
            url = f"wss://127.0.0.1:{running.port}/"
            async with websocket_connect(url, ssl=client(), max_size=None) as websocket:
                for message in ("hello", b"\x00" * 300_000, ""):
                    await websocket.send(message)
                    assert await websocket.recv() == message
            assert websocket.close_code == 1000
            await eventually(lambda: running.connections == 0)


@in_loop
async def test_hsts_goes_into_every_answer_of_its_frontend_once() -> None:
    async def script(wire: Wire) -> None:
        while True:
            request = await wire.request()
            lines = (b"strict-transport-security: max-age=1",) if request.target == b"/own" else ()
            await wire.send(ok(b"x", *lines))

    text = tls_frontend("hsts = 365d") + frontend(name="plain")
    text += http_route(1, section="http:down", lines="path_prefix = /down")
    name = b"strict-transport-security"
    async with RawServer(script) as server, site(text + http_route(server.port)) as running:
        async with await connect_tls(running.port, client()) as wire:
            answers: list[Message] = []
            for target in (b"/", b"/", b"/own", b"/down"):
                await wire.send(get(target))
                answers.append(await wire.response())
            await wire.send(get(b"/../.."))
            answers.append(await wire.response())
        assert [message.status for message in answers] == [200, 200, 200, 502, 400]
        year = b"max-age=31536000"
        assert [message.values(name) for message in answers] == [[year], [year], [b"max-age=1"], [year], [year]]
        async with await connect(running.ports[1]) as plain:
            await plain.send(get())
            assert (await plain.response()).field(name) is None


async def redirected(running: Site, request: bytes) -> Message:
    async with await connect(running.port) as wire:
        await wire.send(request)
        response = await wire.response(request.split(b" ")[0])
        assert response.field(b"connection") == b"close"
        return response


@in_loop
async def test_redirects_to_https() -> None:
    text = frontend(lines="redirect_https = yes") + frontend(pair("site.example"), name="tls")
    async with RawServer(ok(b"over tls")) as server, site(text + http_route(server.port)) as running:
        port = running.ports[1]
        for method, status in ((b"GET", 301), (b"HEAD", 301), (b"POST", 308), (b"DELETE", 308)):
            request = b"%b /a//b?c=%%0d%%0aX:1 HTTP/1.1\r\nHost: Site.example:8080\r\n\r\n" % method
            response = await redirected(running, request)
            assert response.status == status
            assert response.field(b"location") == b"https://Site.example:%d/a//b?c=%%0d%%0aX:1" % port
        upgrade = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        response = await redirected(running, b"GET /ws HTTP/1.1\r\nHost: a\r\n%b\r\n" % upgrade)
        assert response.field(b"location") == b"https://a:%d/ws" % port
        assert server.opened == 0
        assert (await redirected(running, b"GET / HTTP/1.0\r\n\r\n")).status == 400
        body = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
        assert (await redirected(running, body)).status == 308


@in_loop
async def test_an_expired_certificate_is_served_and_warned_of() -> None:
    chain, key = authority().issue("old.example", not_after=datetime(2020, 1, 2, tzinfo=UTC))
    async with site(frontend((chain, key)) + http_route(1)) as running:
        identities = running.application.listeners.frontends[0].identities
        assert identities is not None
        assert [text for _, text in identities.warnings] == [f"{chain} has expired (2020-01-02)"]
        with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
            await connect_tls(running.port, client(), "old.example")


def test_settings_compare_by_files_alone() -> None:
    assert CertificateSettings("a", "b", "x:1:1") == CertificateSettings("a", "b")


@in_loop
async def test_answers_that_come_while_the_client_does_not_read_are_flushed_at_the_end() -> None:
    body = os.urandom(2 * 1024 * 1024)
    server_answer = answer(ok(body, b"Connection: close"))
    async with (
        RawServer(server_answer) as server,
        site(tls_frontend() + http_route(server.port)) as running,
        await connect_tls(running.port, client()) as wire,
    ):
        await wire.send(get(b"/", b"Connection: close"))
        await eventually(lambda: server.opened == 1)
        assert (await wire.response()).body == body
        assert await wire.rest() == b""
