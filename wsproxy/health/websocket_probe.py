"""What a WebSocket server is asked: handshake, Ping, Pong, Close 1000.

Knows a connected stream and the pure WebSocket package. The Pong is what counts: an event loop that hangs may still
have its kernel accept connections, but it answers no Ping.
"""

from __future__ import annotations

import base64
import os
from typing import Final

import anyio

from wsproxy import __version__
from wsproxy.config.model import Address
from wsproxy.http.codec import read_response_head
from wsproxy.http.messages import MalformedResponseError, ResponseHead, field_values
from wsproxy.net.stream import Stream
from wsproxy.ws.control import NORMAL, close_frame, ping_frame
from wsproxy.ws.frames import FrameScanner
from wsproxy.ws.handshake import accept_value

HEAD_BYTES: Final = 16 * 1024
"""What the head of the answer may take: the same as that of any other answer."""

PAYLOAD: Final = b"wsproxy-health"
"""What the Ping carries; one connection carries one."""


async def ask_websocket(stream: Stream, address: Address, path: str) -> str | None:
    """None when the server shook hands and answered a Ping, else why not, in words for a log line."""
    asked = f"WebSocket {path}"
    key = base64.b64encode(os.urandom(16))
    try:
        await stream.send(_handshake(address, path, key))
        head = await _read_head(stream)
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


def _handshake(address: Address, path: str, key: bytes) -> bytes:
    host = address.authority or ("localhost" if address.unix_path else str(address))
    lines = (
        f"GET {address.base_path}{path} HTTP/1.1",
        f"Host: {host}",
        f"User-Agent: wsproxy-health/{__version__}",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {key.decode()}",
    )
    return "".join(f"{line}\r\n" for line in (*lines, "")).encode()


async def _read_head(stream: Stream) -> ResponseHead:
    while True:
        found = read_response_head(stream.buffer, b"GET", HEAD_BYTES)
        if found is None:
            await stream.more()
            continue
        head, size = found
        stream.consume(size)
        if head.status >= 200 or head.status == 101:
            return head
