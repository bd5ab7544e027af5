"""WebSocket frames on raw connections: handshakes and frames by hand, from either end.

Knows RFC 6455 as far as the tests need it, and nothing of the product.
"""

from __future__ import annotations

import base64
import hashlib
import re
import struct

from tests.integration.harness import Message, Script, Wire, connect

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
MASK = b"\x11\x22\x33\x44"

Received = tuple[int, bytes]


def frame(opcode: int, payload: bytes = b"", masked: bool = False, fin: bool = True) -> bytes:
    """One frame."""
    flag = 0x80 if masked else 0
    head = bytes([opcode | (0x80 if fin else 0)])
    if len(payload) < 126:
        head += bytes([len(payload) | flag])
    elif len(payload) < 65536:
        head += struct.pack("!BH", 126 | flag, len(payload))
    else:
        head += struct.pack("!BQ", 127 | flag, len(payload))
    return head + MASK + xor(payload, MASK) if masked else head + payload


def close(code: int | None = None, reason: bytes = b"", masked: bool = False) -> bytes:
    """A Close frame; without a code an empty one."""
    return frame(CLOSE, b"" if code is None else struct.pack("!H", code) + reason, masked)


def xor(payload: bytes, mask: bytes) -> bytes:
    """Mask or unmask a payload, as one large number."""
    length = len(payload)
    key = (mask * (length // 4 + 1))[:length]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")).to_bytes(length, "big")


def handshake(*lines: bytes, target: bytes = b"/ws") -> bytes:
    """A good opening handshake with more field lines."""
    fields = (b"Host: a", b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13", *lines)
    return b"GET %b HTTP/1.1\r\n%b\r\nSec-WebSocket-Key: %b\r\n\r\n" % (target, b"\r\n".join(fields), KEY)


def acceptance(request: bytes, *lines: bytes) -> bytes:
    """The 101 to an opening handshake with more field lines."""
    key = re.search(rb"(?i)sec-websocket-key: *(\S+)", request)
    assert key is not None
    accept = base64.b64encode(hashlib.sha1(key[1] + GUID).digest())
    fields = b"".join(line + b"\r\n" for line in (b"Sec-WebSocket-Accept: " + accept, *lines))
    return b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n%b\r\n" % fields


async def accept(wire: Wire, early: bytes = b"") -> Message:
    """Take the upstream's part in a handshake, with frames right behind the 101; the request is returned."""
    request = await wire.request()
    await wire.send(acceptance(request.head) + early)
    return request


async def open_websocket(port: int, early: bytes = b"") -> Wire:
    """A client's WebSocket, with frames right behind its handshake."""
    client = await connect(port)
    await client.send(handshake() + early)
    assert (await client.response()).status == 101
    return client


async def receive_frame(wire: Wire) -> Received:
    """The next frame's opcode and payload."""
    first, second = await wire.exactly(2)
    length = second & 0x7F
    if length == 126:
        (length,) = struct.unpack("!H", await wire.exactly(2))
    elif length == 127:
        (length,) = struct.unpack("!Q", await wire.exactly(8))
    mask = await wire.exactly(4) if second & 0x80 else b""
    payload = await wire.exactly(length)
    return first & 0x0F, xor(payload, mask) if mask else payload


async def echo(wire: Wire) -> None:
    """A server's script: every frame comes back; a Close is echoed and ends the connection."""
    await accept(wire)
    while True:
        opcode, payload = await receive_frame(wire)
        await wire.send(frame(PONG if opcode == PING else opcode, payload))
        if opcode == CLOSE:
            return


def closing(code: int) -> Received:
    """What `receive_frame` returns for a Close with this code and no reason."""
    return CLOSE, struct.pack("!H", code)


def then(*pieces: bytes) -> Script:
    """A server's script: accept, send these pieces, then read until the end."""

    async def script(wire: Wire) -> None:
        await accept(wire)
        await wire.send(*pieces)
        await wire.rest()

    return script
