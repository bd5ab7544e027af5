"""As much of RFC 6455 as a load needs: the accept key, and whole frames to and from bytes.

Pure, and no judge of correctness: fragments and extensions are not understood. The load masks with a key of zeros,
which every proxy must pass on like any other and which makes the masked payload the payload.
"""

from __future__ import annotations

import base64
import hashlib

BINARY, CLOSE, PING, PONG = 0x2, 0x8, 0x9, 0xA
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 section 1.3
ZERO_KEY = bytes(4)


def accept_key(key: bytes) -> bytes:
    """The Sec-WebSocket-Accept that answers this Sec-WebSocket-Key (RFC 6455 section 4.2.2)."""
    return base64.b64encode(hashlib.sha1(key + GUID).digest())


def encode_frame(opcode: int, payload: bytes, *, masked: bool = False) -> bytes:
    """One final frame (RFC 6455 section 5.2); masked frames carry a key of zeros."""
    mask_bit, key = (0x80, ZERO_KEY) if masked else (0, b"")
    size = len(payload)
    first = bytes([0x80 | opcode])
    if size < 126:
        return first + bytes([mask_bit | size]) + key + payload
    if size < 65536:
        return first + bytes([mask_bit | 126]) + size.to_bytes(2, "big") + key + payload
    return first + bytes([mask_bit | 127]) + size.to_bytes(8, "big") + key + payload


def scan_frame(data: bytes) -> tuple[int, bytes, int] | None:
    """Opcode, unmasked payload and length of the frame that `data` starts with; None while it is incomplete."""
    if len(data) < 2:
        return None
    size, start = data[1] & 127, 2
    if size >= 126:
        start = 4 if size == 126 else 10
        size = int.from_bytes(data[2:start], "big")  # wrong if bytes are missing, but then `end` is missing too
    key = ZERO_KEY
    if data[1] & 0x80:
        key = data[start : start + 4]
        start += 4
    end = start + size
    if len(data) < end:
        return None
    payload = data[start:end]
    return data[0] & 15, payload if key == ZERO_KEY else unmask(payload, key), end


def unmask(payload: bytes, key: bytes) -> bytes:
    """`payload` with the four bytes of `key` laid over it again and again (RFC 6455 section 5.3)."""
    size = len(payload)
    pattern = (key * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(pattern, "big")).to_bytes(size, "big")
