"""Which requests one kept answer is for: its key, what its Vary names, and the URLs that a change makes stale.

Pure.
"""

from __future__ import annotations

import re
from copy import copy
from functools import lru_cache
from typing import Final
from urllib.parse import urljoin, urlsplit

from wsproxy.http.messages import ResponseHead, field_values

SAFE: Final = frozenset({b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PRI", b"PROPFIND", b"QUERY", b"REPORT", b"SEARCH"})
"""Methods that change nothing (IANA's registry of methods); any other may make stale what is kept."""

_UNSEEN: Final = frozenset({b"*", b"forwarded", b"x-forwarded-for", b"x-forwarded-host", b"x-request-id"})
"""What an answer may vary by that a cache cannot tell: anything at all, or what the proxy itself says of each client.
The scheme is part of every key."""

_says_how_long: Final = re.compile(
    rb"(?im)^(?:cache-control|expires|pragma|cdn-cache-control|surrogate-control): [^\r]*\r\n"
).sub


def key_of(route: str, scheme: bytes, authority: bytes, target: bytes) -> bytes:
    """What the answers of one URL are kept under; one route's are never given out by another."""
    return b"%b %b://%b%b" % (route.encode(), scheme, authority.lower(), target)


def route_prefix(route: str) -> bytes:
    """What all keys of a route begin with."""
    return route.encode() + b" "


def varies_by(fields: bytes) -> tuple[bytes, ...] | None:
    """The lower-case names that Vary holds, sorted; None for what no other request is known to fit."""
    values = field_values(fields, b"vary")
    return _names(b",".join(values)) if values else ()


@lru_cache(maxsize=256)  # servers write few different ones
def _names(value: bytes) -> tuple[bytes, ...] | None:
    names = {name for item in value.split(b",") if (name := item.strip(b" \t").lower())}
    return None if names & _UNSEEN else tuple(sorted(names))


def with_cache_control(response: ResponseHead, value: bytes) -> ResponseHead:
    """A copy with this Cache-Control in place of all that it said about being kept."""
    more = copy(response)
    more.fields = _says_how_long(b"", response.fields) + b"Cache-Control: %b\r\n" % value
    return more


def also_changed(fields: bytes, scheme: bytes, authority: bytes, target: bytes) -> set[bytes]:
    """The targets on the same origin that the answer to an unsafe request names (RFC 9111 section 4.4)."""
    origin = f"{scheme.decode()}://{authority.decode('latin-1').lower()}"
    changed = set()
    for name in (b"location", b"content-location"):
        for value in field_values(fields, name):
            try:
                parts = urlsplit(urljoin(origin + target.decode("latin-1"), value.decode("latin-1")))
            except ValueError:
                continue
            if f"{parts.scheme}://{parts.netloc.lower()}" == origin:
                path = parts.path or "/"
                changed.add((f"{path}?{parts.query}" if parts.query else path).encode("latin-1"))
    return changed
