"""Whose word is taken for the client's identity."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from wsproxy.http.forwarded import believed_request_id, client_address, identity_fields, is_trusted
from wsproxy.http.messages import field_values

TRUSTED = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"), ip_network("fe80::/10"))
FRESH = b"fresh"


def fields(claims: dict[bytes, bytes] | None, peer: str, authority: bytes = b"a:80") -> bytes:
    return identity_fields(claims, peer, "https", authority, TRUSTED, FRESH)


@pytest.mark.parametrize(
    ("peer", "trusted"),
    [
        ("10.1.2.3", True),
        ("::ffff:10.1.2.3", True),
        ("fd00::1", True),
        ("fe80::1%eth0", True),
        ("11.1.2.3", False),
        ("::1", False),
        ("unix:", False),
        ("rubbish", False),
    ],
)
def test_trust(peer: str, trusted: bool) -> None:
    assert is_trusted(peer, TRUSTED) is trusted
    assert not is_trusted(peer, ())


def test_an_untrusted_peer_is_overwritten() -> None:
    expected = (
        b"X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: a:80\r\nX-Request-ID: fresh\r\n"
    )
    assert fields(None, "1.2.3.4") == expected
    lies = {
        b"x-forwarded-for": b"9.9.9.9",
        b"x-forwarded-proto": b"http",
        b"forwarded": b"for=x",
        b"x-request-id": b"r",
    }
    assert fields(lies, "1.2.3.4") == expected


@pytest.mark.parametrize(
    ("peer", "shown"),
    [("::1", b"::1"), ("::ffff:1.2.3.4", b"1.2.3.4"), ("fe80::1%eth0", b"fe80::1"), ("unix:", b"unknown")],
)
def test_how_a_peer_is_shown(peer: str, shown: bytes) -> None:
    assert field_values(fields(None, peer), b"x-forwarded-for") == [shown]


def test_without_an_authority() -> None:
    assert fields(None, "1.2.3.4", b"") == (
        b"X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: https\r\nX-Request-ID: fresh\r\n"
    )


def test_a_trusted_peer_is_appended_to() -> None:
    claims = {
        b"x-forwarded-for": b"1.2.3.4, ,5.6.7.8",
        b"x-forwarded-proto": b"http",
        b"x-forwarded-host": b"shop.example",
        b"x-request-id": b"theirs",
    }
    assert fields(claims, "10.0.0.1") == (
        b"X-Forwarded-For: 1.2.3.4, 5.6.7.8, 10.0.0.1\r\nX-Forwarded-Proto: http\r\n"
        b"X-Forwarded-Host: shop.example\r\nX-Request-ID: theirs\r\n"
    )


def test_senseless_claims_of_a_trusted_peer() -> None:
    claims = {b"x-forwarded-proto": b"gopher", b"x-forwarded-host": b"a, b", b"x-request-id": b"two ids"}
    assert fields(claims, "10.0.0.1") == fields(None, "10.0.0.1")
    assert fields({}, "10.0.0.1") == fields(None, "10.0.0.1")


@pytest.mark.parametrize(
    ("peer", "authority", "element"),
    [
        ("10.0.0.1", b"a:80", b'for=10.0.0.1;proto=https;host="a:80"'),
        ("fd00::1", b"", b'for="[fd00::1]";proto=https'),
    ],
)
def test_forwarded_only_where_a_trusted_peer_sent_one(peer: str, authority: bytes, element: bytes) -> None:
    lines = fields({b"forwarded": b"for=1.2.3.4"}, peer, authority)
    assert field_values(lines, b"forwarded") == [b"for=1.2.3.4, " + element]
    assert field_values(lines, b"x-forwarded-for") == [peer.encode()]


def test_long_lists_keep_their_near_end() -> None:
    many = b", ".join(b"1.1.1.%d" % n for n in range(200))
    hops = field_values(fields({b"x-forwarded-for": many}, "10.0.0.1"), b"x-forwarded-for")[0].split(b", ")
    assert (len(hops), hops[0], hops[-2], hops[-1]) == (64, b"1.1.1.137", b"1.1.1.199", b"10.0.0.1")
    wide = b"2.2.2.2" + b"x" * 5000 + b", 1.1.1.1"
    assert field_values(fields({b"x-forwarded-for": wide}, "10.0.0.1"), b"x-forwarded-for") == [b"1.1.1.1, 10.0.0.1"]


@pytest.mark.parametrize(
    ("peer", "claimed", "expected"),
    [
        ("10.0.0.1", b"theirs", b"theirs"),
        ("10.0.0.1", b"", FRESH),
        ("10.0.0.1", b"a,b", FRESH),
        ("10.0.0.1", b"x" * 129, FRESH),
        ("1.2.3.4", b"theirs", FRESH),
    ],
)
def test_request_ids(peer: str, claimed: bytes, expected: bytes) -> None:
    assert believed_request_id({b"x-request-id": claimed}, peer, TRUSTED, FRESH) == expected
    assert believed_request_id(None, peer, TRUSTED, FRESH) == FRESH


@pytest.mark.parametrize(
    ("peer", "claims", "client"),
    [
        ("1.2.3.4", {b"x-forwarded-for": b"9.9.9.9"}, "1.2.3.4"),
        ("10.0.0.1", None, "10.0.0.1"),
        ("10.0.0.1", {}, "10.0.0.1"),
        ("10.0.0.1", {b"x-forwarded-for": b"9.9.9.9"}, "9.9.9.9"),
        ("10.0.0.1", {b"x-forwarded-for": b"8.8.8.8, 9.9.9.9, 10.0.0.2"}, "9.9.9.9"),
        ("10.0.0.1", {b"x-forwarded-for": b"10.0.0.3, 10.0.0.2"}, "10.0.0.3"),
        ("10.0.0.1", {b"x-forwarded-for": b"9.9.9.9:1234"}, "9.9.9.9"),
        ("10.0.0.1", {b"x-forwarded-for": b"[2001:db8::1]:443"}, "2001:db8::1"),
        ("10.0.0.1", {b"x-forwarded-for": b"2001:db8::1"}, "2001:db8::1"),
        ("10.0.0.1", {b"x-forwarded-for": b"8.8.8.8, rubbish, 10.0.0.2"}, "10.0.0.2"),
        ("10.0.0.1", {b"x-forwarded-for": b"8.8.8.8, \xff\xfe"}, "10.0.0.1"),
        ("10.0.0.1", {b"x-forwarded-for": b"[], 1.2.3"}, "10.0.0.1"),
        ("10.0.0.1", {b"forwarded": b'proto=http; For="[2001:db8::1]:443";by=x'}, "2001:db8::1"),
        ("10.0.0.1", {b"forwarded": b"for=8.8.8.8, for=9.9.9.9;proto=http, for=10.0.0.2"}, "9.9.9.9"),
        ("10.0.0.1", {b"forwarded": b"for=8.8.8.8, proto=http"}, "10.0.0.1"),
        ("10.0.0.1", {b"forwarded": b"for=8.8.8.8, for=_hidden"}, "10.0.0.1"),
        ("10.0.0.1", {b"forwarded": b'for=""'}, "10.0.0.1"),
        ("10.0.0.1", {b"forwarded": b"for=9.9.9.9", b"x-forwarded-for": b"8.8.8.8"}, "8.8.8.8"),
    ],
)
def test_the_client_is_found_from_right_to_left(peer: str, claims: dict[bytes, bytes] | None, client: str) -> None:
    assert client_address(claims, peer, TRUSTED) == client
