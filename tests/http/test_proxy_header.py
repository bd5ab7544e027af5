"""PROXY headers that are written: the specification's bytes, and that what reads them understands them."""

from __future__ import annotations

from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsproxy.http.proxy_header import Endpoint, proxy_header
from wsproxy.http.proxy_protocol import announced_peer, announced_port, missing_bytes

ADDRESSES = st.ip_addresses().map(str)
PORTS = st.integers(0, 65535)
Version = Literal["v1", "v2"]
VERSIONS: tuple[Version, ...] = ("v1", "v2")


@pytest.mark.parametrize(
    ("version", "client", "ours", "header"),
    [
        ("v1", ("192.0.2.1", 56324), ("198.51.100.7", 443), b"PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\n"),
        ("v1", ("2001:db8::1", 1), ("::1", 2), b"PROXY TCP6 2001:db8::1 ::1 1 2\r\n"),
        ("v1", ("fe80::1%eth0", 1), ("fe80::2%eth0", 2), b"PROXY TCP6 fe80::1 fe80::2 1 2\r\n"),
        ("v1", ("::ffff:192.0.2.1", 1), ("::ffff:10.0.0.1", 2), b"PROXY TCP4 192.0.2.1 10.0.0.1 1 2\r\n"),
        ("v1", ("", 0), ("", 0), b"PROXY UNKNOWN\r\n"),
        (
            "v2",
            ("192.0.2.1", 258),
            ("198.51.100.7", 772),
            b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x01\xc6\x33\x64\x07\x01\x02\x03\x04",
        ),
        ("v2", ("", 0), ("", 0), b"\r\n\r\n\x00\r\nQUIT\n\x21\x00\x00\x00"),
    ],
)
def test_bytes(version: Version, client: Endpoint, ours: Endpoint, header: bytes) -> None:
    written = proxy_header(version, client, ours)
    assert written == header


@given(version=st.sampled_from(VERSIONS), client=ADDRESSES, ours=ADDRESSES, port=PORTS, our_port=PORTS)
def test_what_is_written_is_read(version: Version, client: str, ours: str, port: int, our_port: int) -> None:
    header = proxy_header(version, (client, port), (ours, our_port))
    assert missing_bytes(header) == 0
    assert announced_port(header) == port
    spelled = announced_peer(header)
    assert spelled is not None
    assert announced_peer(proxy_header(version, (spelled, port), (ours, our_port))) == spelled
