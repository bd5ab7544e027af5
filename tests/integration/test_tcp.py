"""`[tcp:NAME]` with raw sockets on both sides: bytes, ends, limits, failover, reload and stopping."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import anyio
import pytest

from tests.certificates import Authority
from tests.integration.harness import LOST, RawServer, Script, Wire, connect, eventually, in_loop, logged, refused_port
from wsproxy.app import Application
from wsproxy.config.build import load
from wsproxy.frontend.tcp import TcpFrontend
from wsproxy.frontend.tcp_relay import HIGH_WATER_BYTES

MIB = 1024 * 1024
IN_TURN = "algorithm = round-robin"
LEAST = "algorithm = least-connections"


class Running:
    """The product with one TCP listener."""

    def __init__(self, application: Application, port: int) -> None:
        self.application = application
        self.port = port

    @property
    def listener(self) -> TcpFrontend:
        (found,) = self.application.listeners.tcp_by_name.values()
        return found

    def ended(self) -> dict[str, int]:
        """Connections that are over, by result."""
        return {result: count for (_, result), count in self.listener.totals.connections.items()}


def section(*ports: int, lines: str = "", port: int = 0) -> str:
    servers = "".join(f"server{number} = 127.0.0.1:{each}\n" for number, each in enumerate(ports, 1))
    return f"[tcp:test]\nhost = 127.0.0.1\nport = {port}\nhealth_check_interval = 1h\n{servers}{lines}\n"


@asynccontextmanager
async def listening(*texts: str) -> AsyncIterator[Running]:
    """The product on the first text; a reload takes the next."""
    waiting = [load(f"[log]\naccess = off\n{text}", "test.ini", {}, "/") for text in texts]
    application = Application(waiting.pop(0), lambda: waiting.pop(0))
    async with anyio.create_task_group() as tasks:
        (address,) = await tasks.start(application.run)
        try:
            yield Running(application, int(address.rpartition(":")[2]))
        finally:
            tasks.cancel_scope.cancel()


@asynccontextmanager
async def talking(script: Script, lines: str = "") -> AsyncIterator[tuple[Running, Wire]]:
    """The product in front of one server that runs `script`, and a client's connection."""
    async with (
        RawServer(script) as server,
        listening(section(server.port, lines=lines)) as running,
        await connect(running.port) as client,
    ):
        yield running, client


async def echo(wire: Wire) -> None:
    while data := await wire.some():
        await wire.send(data)


async def until_the_end_then(wire: Wire) -> None:
    """Reads all, then answers with how much that was: what needs a half-closed connection."""
    size = 0
    while data := await wire.some():
        size += len(data)
    await wire.send(b"%d" % size)


@in_loop
async def test_bytes_go_both_ways_untouched() -> None:
    everything = bytes(range(256)) * 64
    async with talking(echo) as (running, client):
        await client.send(everything)
        assert await client.exactly(len(everything)) == everything
        client.end()
        assert await client.rest() == b""
        await eventually(lambda: running.ended() == {"client": 1})
        totals = running.listener.totals
        assert list(totals.client_bytes.values()) == list(totals.upstream_bytes.values()) == [len(everything)]


@in_loop
async def test_an_end_of_the_client_alone_is_carried() -> None:
    async with talking(until_the_end_then) as (_, client):
        await client.send(b"x" * 100_000)
        client.end()
        assert await client.rest() == b"100000"


@in_loop
async def test_an_end_of_the_server_alone_is_carried() -> None:
    heard = asyncio.Event()

    async def script(wire: Wire) -> None:
        await wire.until(b"\n")
        await wire.send(b"bye")
        wire.end()
        assert await wire.until(b"!") == b"still here!"
        heard.set()

    async with talking(script) as (running, client):
        await client.send(b"hello\n")
        assert await client.rest() == b"bye"
        await client.send(b"still here!")
        await heard.wait()
        client.end()
        await eventually(lambda: running.ended() == {"upstream": 1})


@in_loop
async def test_a_server_may_speak_first() -> None:
    async with (
        listening_server(b"220 ready\r\n") as port,
        listening(section(port)) as running,
        await connect(running.port) as client,
    ):
        assert await client.until(b"\r\n") == b"220 ready\r\n"


@asynccontextmanager
async def listening_server(greeting: bytes) -> AsyncIterator[int]:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        await reader.read()
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@in_loop
async def test_a_reset_of_the_client_reaches_the_server() -> None:
    lost = asyncio.Event()

    async def script(wire: Wire) -> None:
        await wire.until(b"\n")
        await wire.send(b"ok\n")
        try:
            await wire.some()
        except LOST:
            lost.set()

    async with RawServer(script) as server, listening(section(server.port)) as running:
        client = await connect(running.port)
        await client.send(b"hello\n")
        await client.until(b"\n")
        client.reset()
        await lost.wait()
        await eventually(lambda: running.ended() == {"client_lost": 1})


@in_loop
async def test_a_reset_of_the_server_reaches_the_client() -> None:
    async def script(wire: Wire) -> None:
        await wire.until(b"\n")
        wire.reset()

    async with talking(script) as (running, client):
        await client.send(b"hello\n")
        with pytest.raises(LOST):
            await client.exactly(1)
        await eventually(lambda: running.ended() == {"upstream_lost": 1})


@in_loop
async def test_a_hundred_mebibytes_both_ways_with_little_kept() -> None:
    most = 0

    async def flood(wire: Wire) -> None:
        await wire.exactly(1)
        piece = b"d" * MIB
        for _ in range(100):
            await wire.send(piece)
        wire.end()
        await wire.rest()

    async with RawServer(flood) as server, listening(section(server.port)) as running:
        async with await connect(running.port, ahead_bytes=64 * 1024) as client:
            await client.send(b"u")
            await eventually(lambda: bool(running.listener.relays))
            (relay,) = running.listener.relays
            sent = asyncio.ensure_future(client.send(*[b"u" * MIB] * 100))
            received = 0
            while data := await client.some():
                received += len(data)
                most = max(most, *(leg.stream.unsent_bytes for leg in (relay.client, relay.upstream)))
            await sent
            client.end()
        assert received == 100 * MIB
        assert most <= 2 * HIGH_WATER_BYTES
        await eventually(lambda: sum(running.listener.totals.client_bytes.values()) == 100 * MIB + 1)


@in_loop
async def test_a_client_that_does_not_read_stops_the_server() -> None:
    sent = 0

    async def script(wire: Wire) -> None:
        nonlocal sent
        await wire.exactly(1)
        while True:
            await wire.send(b"d" * 65536)
            sent += 65536

    async with RawServer(script) as server, listening(section(server.port)) as running:
        client = await connect(running.port, ahead_bytes=1024)
        await client.send(b"u")
        await eventually(lambda: bool(running.listener.relays))
        (relay,) = running.listener.relays
        await eventually(lambda: relay.client.stream.unsent_bytes > HIGH_WATER_BYTES)
        before = -1
        while before != sent:  # until the kernel's buffers are full too
            before = sent
            await anyio.sleep(0.2)
        assert relay.client.stream.unsent_bytes <= 2 * HIGH_WATER_BYTES
        client.reset()
        await eventually(lambda: not running.listener.relays)


@in_loop
async def test_a_refusing_server_is_passed_over() -> None:
    port = await refused_port()
    async with RawServer(echo) as server, listening(section(port, server.port, lines=IN_TURN)) as running:
        for _ in range(3):
            async with await connect(running.port) as client:
                await client.send(b"a")
                assert await client.exactly(1) == b"a"


@in_loop
async def test_a_server_that_keeps_refusing_is_left_out() -> None:
    refusing = await refused_port()
    async with RawServer(echo) as well:
        lines = f"{IN_TURN}\noutlier_failures = 2"
        async with listening(section(refusing, well.port, lines=lines)) as it:
            first, _ = it.application.groups["tcp:test"].group.backends.values()
            for _ in range(4):
                async with await connect(it.port) as client:
                    await client.send(b"ping")
                    assert await client.exactly(4) == b"ping"
            assert first.guard.ejected


@in_loop
async def test_with_no_server_left_the_client_is_let_go_and_one_line_said() -> None:
    port = await refused_port()
    with logged() as log:
        async with listening(section(port)) as running:
            for _ in range(3):
                async with await connect(running.port) as client:
                    assert await client.rest() == b""
            assert running.ended() == {"refused": 3}
    lines = [line for line in log.of("WARNING") if "tcp:test" in line]
    assert lines == [f"tcp:test: 127.0.0.1:{port}: connection refused"]


@in_loop
async def test_silence_of_both_sides_ends_the_connection() -> None:
    async with talking(echo, "idle_timeout = 300ms") as (running, client):
        await client.send(b"a")
        assert await client.exactly(1) == b"a"
        assert await client.rest() == b""
        await eventually(lambda: running.ended() == {"idle": 1})


@in_loop
async def test_clients_over_the_limit_wait_in_the_backlog() -> None:
    async with talking(echo, "max_connections = 1") as (running, first), await connect(running.port) as second:
        await first.send(b"a")
        assert await first.exactly(1) == b"a"
        await second.send(b"b")
        assert running.listener.connections == 1
        await first.close()
        assert await second.exactly(1) == b"b"


@in_loop
async def test_past_the_budget_of_the_proxy_clients_are_closed_at_once_and_counted() -> None:
    budget = "[overload]\nmax_connections = 4\n"
    async with RawServer(echo) as server, listening(budget + section(server.port)) as running:
        with logged() as log:
            clients = [await connect(running.port) for _ in range(10)]
            await eventually(lambda: running.ended() == {"overload": 6})
            served = []
            for client in clients:
                with suppress(*LOST):
                    await client.send(b"ping")
                    if await client.some() == b"ping":
                        served.append(client)
            assert len(served) == 4
            assert running.listener.connections == 4
            for client in served[:2]:  # who was there goes on
                await client.send(b"more")
                assert await client.exactly(4) == b"more"
            await served[0].close()
            await eventually(lambda: running.listener.connections == 3)
            async with await connect(running.port) as late:
                await late.send(b"late")
                assert await late.exactly(4) == b"late"
            for client in clients:
                await client.close()
        assert len([line for line in log.of("WARNING") if line.startswith("overload (")]) == 1
        overload = running.application.routes.guards.overload
        assert overload.refused == {"connections": 6}
        snapshot = running.application.figures.snapshot()
        assert snapshot.overload is not None
        assert snapshot.overload.refused == {"connections": 6}


@in_loop
async def test_the_proxy_header_is_sent_and_accepted() -> None:
    async with RawServer(echo) as server:
        inner = section(server.port, lines="send_proxy = v1\nproxy_protocol = accept\ntrusted_proxies = 127.0.0.1")
        async with listening(inner) as running, await connect(running.port) as client:
            await client.send(b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\n", b"hello\n")
            told = b"PROXY TCP4 192.0.2.7 127.0.0.1 4711 %d\r\n" % running.port
            assert await client.exactly(len(told) + 6) == told + b"hello\n"


@in_loop
async def test_the_second_version_of_the_proxy_header_is_sent() -> None:
    async with talking(echo, "send_proxy = v2") as (running, client):
        await client.send(b"hello")
        header = await client.exactly(28)
        assert header[:16] == b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c"
        assert header[16:24] == bytes([127, 0, 0, 1, 127, 0, 0, 1])
        assert int.from_bytes(header[26:28], "big") == running.port
        assert await client.exactly(5) == b"hello"


@cache
def authority() -> Authority:
    return Authority(Path(mkdtemp(prefix="wsproxy-tests-")))


@in_loop
async def test_tls_passes_through_untouched() -> None:
    chain, key = authority().issue("service.example")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(chain, key)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.readline()).upper())
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    async with listening(section(port)) as running:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", running.port, ssl=authority().client_context(), server_hostname="service.example"
        )
        writer.write(b"hello\n")
        assert await reader.read() == b"HELLO\n"
        writer.close()
    server.close()


@in_loop
async def test_tls_can_end_here() -> None:
    chain, key = authority().issue("service.example")
    async with RawServer(echo) as server:
        lines = f"tls_certificate = {chain}\ntls_key = {key}"
        async with listening(section(server.port, lines=lines)) as running:
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", running.port, ssl=authority().client_context(), server_hostname="service.example"
            )
            writer.write(b"hello" * 50_000)
            assert await reader.readexactly(250_000) == b"hello" * 50_000
            writer.close()
            await eventually(lambda: not running.listener.relays)


@in_loop
async def test_past_the_budget_no_tls_handshake_is_waited_for() -> None:
    chain, key = authority().issue("service.example")
    lines = f"tls_certificate = {chain}\ntls_key = {key}"
    text = f"[overload]\nmax_connections = 1\n{section(1, lines=lines)}"
    async with listening(text) as running, await connect(running.port):
        await eventually(lambda: running.listener.connections == 1)
        async with await connect(running.port) as second:
            assert await second.rest() == b""
        assert running.ended() == {"overload": 1}


@in_loop
async def test_a_reload_brings_a_budget_for_what_comes_from_then_on() -> None:
    async with RawServer(echo) as server:
        texts = [f"{budget}\n{section(server.port)}" for budget in ("", "[overload]\nmax_connections = 1", "")]
        async with listening(*texts) as running, await connect(running.port) as first:
            await first.send(b"a")
            assert await first.exactly(1) == b"a"
            await running.application.reload()
            async with await connect(running.port) as second:
                assert await second.rest() == b""
            await running.application.reload()
            async with await connect(running.port) as third:
                await third.send(b"b")
                assert await third.exactly(1) == b"b"
            await first.send(b"c")
            assert await first.exactly(1) == b"c"


@in_loop
async def test_a_reload_keeps_open_connections_and_leads_new_ones_elsewhere() -> None:
    async def other(wire: Wire) -> None:
        while await wire.some():
            await wire.send(b"other")

    async with RawServer(echo) as first, RawServer(other) as second:
        texts = [section(first.port), section(second.port, lines="idle_timeout = 1h"), section(second.port, port=1)]
        async with listening(*texts[:2]) as running, await connect(running.port) as client:
            await client.send(b"a")
            assert await client.exactly(1) == b"a"
            plan = await running.application.reload()
            assert plan.tcp.changed == ("tcp:test",)
            async with await connect(running.port) as newcomer:
                await newcomer.send(b"x")
                assert await newcomer.exactly(5) == b"other"
            await client.send(b"b")
            assert await client.exactly(1) == b"b"


@in_loop
async def test_a_removed_listener_takes_nothing_new_and_keeps_what_it_has() -> None:
    async with RawServer(echo) as server:
        free = await refused_port()
        texts = (section(server.port), section(server.port, port=free).replace("tcp:test", "tcp:new"))
        async with listening(*texts) as running, await connect(running.port) as client:
            await client.send(b"a")
            assert await client.exactly(1) == b"a"
            await running.application.reload()
            with pytest.raises(LOST):
                async with await connect(running.port) as late:
                    await late.exactly(1)
            async with await connect(free) as newcomer:
                await newcomer.send(b"n")
                assert await newcomer.exactly(1) == b"n"
            await client.send(b"b")
            assert await client.exactly(1) == b"b"


@in_loop
async def test_least_connections_sees_what_each_server_holds() -> None:
    async with RawServer(echo) as first, RawServer(echo) as second:
        one_of_two = listening(section(first.port, second.port, lines=LEAST))
        async with one_of_two as running, anyio.create_task_group() as tasks:
            done = anyio.Event()

            async def hold() -> None:
                async with await connect(running.port) as client:
                    await client.send(b"a")
                    await client.exactly(1)
                    await done.wait()

            for number in range(1, 11):
                tasks.start_soon(hold)
                await eventually(lambda number=number: first.open + second.open == number)  # type: ignore[misc]
            assert (first.open, second.open) == (5, 5)
            done.set()
