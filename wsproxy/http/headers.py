"""The tables of field names that the HTTP rules speak of, all in lower case.

Pure data. `h11_codec` and `chunked` look names up here; `fast_codec` spells the same names in a regular expression, and
a property test holds the two together.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

_is_token: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+").fullmatch

HOP_BY_HOP: Final = frozenset(
    {
        b"connection",
        b"http2-settings",  # belongs to an upgrade to h2c, which is never forwarded (RFC 9113 section 3.1)
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
"""Fields about one connection only, removed on both ways (RFC 9110 section 7.6.1)."""

CLAIMS: Final = frozenset(
    {b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"forwarded", b"x-request-id"}
)
"""What a client says of its own identity; taken out of the fields, and believed only from a trusted peer."""

NEVER_NOMINATED: Final = CLAIMS | {b"host", b"content-length", b"close"}  # the option `close` names no field
"""Fields that `Connection` cannot take away: else a client could unmake the framing, the routing or its identity."""

FORBIDDEN_TRAILERS: Final = (
    HOP_BY_HOP
    | NEVER_NOMINATED
    | {
        b"authorization",
        b"cache-control",
        b"content-encoding",
        b"content-range",
        b"content-type",
        b"cookie",
        b"date",
        b"expect",
        b"if-match",
        b"if-modified-since",
        b"if-none-match",
        b"if-range",
        b"if-unmodified-since",
        b"location",
        b"max-forwards",
        b"range",
        b"retry-after",
        b"set-cookie",
        b"vary",
        b"www-authenticate",
    }
)
"""Framing, routing, request modifiers, authentication and content format never stand in a trailer (RFC 9110 6.5.1)."""


def announced_trailers(values: Iterable[bytes]) -> bytes:
    """What of the Trailer values may be forwarded: the names of fields that may stand in a trailer, or b""."""
    names = [name.strip(b" \t") for name in b",".join(values).split(b",")]
    return b", ".join(name for name in names if _is_token(name) and may_be_trailer(name))


def may_be_trailer(name: bytes) -> bool:
    """Whether a trailer field of this name, in any case, may be forwarded."""
    return name.lower() not in FORBIDDEN_TRAILERS and b"_" not in name


def may_be_nominated(name: bytes) -> bool:
    """Whether `Connection: name` makes that field hop-by-hop; `name` in lower case."""
    return name not in NEVER_NOMINATED and not name.startswith(b"x-forwarded-")
