"""What holds for any ini file, any claim of an identity, any PROXY header, any Accept."""

from __future__ import annotations

from contextlib import suppress
from ipaddress import ip_address, ip_network
from typing import Final

import h11

from wsproxy.config import reader
from wsproxy.config.build import load
from wsproxy.config.errors import ConfigError
from wsproxy.http.forwarded import HOPS, client_address, identity_fields
from wsproxy.http.proxy_protocol import ProxyHeaderError, announced_peer, missing_bytes
from wsproxy.http.replies import REASONS, error_reply, preferred_type

TRUSTED: Final = (ip_network("10.0.0.0/8"), ip_network("::/64"))
NAMES: Final = (b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"forwarded", b"x-request-id")
PEERS: Final = ("10.0.0.1", "192.0.2.1", "::1", "2001:db8::1", "unix:")
STATUSES: Final = sorted(status for status in REASONS if status >= 400)


def fuzz_ini(data: bytes) -> None:
    """An ini file: it is read, or every problem has a place in it; never anything else, and twice the same."""
    document = reader.read(data, "a.ini", {"HOME": "/x", "PORT": "80", "EMPTY": "", "LINES": "a\nb = c"})
    lines = [line.decode(errors="replace") for line in data.split(b"\n")]
    for problem in document.problems:
        assert 1 <= problem.line <= len(lines)
        assert 1 <= problem.column <= len(lines[problem.line - 1]) + 1
    assert _load(data) == _load(data)


def _load(data: bytes) -> object:
    try:
        return load(data, "a.ini", {"HOME": "/x"}, "/etc")
    except ConfigError as error:
        problems = error.problems
    assert problems
    assert all(problem.message and problem.line >= 1 and problem.column >= 1 for problem in problems)
    return problems


def fuzz_forwarded(data: bytes) -> None:
    """What peers claim of a client: only trusted ones are believed, and no value makes a line of its own."""
    if len(data) < 2:
        return
    peer = PEERS[data[0] % len(PEERS)]
    claims = {name: _as_field_value(value) for name, value in zip(NAMES, data[2:].split(b"\n"), strict=False) if value}
    authority = b"site.example" if data[1] & 1 else b""
    lines = identity_fields(claims or None, peer, "http", authority, TRUSTED, b"fresh-id")
    fields = dict(line.split(b": ", 1) for line in lines.removesuffix(b"\r\n").split(b"\r\n"))
    assert lines.count(b"\r\n") == len(fields)
    assert b"\n" not in lines.replace(b"\r\n", b"")
    assert b"\r" not in lines.replace(b"\r\n", b"")
    hops = fields[b"X-Forwarded-For"].split(b", ")
    assert len(hops) <= HOPS
    seen = client_address(claims or None, peer, TRUSTED)
    if peer not in ("10.0.0.1", "::1"):
        assert len(hops) == 1
        assert fields[b"X-Request-ID"] == b"fresh-id"
        assert fields[b"X-Forwarded-Proto"] == b"http"
        assert fields.get(b"X-Forwarded-Host", b"") == authority
        assert b"Forwarded" not in fields
        assert seen == peer
    else:
        assert hops[-1] == peer.encode()
        ip_address(seen)
    assert len(fields[b"X-Request-ID"]) <= 128


def _as_field_value(value: bytes) -> bytes:
    """As the codecs let it through: no control characters, nothing to strip."""
    return bytes(byte for byte in value if byte == 9 or 32 <= byte != 127).strip(b" \t")


def fuzz_proxy_header(data: bytes) -> None:
    """A PROXY header: taken by what is missing, nothing behind it is touched, and the peer is an address."""
    with suppress(ProxyHeaderError):
        taken = 0
        while missing := missing_bytes(data[:taken]):
            if taken + missing > len(data):
                return
            taken += missing
        peer = announced_peer(data[:taken])
        assert peer is None or str(ip_address(peer)) == peer
        _is_whole_first_here(data, taken)


def _is_whole_first_here(data: bytes, size: int) -> None:
    """No shorter beginning was a header: two readers that stop at different places would disagree on the rest."""
    assert all(missing_bytes(data[:shorter]) for shorter in range(size))


def fuzz_accept(data: bytes) -> None:
    """Any Accept gets a whole answer, in one of our types."""
    if not data:
        return
    status = STATUSES[data[0] % len(STATUSES)]
    assert preferred_type(data[1:]) in ("application/json", "text/plain", "text/html")
    reply = error_reply(status, "a <reason>", "id-1", data[1:], close=False)
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method="GET", target="/", headers=[("Host", "a")]))
    connection.send(h11.EndOfMessage())
    connection.receive_data(reply)
    response = connection.next_event()
    assert isinstance(response, h11.Response)
    assert response.status_code == status
    while isinstance(event := connection.next_event(), h11.Data):
        pass
    assert isinstance(event, h11.EndOfMessage)
    assert connection.trailing_data == (b"", False)
