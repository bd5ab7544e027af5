"""Clients that stay with their server, and what becomes of them when it cannot have them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.integration.harness import (
    Message,
    Proxy,
    RawServer,
    Script,
    Wire,
    connect,
    eventually,
    get,
    http_route,
    in_loop,
    ok,
    proxied,
    proxy,
)
from tests.integration.websocket_wire import accept, acceptance, frame, handshake, receive_frame

COOKIE = "sticky = cookie:sid\nalgorithm = round-robin"


def named(name: bytes) -> Script:
    """A WebSocket server that says its name and stays."""

    async def script(wire: Wire) -> None:
        await accept(wire)
        await wire.send(frame(1, name))
        await wire.rest()

    return script


async def ask(running: Proxy, *lines: bytes, target: bytes = b"/") -> Message:
    """One request with these fields, over a connection of its own."""
    async with await connect(running.port) as client:
        await client.send(get(target, *lines))
        return await client.response()


async def join(running: Proxy, *lines: bytes, target: bytes = b"/ws") -> tuple[Wire, bytes, Message]:
    """Open a WebSocket: the wire, which server it leads to, and the 101."""
    client = await connect(running.port)
    await client.send(handshake(*lines, target=target))
    opened = await client.response()
    assert opened.status == 101
    _, name = await receive_frame(client)
    return client, name, opened


def returned(message: Message) -> bytes:
    """The Cookie line of a client that has got this answer."""
    (line,) = (value for value in message.values(b"set-cookie") if value.startswith(b"sid="))
    return b"Cookie: " + line.partition(b";")[0]


@asynccontextmanager
async def two(
    first: Script | bytes, second: Script | bytes, lines: str, section: str = "http"
) -> AsyncIterator[tuple[Proxy, RawServer, RawServer]]:
    """The product before two servers."""
    async with (
        RawServer(first) as one,
        RawServer(second) as other,
        proxy(http_route(one.port, other.port, lines=lines, section=section)) as running,
    ):
        yield running, one, other


@in_loop
async def test_a_cookie_binds_a_client_to_its_server() -> None:
    async with two(ok(b"one", b"Set-Cookie: own=1"), ok(b"two", b"Set-Cookie: own=1"), COOKIE) as (running, _, _):
        first = await ask(running)
        (line,) = (value for value in first.values(b"set-cookie") if value != b"own=1")
        assert line.endswith(b"; Path=/; HttpOnly; SameSite=Lax")
        for _ in range(6):
            again = await ask(running, returned(first))
            assert again.body == first.body
            assert again.values(b"set-cookie") == [b"own=1"]
        assert {(await ask(running)).body for _ in range(2)} == {b"one", b"two"}


@in_loop
async def test_a_client_of_a_dead_server_gets_another_one_and_stays_with_that() -> None:
    async with two(ok(b"one"), ok(b"two"), COOKIE) as (running, one, other):
        first = await ask(running)
        await (one if first.body == b"one" else other).stop()
        second = await ask(running, returned(first))
        assert second.body != first.body
        assert returned(second) != returned(first)
        assert (await ask(running, returned(second))).body == second.body


@in_loop
async def test_a_disabled_server_keeps_nobody() -> None:
    async with two(ok(b"one"), ok(b"two"), COOKIE) as (running, one, _):
        first = await ask(running)
        group = running.application.groups["http"].group
        (backend,) = (b for b in group.backends.values() if (b.address.port == one.port) == (first.body == b"one"))
        await group.disable(backend)
        moved = await ask(running, returned(first))
        assert moved.body != first.body
        assert returned(moved)
        await group.enable(backend)
        assert (await ask(running, returned(first))).body == first.body


@in_loop
async def test_a_client_waits_for_its_server_though_another_is_free() -> None:
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def slow(wire: Wire) -> None:
        while True:
            request = await wire.request()
            if request.target == b"/slow":
                asked.set()
                await go_on.wait()
            await wire.send(ok(b"one"))

    lines = f"{COOKIE}\nmax_workers = 1\nbuffer_size = 0"
    async with two(slow, ok(b"two"), lines) as (running, _, _):
        first = await ask(running)
        cookie = returned(first if first.body == b"one" else await ask(running))
        busy = asyncio.create_task(ask(running, cookie, target=b"/slow"))
        await asked.wait()
        waiting = asyncio.create_task(ask(running, cookie))
        group = running.application.groups["http"].group
        await eventually(lambda: len(group.waiting) == 1)
        assert (await ask(running)).body == b"two"  # which overtakes nobody, as the one that waits does not want it
        go_on.set()
        assert (await busy).body == (await waiting).body == b"one"


@in_loop
async def test_one_that_waits_for_a_server_that_goes_is_served_by_another() -> None:
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def slow(wire: Wire) -> None:
        await wire.request()
        await wire.send(ok(b"one"))
        await wire.request()
        asked.set()
        await go_on.wait()

    lines = f"{COOKIE}\nmax_workers = 1\nbuffer_size = 0"
    async with two(slow, ok(b"two"), lines) as (running, one, _):
        first = await ask(running)
        cookie = returned(first if first.body == b"one" else await ask(running))
        busy = asyncio.create_task(ask(running, cookie))
        await asked.wait()
        waiting = asyncio.create_task(ask(running, cookie))
        group = running.application.groups["http"].group
        await eventually(lambda: len(group.waiting) == 1)
        (backend,) = (b for b in group.backends.values() if b.address.port == one.port)
        await group.disable(backend)
        assert (await waiting).body == b"two"
        go_on.set()
        await busy


@in_loop
async def test_websockets_come_back_to_their_server_and_leave_it_when_it_is_down() -> None:
    async with two(named(b"one"), named(b"two"), COOKIE, "websocket") as (running, one, other):
        client, home, opened = await join(running)
        cookie = returned(opened)
        await client.close()
        for _ in range(4):
            client, name, opened = await join(running, cookie)
            assert (name, opened.values(b"set-cookie")) == (home, [])
            await client.close()
        await (one if home == b"one" else other).stop()
        client, name, opened = await join(running, cookie)
        assert name != home
        await client.close()
        client, again, _ = await join(running, returned(opened))
        assert again == name
        await client.close()


@pytest.mark.parametrize(
    ("lines", "request_line", "target"),
    [
        ("sticky = ip", b"X: y", b"/ws"),
        ("sticky = query:sid", b"X: y", b"/ws?EIO=4&sid=9f2c"),
        ("sticky = header:X-User", b"X-User: 7", b"/ws"),
        ("algorithm = ip-hash", b"X: y", b"/ws"),
        ("algorithm = hash\nhash_key = path", b"X: y", b"/ws/room/7"),
    ],
)
@in_loop
async def test_what_each_request_has_leads_to_the_same_server(lines: str, request_line: bytes, target: bytes) -> None:
    async with two(named(b"one"), named(b"two"), lines, "websocket") as (running, one, other):
        names = set()
        for _ in range(6):
            client, name, opened = await join(running, request_line, target=target)
            assert opened.values(b"set-cookie") == []
            names.add(name)
            await client.close()
        (home,) = names
        await (one if home == b"one" else other).stop()
        client, name, _ = await join(running, request_line, target=target)
        assert name != home
        await client.close()


@in_loop
async def test_http_and_websockets_of_one_group_share_the_binding() -> None:
    async def both(wire: Wire, name: bytes) -> None:
        request = await wire.request()
        if request.field(b"upgrade") is None:
            await wire.send(ok(name))
            return
        await wire.send(acceptance(request.head) + frame(1, name))
        await wire.rest()

    async with RawServer(lambda wire: both(wire, b"one")) as one, RawServer(lambda wire: both(wire, b"two")) as other:
        route = http_route(one.port, other.port, lines=COOKIE)
        async with proxy(f"{route}[websocket]\ngroup = http\n{COOKIE}\n") as running:
            first = await ask(running)
            for _ in range(4):
                client, name, _ = await join(running, returned(first))
                assert name == first.body
                await client.close()


@in_loop
async def test_new_websockets_go_where_fewer_are() -> None:
    async with two(named(b"one"), named(b"two"), "algorithm = least-connections", "websocket") as (running, _, _):
        joined = [await join(running) for _ in range(8)]
        names = [name for _, name, _ in joined]
        assert names.count(b"one") == names.count(b"two") == 4
        for client, name, _ in joined:
            if name == b"one":
                await client.close()
        await eventually(lambda: running.relays == 4)
        more = [await join(running) for _ in range(4)]
        assert [name for _, name, _ in more] == [b"one"] * 4
        for client, _, _ in joined + more:
            await client.close()


@in_loop
async def test_a_backup_is_asked_when_no_other_is_healthy() -> None:
    lines = "server2_backup = yes\nalgorithm = round-robin"
    async with two(ok(b"one"), ok(b"two"), lines) as (running, _, _):
        group = running.application.groups["http"].group
        main, _ = group.backends.values()
        assert {(await ask(running)).body for _ in range(4)} == {b"one"}
        await group.set_up(main, up=False)
        assert {(await ask(running)).body for _ in range(4)} == {b"two"}
        await group.set_up(main, up=True)
        assert {(await ask(running)).body for _ in range(4)} == {b"one"}


NAMING = b'0{"sid":"abc-1","upgrades":["websocket"]}'


def naming_answers(kind: bytes, framing: str) -> bytes:
    """An answer that names a session."""
    fields = b"Content-Type: %b\r\n" % kind
    if framing == "length":
        return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%b\r\n%b" % (len(NAMING), fields, NAMING)
    pieces = (NAMING[:12], NAMING[12:])
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n%b\r\n%b" % (fields, chunks)


@pytest.mark.parametrize(
    ("target", "kind", "framing", "is_learned"),
    [
        (b"/?EIO=4", b"text/plain; charset=UTF-8", "length", True),
        (b"/?EIO=4", b"text/plain; charset=UTF-8", "chunks", True),
        (b"/?EIO=3", b"application/octet-stream", "length", True),
        (b"/?EIO=4", b"text/event-stream", "chunks", False),
        (b"/?EIO=4", b"text/plain\r\nContent-Encoding: gzip", "length", False),
        (b"/?EIO=4&sid=of-a-client", b"text/plain", "length", False),
    ],
)
@in_loop
async def test_what_is_learned_from_an_answer(target: bytes, kind: bytes, framing: str, is_learned: bool) -> None:
    async with proxied(naming_answers(kind, framing), lines="sticky = query:sid") as (server, running):
        answer = await ask(running, target=target)
        assert (answer.status, answer.body) == (200, NAMING)
        sessions = running.application.groups["http"].group.named_sessions
        now = asyncio.get_running_loop().time()
        assert sessions.backend_of(b"abc-1", now) == (f"127.0.0.1:{server.port}" if is_learned else "")
