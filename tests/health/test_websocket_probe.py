"""The WebSocket probe against real servers on loopback."""

from __future__ import annotations

import base64
import hashlib
import re

import anyio
import pytest
from anyio.abc import SocketAttribute, SocketStream
from websockets.asyncio.server import ServerConnection, serve

from wsproxy.config.build import load
from wsproxy.config.group_settings import Address, HealthSettings
from wsproxy.health.probe import probe

HEALTH = HealthSettings(path="/live", kind="websocket", timeout_s=20)
REFUSED = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"


def accepted(request: bytes) -> bytes:
    """The 101 to a handshake."""
    key = re.search(rb"Sec-WebSocket-Key: (\S+)", request)
    assert key is not None
    value = base64.b64encode(hashlib.sha1(key[1] + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Accept: %b\r\n\r\n" % value
    )


def ask(answer: bytes | None, behind: bytes = b"") -> str | None:
    """The outcome of a probe of a server that answers so; None: with a right 101 and `behind`."""

    async def handle(stream: SocketStream) -> None:
        async with stream:
            request = await stream.receive()
            await stream.send((accepted(request) if answer is None else answer) + behind)

    async def main() -> str | None:
        listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
        async with listener, anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, handle)
            address = Address(host="127.0.0.1", port=listener.extra(SocketAttribute.local_port))
            outcome = await probe(address, HEALTH)
            tasks.cancel_scope.cancel()
        return outcome

    return anyio.run(main)


def test_a_server_that_answers_the_ping_is_well_and_is_closed_orderly() -> None:
    closes: list[int | None] = []
    paths: list[str] = []

    async def handler(connection: ServerConnection) -> None:
        assert connection.request is not None
        paths.append(connection.request.path)
        await connection.send("something else first")
        await connection.wait_closed()
        closes.append(connection.close_code)

    async def main() -> str | None:
        async with serve(handler, "127.0.0.1", 0) as server:
            return await probe(Address("127.0.0.1", next(iter(server.sockets)).getsockname()[1]), HEALTH)

    assert anyio.run(main) is None
    assert (paths, closes) == (["/live"], [1000])


@pytest.mark.parametrize(
    ("answer", "behind", "reason"),
    [
        (REFUSED, b"", "WebSocket /live answered 403"),
        (b"HTTP/1.1 101 Hm\r\nUpgrade: websocket\r\n\r\n", b"", "wrong Sec-WebSocket-Accept"),
        (b"SSH-2.0\r\n\r\n", b"", "answered what is not HTTP"),
        (None, b"", "the connection ended before the pong"),
        (None, b"\x88\x02\x03\xf5", "closed with 1013, without a pong"),
    ],
)
def test_why_a_server_is_not_well(answer: bytes | None, behind: bytes, reason: str) -> None:
    outcome = ask(answer, behind)
    assert outcome is not None
    assert reason in outcome


def test_the_server_may_end_without_a_close_of_its_own() -> None:
    assert ask(None, b"\x8a\x0ewsproxy-health") is None


def test_the_key_that_chooses_it() -> None:
    text = "[frontend]\nport = 1\n[websocket]\nserver1 = a:1\nenable_health_check = yes\nhealth_check_type = websocket"
    (group,) = load(text, "proxy.ini", {}, "/").groups
    assert (group.health.kind, group.health.path) == ("websocket", "/healthCheck")
