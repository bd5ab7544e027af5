"""The PROXY header, versions 1 and 2: the client's address as a proxy in front of us announces it.

Pure, strict, bounded; the specification is HAProxy's `proxy-protocol.txt` (sections 2.1 and 2.2). Bytes go in as they
come, and `missing_bytes` says how many more may be taken from the socket without touching what follows the header.
Nothing is guessed: whoever calls this has decided that there must be a header. TLVs are skipped.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address
from typing import Final

SIGNATURE: Final = b"\r\n\r\n\x00\r\nQUIT\n"
"""The first twelve bytes of version 2, which no HTTP, TLS or text protocol begins with."""
PREFIX: Final = b"PROXY "
V1_BYTES: Final = 107
"""The longest line of version 1, with its line end (section 2.1)."""
V2_HEAD_BYTES: Final = 16
V2_PAYLOAD_BYTES: Final = 4096 - V2_HEAD_BYTES
"""Addresses take 36 bytes at most; TLVs with a client's certificate name or a cloud's ids stay far below this."""
SHORTEST_BYTES: Final = len(b"PROXY UNKNOWN\r\n")
"""Of either version: so much can be read at first without touching what follows."""

_V1_FIELDS: Final = 6  # PROXY, family, two addresses, two ports
_port: Final = re.compile(r"0|[1-9][0-9]{0,4}").fullmatch
_HIGHEST_PORT: Final = 65535

_LOCAL: Final = 0x20
_PROXY: Final = 0x21
_TCP4: Final = 0x11
_TCP6: Final = 0x21
_KEEPS_PEER: Final = frozenset({0x00, 0x31})  # unspecified; a unix socket, which has no address to speak of
_ADDRESS_BYTES: Final = {_TCP4: 12, _TCP6: 36, 0x00: 0, 0x31: 216}


class ProxyHeaderError(Exception):
    """What came is not a PROXY header; str() says why, for the log. The connection must be closed without an answer."""


def missing_bytes(received: bytes) -> int:
    """How many bytes the header lacks at least; 0 when it is whole and nothing was taken behind it.

    Raises ProxyHeaderError as soon as no further byte can make a header of it.
    """
    if received[: len(SIGNATURE)] == SIGNATURE[: len(received)]:
        return _missing_v2(received)
    if received[: len(PREFIX)] != PREFIX[: len(received)]:
        raise ProxyHeaderError("no PROXY header")
    return _missing_v1(received)


def announced_peer(header: bytes) -> str | None:
    """The client's address in a whole header; None where the socket's own peer stays (UNKNOWN, LOCAL).

    An IPv4 address that came as IPv6 is written as IPv4, so that a client has one spelling. Raises ProxyHeaderError.
    """
    return _announced_v2(header) if header.startswith(SIGNATURE) else _announced_v1(header)


def announced_port(header: bytes) -> int:
    """The client's port in a header that `announced_peer` has found an address in."""
    if not header.startswith(SIGNATURE):
        return int(header.split(b" ")[4])
    start = V2_HEAD_BYTES + (8 if header[13] == _TCP4 else 32)
    return int.from_bytes(header[start : start + 2], "big")


def _missing_v1(received: bytes) -> int:
    if received.endswith(b"\r\n"):
        return 0
    if len(received) >= V1_BYTES:
        raise ProxyHeaderError("line too long")
    line = received.removesuffix(b"\r")
    if b"\r" in line or b"\n" in line:
        raise ProxyHeaderError("broken line end")
    line_end = 2 if line is received else 1
    fields = received.count(b" ") + 1
    if received.startswith(b"PROXY UNKNOWN"[: len(received)]):
        at_least = max(len(b"PROXY UNKNOWN") - len(line), 0)
    else:
        at_least = 2 * max(_V1_FIELDS - fields, 0)  # a space and one character for each field to come
    return at_least + line_end


def _announced_v1(header: bytes) -> str | None:
    words = header.removesuffix(b"\r\n").decode("latin-1").split(" ")
    if words[1] == "UNKNOWN":
        return None  # whatever follows it is to be ignored
    if len(words) != _V1_FIELDS or words[1] not in {"TCP4", "TCP6"}:
        raise ProxyHeaderError("not a PROXY line")
    family = IPv4Address if words[1] == "TCP4" else IPv6Address
    if not all(_port(port) and int(port) <= _HIGHEST_PORT for port in words[4:]):
        raise ProxyHeaderError("not a port")
    try:
        source, _ = family(words[2]), family(words[3])
    except ValueError:
        raise ProxyHeaderError(f"not a {words[1]} address") from None
    if "%" in words[2] or "%" in words[3]:
        raise ProxyHeaderError("an address with a zone, which means nothing here")
    return _spelled(source)


def _missing_v2(received: bytes) -> int:
    if len(received) < V2_HEAD_BYTES:
        return V2_HEAD_BYTES - len(received)
    size = int.from_bytes(received[14:16], "big")
    if size > V2_PAYLOAD_BYTES:
        raise ProxyHeaderError(f"{size} bytes announced")
    return max(V2_HEAD_BYTES + size - len(received), 0)


def _announced_v2(header: bytes) -> str | None:
    command, family = header[12], header[13]
    if command == _LOCAL:
        return None
    if command != _PROXY:
        raise ProxyHeaderError(f"unknown version and command {command:#x}")
    if family not in _ADDRESS_BYTES:
        raise ProxyHeaderError(f"unexpected family {family:#x}")
    payload = header[V2_HEAD_BYTES:]
    if len(payload) < _ADDRESS_BYTES[family]:
        raise ProxyHeaderError("addresses cut off")
    if family in _KEEPS_PEER:
        return None
    return _spelled(IPv4Address(payload[:4]) if family == _TCP4 else IPv6Address(payload[:16]))


def _spelled(address: IPv4Address | IPv6Address) -> str:
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(address)
