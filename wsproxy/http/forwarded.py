"""Who the client is: the identity fields sent upstream, and the address read back from those a trusted proxy sent.

Pure. A peer is an IP literal, or `unix:` for a unix socket; it is trusted when one of the configured networks holds it.
What an untrusted peer claims is overwritten. `Forwarded` (RFC 7239) is written only when a trusted peer sent one: it
would repeat X-Forwarded-*, and a server that reads two spellings of one fact can be made to read the wrong one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

IPNetwork = IPv4Network | IPv6Network
Claims = dict[bytes, bytes] | None

HOPS: Final = 64
"""Proxies believed to stand in a row at most; the nearest ones are kept of a longer list."""
CLAIM_BYTES: Final = 4096
"""What is read of a list of hops, from its near end: 64 IPv6 literals with ports are shorter."""

_sane_request_id: Final = re.compile(rb"[\x21-\x2b\x2d-\x7e]{1,128}").fullmatch  # a comma would be two ids
_sane_scheme: Final = re.compile(rb"(?i:https?|wss?)").fullmatch
_sane_host: Final = re.compile(rb"[A-Za-z0-9._~\-\[\]:]{1,255}").fullmatch
_forwarded_for: Final = re.compile(rb'(?i:(?:^|;)[ \t]*for)=(?:"([^"\\]*)"|([^";, \t]+))').search
_with_port: Final = re.compile(r"(?:\[([^\]]*)\]|([0-9.]+))(?::[0-9]{1,5})?").fullmatch


def is_trusted(peer: str, trusted: Sequence[IPNetwork]) -> bool:
    """Whether one of the networks holds the peer; never so for a unix socket or what is no address."""
    if not trusted:
        return False
    address = _address(peer)
    return address is not None and any(address in network for network in trusted)


def identity_fields(
    claims: Claims, peer: str, scheme: str, authority: bytes, trusted: Sequence[IPNetwork], request_id: bytes
) -> bytes:
    """Canonical lines X-Forwarded-For, -Proto, -Host (where there is an authority) and X-Request-ID.

    From a trusted peer, For and Forwarded are appended to; Proto, Host and the request id are kept where they make
    sense, since they describe the first hop and servers expect one value.
    """
    address = _shown(peer)
    if claims is None or not is_trusted(peer, trusted):
        return _lines(address, scheme.encode(), authority, request_id)
    hops = [*_hops(claims.get(b"x-forwarded-for", b""))[1 - HOPS :], address]
    claimed_scheme = claims.get(b"x-forwarded-proto", b"")
    claimed_host = claims.get(b"x-forwarded-host", b"")
    lines = _lines(
        b", ".join(hops),
        claimed_scheme if _sane_scheme(claimed_scheme) else scheme.encode(),
        claimed_host if _sane_host(claimed_host) else authority,
        believed_request_id(claims, peer, trusted, request_id),
    )
    if b"forwarded" not in claims:
        return lines
    elements = [*_hops(claims[b"forwarded"])[1 - HOPS :], _forwarded_element(address, scheme, authority)]
    return lines + b"Forwarded: %b\r\n" % b", ".join(elements)


def believed_request_id(claims: Claims, peer: str, trusted: Sequence[IPNetwork], fresh: bytes) -> bytes:
    """The request id that logs and upstream share: a trusted peer's own if it is usable, else `fresh`."""
    if claims is not None and is_trusted(peer, trusted):
        claimed = claims.get(b"x-request-id", b"")
        if _sane_request_id(claimed):
            return claimed
    return fresh


def client_address(claims: Claims, peer: str, trusted: Sequence[IPNetwork]) -> str:
    """The nearest address that is not a trusted proxy, walking the claimed hops from right to left.

    The walk ends at the first hop that is no address: what stands left of it cannot be relied on.
    """
    client = peer
    if claims is None or not is_trusted(peer, trusted):
        return client
    for hop in _claimed_addresses(claims):
        if hop is None:
            break
        client = str(hop)
        if not any(hop in network for network in trusted):
            break
    return client


def client_scheme(claims: Claims, peer: str, scheme: str, trusted: Sequence[IPNetwork]) -> str:
    """What the client uses, http or https: a trusted peer's word, else that of our own listener."""
    if claims is None or not is_trusted(peer, trusted):
        return scheme
    claimed = claims.get(b"x-forwarded-proto", b"").lower()
    return {b"http": "http", b"https": "https", b"ws": "http", b"wss": "https"}.get(claimed, scheme)


def _claimed_addresses(claims: dict[bytes, bytes]) -> Iterator[IPv4Address | IPv6Address | None]:
    """The hops from the nearest on; X-Forwarded-For before Forwarded, as it is what proxies really send."""
    if b"x-forwarded-for" in claims:
        for hop in reversed(_hops(claims[b"x-forwarded-for"])):
            yield _address(hop.decode("latin-1"))
        return
    for element in reversed(_hops(claims.get(b"forwarded", b""))):
        match = _forwarded_for(element)
        yield _address((match[1] or match[2] or b"").decode("latin-1")) if match else None


def _hops(value: bytes) -> list[bytes]:
    """The last elements of a list, never more than HOPS; one that CLAIM_BYTES cuts through is left out."""
    near = value[-CLAIM_BYTES:]
    elements = near.split(b",")
    if len(near) < len(value):
        del elements[0]
    stripped = (element.strip(b" \t") for element in elements[-HOPS:])
    return [element for element in stripped if element]


def _address(text: str) -> IPv4Address | IPv6Address | None:
    """An address out of `1.2.3.4`, `1.2.3.4:80`, `::1`, `[::1]` or `[::1]:80`; IPv4 in IPv6 becomes IPv4."""
    match = _with_port(text)
    if match is not None:
        text = match[1] or match[2] or ""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address.scope_id is not None:  # the name of an interface says nothing outside this host
            return IPv6Address(int(address))
    return address


def _shown(peer: str) -> bytes:
    """The peer as others may read it; plain IPv4, nearly all there is, costs no parsing."""
    if ":" not in peer:
        return peer.encode("ascii", "replace")
    address = _address(peer)
    return b"unknown" if address is None else str(address).encode()


def _lines(hops: bytes, scheme: bytes, authority: bytes, request_id: bytes) -> bytes:
    if not authority:
        return b"X-Forwarded-For: %b\r\nX-Forwarded-Proto: %b\r\nX-Request-ID: %b\r\n" % (hops, scheme, request_id)
    return b"X-Forwarded-For: %b\r\nX-Forwarded-Proto: %b\r\nX-Forwarded-Host: %b\r\nX-Request-ID: %b\r\n" % (
        hops,
        scheme,
        authority,
        request_id,
    )


def _forwarded_element(address: bytes, scheme: str, authority: bytes) -> bytes:
    """RFC 7239 section 4 and 6: an IPv6 address stands in brackets and quotes, a host in quotes."""
    node = b'"[%b]"' % address if b":" in address else address
    element = b"for=%b;proto=%b" % (node, scheme.encode())
    return element + b';host="%b"' % authority if authority else element
