"""PROXY headers through the product: whose they are believed, and that what is announced is the client from then on."""

from __future__ import annotations

import socket
import ssl
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import pytest

from tests.certificates import Authority
from tests.integration.harness import RawServer, Wire, connect, eventually, get, http_route, in_loop, logged, ok
from tests.integration.sites import connect_tls, frontend, site

TRUSTED = "proxy_protocol = accept\ntrusted_proxies = 127.0.0.0/8\n"
V1 = b"PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\n"
V2 = (
    b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x11"
    + socket.inet_aton("192.0.2.1")
    + socket.inet_aton("198.51.100.7")
    + b"\x00\x01\x00\x02\x04\x00\x02xx"
)
LOCAL = b"\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00"


@cache
def authority() -> Authority:
    return Authority(Path(mkdtemp(prefix="wsproxy-tests-")))


async def tell_client(wire: Wire) -> None:
    """A server that answers with the client's address as it was told."""
    while True:
        await wire.send(ok((await wire.request()).field(b"x-forwarded-for") or b""))


@pytest.mark.parametrize(
    ("header", "client"),
    [(V1, b"192.0.2.1"), (V2, b"192.0.2.1"), (LOCAL, b"127.0.0.1"), (b"PROXY UNKNOWN\r\n", b"127.0.0.1")],
)
@pytest.mark.parametrize("in_one_piece", [True, False])
@in_loop
async def test_the_announced_address_is_the_clients(header: bytes, client: bytes, in_one_piece: bool) -> None:
    text = frontend(lines=TRUSTED)
    async with (
        RawServer(tell_client) as server,
        site(text + http_route(server.port)) as running,
        await connect(running.port) as wire,
    ):
        if in_one_piece:
            await wire.send(header + get())
        else:
            await wire.send(*(bytes((byte,)) for byte in header + get()))
        assert (await wire.response()).body == client
        await wire.send(get())
        assert (await wire.response()).body == client, "a connection has one client"


@pytest.mark.parametrize("header", [V1, V2])
@in_loop
async def test_it_comes_before_tls(header: bytes) -> None:
    text = frontend(authority().issue("site.example"), lines=TRUSTED)
    async with (
        RawServer(tell_client) as server,
        site(text + http_route(server.port)) as running,
        await connect_tls(running.port, authority().client_context(), before=header) as wire,
    ):
        await wire.send(get())
        assert (await wire.response()).body == b"192.0.2.1"


@in_loop
async def test_header_and_handshake_in_one_segment_are_told_apart() -> None:
    text = frontend(authority().issue("site.example"), lines=TRUSTED)
    context = authority().client_context()
    async with RawServer(tell_client) as server, site(text + http_route(server.port)) as running:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        talk = context.wrap_bio(incoming, outgoing, server_hostname="site.example")
        async with await connect(running.port) as wire:
            ahead = V1
            while True:
                try:
                    talk.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    await wire.send(ahead + outgoing.read())
                    ahead = b""
                    incoming.write(await wire.some())
            talk.write(get())
            await wire.send(outgoing.read())
            answer = b""
            while not answer.endswith(b"192.0.2.1"):
                try:
                    answer += talk.read()
                except ssl.SSLWantReadError:
                    incoming.write(await wire.some())


@pytest.mark.parametrize("sent", [get(), b"\x16\x03\x01\x02\x00", b"PROXY TCP4 nonsense\r\n", V1[:-1], b""])
@in_loop
async def test_without_a_proper_header_nobody_comes_in(sent: bytes) -> None:
    with logged() as log:
        text = frontend(lines=TRUSTED + "header_timeout = 200ms")
        async with RawServer(tell_client) as server, site(text + http_route(server.port)) as running:
            async with await connect(running.port) as wire:
                await wire.send(sent)
                assert await wire.rest() == b""
            await eventually(lambda: running.connections == 0)
        assert server.opened == 0
    assert log.of("ERROR") == []
    is_refused = sent not in (b"", V1[:-1])  # the others have said nothing wrong when their time is over
    assert any("sent no proper PROXY header" in line for line in log.of("WARNING")) == is_refused


@in_loop
async def test_a_header_from_elsewhere_is_not_read() -> None:
    text = frontend(lines="proxy_protocol = accept\ntrusted_proxies = 192.0.2.0/24")
    async with RawServer(tell_client) as server, site(text + http_route(server.port)) as running:
        async with await connect(running.port) as wire:
            await wire.send(V1 + get())
            assert await wire.rest() == b""
        assert server.opened == 0


@in_loop
async def test_a_header_where_none_is_expected_is_a_bad_request() -> None:
    async with (
        RawServer(tell_client) as server,
        site(frontend() + http_route(server.port)) as running,
        await connect(running.port) as wire,
    ):
        await wire.send(V1 + get())
        assert (await wire.response()).status == 400


@in_loop
async def test_connections_of_one_address_are_limited() -> None:
    text = frontend(lines="max_connections_per_ip = 2")
    with logged() as log:
        async with RawServer(tell_client) as server, site(text + http_route(server.port)) as running:
            first, second = await connect(running.port), await connect(running.port)
            for wire in (first, second):
                await wire.send(get())
                assert (await wire.response()).status == 200
            for _ in range(3):
                async with await connect(running.port) as third:
                    assert await third.rest() == b""
            await first.close()
            await eventually(lambda: running.connections == 1)
            async with await connect(running.port) as fourth:
                await fourth.send(get())
                assert (await fourth.response()).status == 200
            await second.close()
    expected = "frontend: 127.0.0.1 has 2 connections, the limit (max_connections_per_ip): more are closed"
    assert log.of("WARNING") == [expected], "said once"


@in_loop
async def test_behind_a_proxy_the_announced_addresses_are_counted() -> None:
    text = frontend(lines=TRUSTED + "max_connections_per_ip = 1")
    async with (
        RawServer(tell_client) as server,
        site(text + http_route(server.port)) as running,
        await connect(running.port) as first,
        await connect(running.port) as other,
    ):
        await first.send(V1 + get())
        await other.send(V1.replace(b"192.0.2.1", b"192.0.2.2") + get())
        assert (await first.response()).body == b"192.0.2.1"
        assert (await other.response()).body == b"192.0.2.2"
        async with await connect(running.port) as second:
            await second.send(V1 + get())
            assert await second.rest() == b""
        for _ in range(2):  # the proxy's own are not counted
            async with await connect(running.port) as probe:
                await probe.send(LOCAL + get())
                assert (await probe.response()).status == 200


@in_loop
async def test_a_place_is_given_back_however_the_connection_ends() -> None:
    text = frontend(authority().issue("site.example"), lines="max_connections_per_ip = 1\nheader_timeout = 200ms")
    async with RawServer(tell_client) as server, site(text + http_route(server.port)) as running:
        for sent in (b"", b"GET / HTTP/1.1\r\n", b"\x16\x03\x01\x00\x05hello", b"\x16"):
            async with await connect(running.port) as wire:
                await wire.send(sent)
                await wire.rest()
            await eventually(lambda: running.connections == 0)
        for _ in range(2):
            async with await connect_tls(running.port, authority().client_context()) as wire:
                await wire.send(get())
                assert (await wire.response()).status == 200
            await eventually(lambda: running.connections == 0)
