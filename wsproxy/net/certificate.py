"""What a proxy must know of its own certificates: the host names they are for, and when they expire.

Pure: PEM text in, facts out. Python's `ssl` tells these things of a peer's certificate only, so the few fields are read
from the DER form here (X.690 section 8.1; RFC 5280 sections 4.1 and 4.2.1.6). Nothing is verified: the clients do that.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

_PEM: Final = re.compile(r"-----BEGIN CERTIFICATE-----\s+([A-Za-z0-9+/=\s]+?)-----END CERTIFICATE-----")

_UTC_TIME: Final = 0x17
_GENERALIZED_TIME: Final = 0x18
_VERSION: Final = 0xA0
_EXTENSIONS: Final = 0xA3
_DNS_NAME: Final = 0x82
_SUBJECT_ALT_NAME: Final = bytes((0x55, 0x1D, 0x11))  # 2.5.29.17
_FIRST_YEAR: Final = 50
"""Years of two digits are 1950 to 2049 (RFC 5280 section 4.1.2.5.1)."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """The first certificate of a file.

    names: host names in lower case, maybe with a `*.` in front. expires_at: the last moment it is good.
    """

    names: frozenset[str]
    expires_at: datetime


def read_certificate(pem: str) -> Certificate:
    """Read the first certificate of a PEM text, the server's own in a chain. Raises ValueError."""
    match = _PEM.search(pem)
    if match is None:
        raise ValueError("holds no PEM certificate")
    try:
        return _read(b64decode(match[1], validate=False))
    except (IndexError, ValueError, binascii.Error):
        raise ValueError("holds a certificate that cannot be read") from None


def _read(der: bytes) -> Certificate:
    _, certificate = _elements(der)[0]
    _, to_be_signed = _elements(certificate)[0]
    fields = _elements(to_be_signed)
    if fields[0][0] == _VERSION:
        del fields[0]
    _, _, _, (_, validity), *rest = fields  # serial number, algorithm, issuer, validity
    _, expiry = _elements(validity)
    extensions = next((content for tag, content in rest if tag == _EXTENSIONS), b"")
    return Certificate(frozenset(_names(extensions)), _time(*expiry))


def _names(extensions: bytes) -> Iterator[str]:
    for _, listed in _elements(extensions):
        for _, extension in _elements(listed):
            (_, oid), *_, (_, value) = _elements(extension)  # between them whether it is critical
            if oid == _SUBJECT_ALT_NAME:
                for tag, name in _elements(_elements(value)[0][1]):
                    if tag == _DNS_NAME:
                        yield name.decode("ascii").lower()


def _time(tag: int, content: bytes) -> datetime:
    text = content.decode("ascii")
    if tag == _UTC_TIME:
        text = ("19" if int(text[:2]) >= _FIRST_YEAR else "20") + text
    elif tag != _GENERALIZED_TIME:
        raise ValueError("not a time")
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)


def _elements(data: bytes) -> list[tuple[int, bytes]]:
    """The elements one after the other, as (tag, content). Raises IndexError, ValueError."""
    elements: list[tuple[int, bytes]] = []
    at = 0
    while at < len(data):
        tag, length = data[at], data[at + 1]
        at += 2
        if length & 0x80:
            size = length & 0x7F
            length = int.from_bytes(data[at : at + size], "big")
            at += size
        content = data[at : at + length]
        if len(content) < length:
            raise ValueError("cut off")
        elements.append((tag, content))
        at += length
    return elements
