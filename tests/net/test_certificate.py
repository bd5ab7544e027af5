"""Reading certificates: names and expiry as the tools that made them say, and nothing else as they are cut."""

from __future__ import annotations

from base64 import b64decode, b64encode
from datetime import UTC, datetime

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from wsproxy.net.certificate import Certificate, read_certificate

CA = trustme.CA()
AT = datetime(2031, 2, 3, 4, 5, 6, tzinfo=UTC)
LEAF = CA.issue_cert("Site.example", "*.wild.example", "127.0.0.1", "::1", not_after=AT)
CHAIN = LEAF.cert_chain_pems[0].bytes().decode()
DER = b64decode("".join(CHAIN.splitlines()[1:-1]))


def pem(der: bytes) -> str:
    return f"-----BEGIN CERTIFICATE-----\n{b64encode(der).decode()}\n-----END CERTIFICATE-----\n"


def test_names_and_expiry() -> None:
    assert read_certificate(CHAIN) == Certificate(frozenset({"site.example", "*.wild.example"}), AT)


def test_the_first_certificate_counts_and_text_around_it_does_not() -> None:
    text = f"subject=whoever\n{CHAIN}\n{CA.cert_pem.bytes().decode()}"
    assert read_certificate(text.replace("\n", "\r\n")) == read_certificate(CHAIN)


def test_years_of_four_digits_and_no_names() -> None:
    far = CA.issue_cert("127.0.0.1", not_after=datetime(2199, 1, 1, tzinfo=UTC)).cert_chain_pems[0].bytes().decode()
    assert read_certificate(far) == Certificate(frozenset(), datetime(2199, 1, 1, tzinfo=UTC))
    assert read_certificate(CA.cert_pem.bytes().decode()).names == frozenset()


def test_years_of_two_digits_begin_in_1950() -> None:
    when = datetime(1999, 12, 31, 23, 59, 59, tzinfo=UTC)
    old = CA.issue_cert("a", not_before=datetime(1990, 1, 1, tzinfo=UTC), not_after=when)
    assert read_certificate(old.cert_chain_pems[0].bytes().decode()).expires_at == when


@pytest.mark.parametrize(
    "text",
    ["", "nonsense", CHAIN.replace("CERTIFICATE", "PRIVATE KEY"), CHAIN[:100]],
    ids=["nothing", "nonsense", "a key", "half a certificate"],  # not what is new in every process
)
def test_what_holds_no_certificate(text: str) -> None:
    with pytest.raises(ValueError, match="holds no PEM certificate"):
        read_certificate(text)


@pytest.mark.parametrize(
    "der",
    [b"", b"\x30", b"\x30\x80", b"\x30\x03abc", DER[:200], b"\x30\x84\xff\xff\xff\xff"],
    ids=["nothing", "no length", "endless", "too short", "half a certificate", "huge"],
)
def test_what_cannot_be_read(der: bytes) -> None:
    with pytest.raises(ValueError, match="holds"):
        read_certificate(pem(der))


@given(st.integers(0, len(DER) - 1), st.integers(0, 255))
def test_a_broken_byte_raises_nothing_unexpected(at: int, byte: int) -> None:
    broken = bytearray(DER)
    broken[at] = byte
    try:
        certificate = read_certificate(pem(bytes(broken)))
    except ValueError:
        return
    assert isinstance(certificate.expires_at, datetime)
