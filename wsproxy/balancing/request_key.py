"""PURE: the part of a request that says where it belongs: a field, a cookie, a parameter, the path, the client."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import unquote_to_bytes

from wsproxy.config.model import RequestKey
from wsproxy.http.messages import RequestHead, field_values

KeyOf = Callable[[RequestHead, str], bytes]
"""(head, address of the client) -> the key, b"" where the request has none."""


def key_of(wanted: RequestKey) -> KeyOf:
    """How to find this key in a request."""
    name = wanted.name.encode("latin-1")
    if wanted.source == "ip":
        return lambda _, address: address.encode("latin-1", "replace")
    if wanted.source == "path":
        return lambda head, _: head.target.partition(b"?")[0]
    if wanted.source == "header":
        return lambda head, _: b",".join(field_values(head.fields, name))
    if wanted.source == "cookie":
        cookie = cookie_finder(name)
        return lambda head, _: next(iter(cookie(head)), b"")
    find = re.compile(rb"[?&]" + re.escape(name) + rb"=([^&]*)").search
    return lambda head, _: _decoded(find(head.target))


def cookie_finder(name: bytes) -> Callable[[RequestHead], list[bytes]]:
    """All values of a cookie in a request, without quotes (RFC 6265 section 5.4)."""
    find = re.compile(rb"(?:^|;)[ \t]*" + re.escape(name) + rb'="?([^;" \t]*)').findall

    def values(head: RequestHead) -> list[bytes]:
        return [value for line in field_values(head.fields, b"cookie") for value in find(line)]

    return values


def _decoded(match: re.Match[bytes] | None) -> bytes:
    return b"" if match is None else unquote_to_bytes(match[1])
