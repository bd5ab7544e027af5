"""What a WebSocket server is asked: handshake, Ping, Pong, Close 1000.

Knows a connected stream and the pure WebSocket package. The Pong is what counts: an event loop that hangs may still
have its kernel accept connections, but it answers no Ping.
"""

from __future__ import annotations

import base64
import os
from typing import Final

import anyio

from wsproxy.config.group_settings import Address
from wsproxy.health.asking import ask
from wsproxy.http.messages import MalformedResponseError, field_values
from wsproxy.net.stream import Stream
from wsproxy.ws.control import NORMAL, close_frame, ping_frame
from wsproxy.ws.frames import FrameScanner
from wsproxy.ws.handshake import accept_value

PAYLOAD: Final = b"wsproxy-health"
"""What the Ping carries; one connection carries one."""


async def ask_websocket(stream: Stream, address: Address, path: str) -> str | None:
    """None when the server shook hands and answered a Ping, else why not, in words for a log line."""
    asked = f"WebSocket {path}"
    key = base64.b64encode(os.urandom(16))
    try:
        head = await ask(stream, address, path, _handshake(key))
        if head.status != 101:
            return f"{asked} answered {head.status}"
        if field_values(head.fields, b"Sec-WebSocket-Accept") != [accept_value(key)]:
            return f"{asked} answered with a wrong Sec-WebSocket-Accept"
        return await _ping(stream, asked)
    except (anyio.EndOfStream, anyio.BrokenResourceError):
        return f"{asked}: the connection ended before the pong"
    except MalformedResponseError as error:
        return f"{asked} answered what is not HTTP: {error}"


async def _ping(stream: Stream, asked: str) -> str | None:
    """Wait for the Pong among whatever else the server says; then close, and see the server close too."""
    scanner = FrameScanner(side="upstream")
    scanner.expected_pong = PAYLOAD
    await stream.send(ping_frame(PAYLOAD, os.urandom(4)))
    while not scanner.pongs_swallowed:
        if scanner.close_seen:
            return f"{asked}: closed with {scanner.close_code}, without a pong"
        scanner.feed(await stream.receive())
    try:
        await stream.send(close_frame(NORMAL, "", os.urandom(4)))
        while not scanner.close_seen:
            scanner.feed(await stream.receive())
    except (anyio.EndOfStream, anyio.BrokenResourceError):
        pass  # it lives, however it says goodbye
    return None


def _handshake(key: bytes) -> tuple[str, ...]:
    """The fields that ask for a WebSocket."""
    return (
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {key.decode()}",
    )
