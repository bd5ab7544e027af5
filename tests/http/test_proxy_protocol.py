"""PROXY headers: what is announced, what is refused, and that never a byte behind the header is asked for."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsproxy.http.proxy_protocol import (
    SHORTEST_BYTES,
    SIGNATURE,
    V1_BYTES,
    ProxyHeaderError,
    announced_peer,
    missing_bytes,
)

IPV4 = st.ip_addresses(v=4)
IPV6 = st.ip_addresses(v=6)
LONGEST = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fff0"
PORTS = st.integers(0, 65535)


def read(stream: bytes, step: int | None = None) -> tuple[bytes, bytes]:
    """The header at the start of a stream, read as from a socket that gives at most `step` bytes; and what follows."""
    at = min(SHORTEST_BYTES, step or SHORTEST_BYTES)
    while missing := missing_bytes(stream[:at]):
        if at == len(stream):
            raise EOFError
        at = min(at + min(missing, step or missing), len(stream))
    return stream[:at], stream[at:]


def v1(family: str, source: object, destination: object, source_port: object = 1, port: object = 2) -> bytes:
    return f"PROXY {family} {source} {destination} {source_port} {port}\r\n".encode()


def v2(command: int, family: int, payload: bytes) -> bytes:
    return SIGNATURE + bytes((command, family)) + len(payload).to_bytes(2, "big") + payload


def addresses(source: IPv4Address | IPv6Address, destination: IPv4Address | IPv6Address) -> bytes:
    return source.packed + destination.packed + b"\x00\x01\x00\x02"


@pytest.mark.parametrize(
    ("header", "peer"),
    [
        (v1("TCP4", "192.0.2.1", "198.51.100.7", 56324, 443), "192.0.2.1"),
        (v1("TCP4", "255.255.255.255", "255.255.255.255", 65535, 65535), "255.255.255.255"),
        (v1("TCP4", "1.1.1.1", "2.2.2.2", 0, 0), "1.1.1.1"),
        (v1("TCP6", "2001:DB8::1", "::1"), "2001:db8::1"),
        (v1("TCP6", LONGEST, LONGEST, 65535, 65535), f"{'ffff:' * 7}fff0"),
        (v1("TCP6", "::ffff:192.0.2.1", "::1"), "192.0.2.1"),
        (b"PROXY UNKNOWN\r\n", None),
        (b"PROXY UNKNOWN ffff::1 what ever\r\n", None),
        (b"PROXY UNKNOWN " + b"x" * (V1_BYTES - 16) + b"\r\n", None),
        (v2(0x20, 0x00, b""), None),
        (v2(0x20, 0xFF, b"what ever"), None),
        (v2(0x21, 0x00, b""), None),
        (v2(0x21, 0x31, b"/a".ljust(108, b"\0") * 2), None),
        (v2(0x21, 0x11, addresses(IPv4Address("192.0.2.1"), IPv4Address(2))), "192.0.2.1"),
        (v2(0x21, 0x11, addresses(IPv4Address("192.0.2.1"), IPv4Address(2)) + b"\x04\x00\x02xx"), "192.0.2.1"),
        (v2(0x21, 0x21, addresses(IPv6Address("2001:db8::1"), IPv6Address(2))), "2001:db8::1"),
        (v2(0x21, 0x21, addresses(IPv6Address("::ffff:192.0.2.1"), IPv6Address(2))), "192.0.2.1"),
        (v2(0x21, 0x21, addresses(IPv6Address(1), IPv6Address(2)) + b"\x01" * (4080 - 36)), "::1"),
    ],
)
@pytest.mark.parametrize("step", [None, 1, 7])
def test_what_is_announced(header: bytes, peer: str | None, step: int | None) -> None:
    assert read(header + b"GET / HTTP/1.1\r\n", step) == (header, b"GET / HTTP/1.1\r\n")
    assert announced_peer(header) == peer


@pytest.mark.parametrize(
    ("stream", "reason"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\n", "no PROXY header"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "no PROXY header"),
        (b"proxy TCP4 1.1.1.1 2.2.2.2 1 2\r\n", "no PROXY header"),
        (b"\r\n\r\n\x00\r\nQUIX\n", "no PROXY header"),
        (b"PROXY\tTCP4 1.1.1.1 2.2.2.2 1 2\r\n", "no PROXY header"),
        (b"PROXY TCP5 1.1.1.1 2.2.2.2 1 2\r\n", "not a PROXY line"),
        (b"PROXY  TCP4 1.1.1.1 2.2.2.2 1 2\r\n", "not a PROXY line"),
        (b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2 3\r\n", "not a PROXY line"),
        (b"PROXY TCP4 1.1.1.1 2.2.2.2 1\r\n", "not a PROXY line"),
        (b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2 \r\n", "not a PROXY line"),
        (b"PROXY UNKNOWNER\r\n", "not a PROXY line"),
        (b"PROXY TCP4 1.1.1.1 2.2.2.2 1 65536\r\n", "not a port"),
        (b"PROXY TCP4 1.1.1.1 2.2.2.2 01 2\r\n", "not a port"),
        (b"PROXY TCP4 1.1.1.1 2.2.2.2 -1 2\r\n", "not a port"),
        (b"PROXY TCP4 1.1.1 2.2.2.2 1 2\r\n", "not a TCP4 address"),
        (b"PROXY TCP4 01.1.1.1 2.2.2.2 1 2\r\n", "not a TCP4 address"),
        (b"PROXY TCP4 ::1 ::1 1 2\r\n", "not a TCP4 address"),
        (b"PROXY TCP6 1.1.1.1 2.2.2.2 1 2\r\n", "not a TCP6 address"),
        (b"PROXY TCP6 ::1 nonsense 1 2\r\n", "not a TCP6 address"),
        (b"PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n", "zone"),
        (b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2\n" + b"x" * 200, "broken line end"),
        (b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2\rx\r\n", "broken line end"),
        (b"PROXY UNKNOWN " + b"x" * 200, "line too long"),
        (v2(0x22, 0x11, b"\0" * 12), "version and command 0x22"),
        (v2(0x11, 0x11, b"\0" * 12), "version and command 0x11"),
        (v2(0x21, 0x12, b"\0" * 12), "family 0x12"),
        (v2(0x21, 0x11, b"\0" * 11), "addresses cut off"),
        (v2(0x21, 0x21, b"\0" * 35), "addresses cut off"),
        (v2(0x21, 0x31, b"\0" * 215), "addresses cut off"),
        (v2(0x21, 0x11, b"\0" * 4081), "4081 bytes announced"),
    ],
)
@pytest.mark.parametrize("step", [None, 1])
def test_what_is_refused(stream: bytes, reason: str, step: int | None) -> None:
    with pytest.raises(ProxyHeaderError, match=reason):
        announced_peer(read(stream, step)[0])


def test_what_cannot_become_a_header_is_refused_at_its_first_byte() -> None:
    with pytest.raises(ProxyHeaderError):
        missing_bytes(b"G")
    assert missing_bytes(b"P") > 0
    assert missing_bytes(b"\r") > 0


@given(pair=st.one_of(st.tuples(IPV4, IPV4), st.tuples(IPV6, IPV6)), ports=st.tuples(PORTS, PORTS), data=st.data())
def test_every_address_is_read_back_for_any_chunking(
    pair: tuple[IPv4Address | IPv6Address, IPv4Address | IPv6Address], ports: tuple[int, int], data: st.DataObject
) -> None:
    family = pair[0].version
    first = v1(f"TCP{family}", pair[0], pair[1], *ports)
    second = v2(0x21, 0x11 if family == 4 else 0x21, addresses(*pair) + data.draw(st.binary(max_size=40)))
    mapped = getattr(pair[0], "ipv4_mapped", None)
    for header in (first, second):
        rest = data.draw(st.binary(max_size=20))
        assert read(header + rest, data.draw(st.integers(1, 64))) == (header, rest)
        assert ip_address(announced_peer(header) or "") == (mapped or pair[0])


@given(st.one_of(st.binary(max_size=300), st.binary(max_size=300).map(lambda tail: b"PROXY TCP4 " + tail)))
def test_anything_else_is_refused_or_bounded(stream: bytes) -> None:
    """No input raises anything but ProxyHeaderError, and none is read for longer than the bounds."""
    try:
        header, _ = read(stream)
        announced_peer(header)
    except (ProxyHeaderError, EOFError):
        return
    assert len(header) <= (4096 if header.startswith(SIGNATURE) else V1_BYTES)


@given(st.binary(max_size=30), st.integers(0, 107))
def test_a_cut_header_always_lacks_something(rest: bytes, cut: int) -> None:
    header = b"PROXY TCP6 2001:db8:ffff:ffff:ffff:ffff:ffff:fff1 2001:db8:ffff:ffff:ffff:ffff:ffff:fff2 65535 65534\r\n"
    received = header[: min(cut, len(header) - 1)]
    assert 0 < missing_bytes(received) <= max(len(header) - len(received), SHORTEST_BYTES - len(received))
