"""The PROXY header, versions 1 and 2, as it is written for a server behind us (HAProxy's `proxy-protocol.txt`).

Pure. What is read of one that comes in stands in `proxy_protocol`.
"""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final, Literal

from wsproxy.http.proxy_protocol import SIGNATURE

Endpoint = tuple[str, int]
"""An address without zone and a port; ("", 0) where there is none to speak of, as of a unix socket."""

_UNKNOWN_V1: Final = b"PROXY UNKNOWN\r\n"
_UNSPECIFIED_V2: Final = SIGNATURE + b"\x21\x00\x00\x00"
_V4: Final = SIGNATURE + b"\x21\x11" + struct.pack("!H", 12)
_V6: Final = SIGNATURE + b"\x21\x21" + struct.pack("!H", 36)


def proxy_header(version: Literal["v1", "v2"], client: Endpoint, ours: Endpoint) -> bytes:
    """The header that tells a server of a client and of the address it connected to (sections 2.1 and 2.2).

    An IPv4 and an IPv6 address together are both written as IPv6.
    """
    if not client[0] or not ours[0]:
        return _UNKNOWN_V1 if version == "v1" else _UNSPECIFIED_V2
    source, target = _one_family(_address(client[0]), _address(ours[0]))
    if version == "v1":
        family = "TCP4" if source.version == 4 else "TCP6"
        return f"PROXY {family} {source} {target} {client[1]} {ours[1]}\r\n".encode("ascii")
    ports = struct.pack("!HH", client[1], ours[1])
    return (_V4 if source.version == 4 else _V6) + source.packed + target.packed + ports


def _address(written: str) -> IPv4Address | IPv6Address:
    address = ip_address(written.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return address if mapped is None else mapped


def _one_family(
    source: IPv4Address | IPv6Address, target: IPv4Address | IPv6Address
) -> tuple[IPv4Address | IPv6Address, IPv4Address | IPv6Address]:
    if source.version == target.version:
        return source, target
    return _as_v6(source), _as_v6(target)


def _as_v6(address: IPv4Address | IPv6Address) -> IPv6Address:
    return address if isinstance(address, IPv6Address) else IPv6Address(f"::ffff:{address}")
