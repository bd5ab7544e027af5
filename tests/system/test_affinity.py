"""Bindings over reloads and restarts of the product."""

from __future__ import annotations

from pathlib import Path

from tests.integration.harness import Message, RawServer, Wire, connect, http_route, in_loop
from tests.integration.websocket_wire import accept, frame, handshake, receive_frame
from tests.system.harness import spawned
from tests.system.test_reload import reload, rewrite

SECRET = "sticky_secret = correct horse battery"


def server(name: bytes) -> RawServer:
    """A WebSocket server that says its name and stays."""

    async def script(wire: Wire) -> None:
        await accept(wire)
        await wire.send(frame(1, name))
        await wire.rest()

    return RawServer(script)


async def join(port: int, cookie: bytes = b"X: y", target: bytes = b"/ws") -> tuple[bytes, Message]:
    """Which server a WebSocket leads to, and the 101; then it is closed."""
    async with await connect(port) as client:
        await client.send(handshake(cookie, target=target))
        opened = await client.response()
        return (await receive_frame(client))[1], opened


def cookie_of(opened: Message) -> bytes:
    line = opened.field(b"set-cookie")
    assert line is not None
    return b"Cookie: " + line.partition(b";")[0]


@in_loop
async def test_a_binding_outlives_reloads_that_add_servers_and_change_the_route(tmp_path: Path) -> None:
    async with server(b"one") as one, server(b"two") as two, server(b"three") as three:
        lines = "sticky = cookie\nalgorithm = least-connections"
        before = http_route(one.port, two.port, lines=lines, section="websocket")
        async with spawned(tmp_path, before) as running:
            homes = [await join(running.port) for _ in range(6)]
            assert {name for name, _ in homes} == {b"one", b"two"}
            for after in (
                http_route(two.port, one.port, three.port, lines=lines, section="websocket"),
                http_route(two.port, one.port, three.port, lines=f"{lines}\nsticky_ttl = 1h", section="websocket"),
            ):
                rewrite(tmp_path, after)
                await reload(running)
                for name, opened in homes:
                    again, reopened = await join(running.port, cookie_of(opened))
                    assert (again, reopened.field(b"set-cookie")) == (name, None)
            rewrite(tmp_path, http_route(three.port, lines=lines, section="websocket"))
            await reload(running)
            name, reopened = await join(running.port, cookie_of(homes[0][1]))
            assert name == b"three"
            assert cookie_of(reopened) != cookie_of(homes[0][1])


@in_loop
async def test_a_binding_by_secret_or_by_hash_outlives_the_process(tmp_path: Path) -> None:
    async with server(b"one") as one, server(b"two") as two, server(b"three") as three:
        ports = (one.port, two.port, three.port)
        by_cookie = http_route(*ports, lines=f"sticky = cookie\n{SECRET}", section="websocket")
        by_query = http_route(*ports, lines="path_prefix = /q\nsticky = query:sid", section="websocket:q")
        targets = [b"/q?sid=%d" % number for number in range(12)]
        async with spawned(tmp_path, by_cookie + by_query) as running:
            home, opened = await join(running.port)
            homes = [(await join(running.port, target=target))[0] for target in targets]
        async with spawned(tmp_path, by_cookie + by_query) as running:
            again, reopened = await join(running.port, cookie_of(opened))
            assert (again, reopened.field(b"set-cookie")) == (home, None)
            assert [(await join(running.port, target=target))[0] for target in targets] == homes
        assert len(set(homes)) > 1
