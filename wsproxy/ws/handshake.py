"""The opening handshake (RFC 6455 section 4) as the proxy judges it: the request first, later the 101.

Pure: heads in, verdicts out. The proxy forwards the client's own key and the upstream's own answer; it sees that both
are a WebSocket's. Whether the answer fits is for the client to judge (section 4.1), unless the proxy takes a part in
what was agreed on.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from typing import Final

from wsproxy.http.messages import RequestHead, ResponseHead, field_values

SAME_HOST: Final = "same-host"
"""The entry of `allowed_origins` that stands for the host the client asked for."""

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 section 1.3
_KEY: Final = re.compile(rb"[A-Za-z0-9+/]{22}==")  # 16 bytes in base64
_LIST_ITEM: Final = re.compile(rb'(?:[^",]|"(?:[^"\\]|\\.)*")+')  # a comma inside a quoted string separates nothing
_DEFAULT_PORTS: Final = {"http": "80", "https": "443"}
_VERSION_FIELDS: Final = b"Sec-WebSocket-Version: 13\r\nUpgrade: websocket\r\n"  # sections 4.4, and RFC 9110 15.5.22


@dataclass(frozen=True, slots=True)
class HandshakeRefusal:
    """Why a handshake is not forwarded: status, a reason for the client, and more field lines of the answer."""

    status: int
    message: str
    fields: bytes = b""  # canonical `Name: value\r\n` lines


def check_request(head: RequestHead) -> HandshakeRefusal | None:
    """What is wrong with a client's opening handshake (RFC 6455 section 4.2.1), or None."""
    if head.method != b"GET":
        return HandshakeRefusal(400, "a WebSocket handshake is a GET request")
    if head.minor_version < 1:
        return HandshakeRefusal(400, "a WebSocket handshake needs HTTP/1.1")
    if head.upgrade != b"websocket":
        return HandshakeRefusal(400, "the request asks for no WebSocket")
    if head.length:
        return HandshakeRefusal(400, "a WebSocket handshake has no body")
    if field_values(head.fields, b"Sec-WebSocket-Version") != [b"13"]:
        return HandshakeRefusal(426, "only version 13 of WebSocket is spoken here", _VERSION_FIELDS)
    keys = field_values(head.fields, b"Sec-WebSocket-Key")
    if len(keys) != 1 or not _KEY.fullmatch(keys[0]):
        return HandshakeRefusal(400, "Sec-WebSocket-Key must be 16 bytes in base64, exactly once")
    return None


def accept_value(key: bytes) -> bytes:
    """The Sec-WebSocket-Accept that answers a Sec-WebSocket-Key (RFC 6455 section 4.2.2)."""
    return base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())


def check_response(response: ResponseHead) -> str | None:
    """Why an upstream's 101 opens no WebSocket at all (section 4.2.2), or None."""
    if response.upgrade != b"websocket":
        return "the 101 does not upgrade to a WebSocket"
    if not any(field_values(response.fields, b"Sec-WebSocket-Accept")):
        return "the 101 has no Sec-WebSocket-Accept"
    return None


def mismatch(request: RequestHead, response: ResponseHead) -> str | None:
    """Why a client must fail the connection at this 101 to a request that `check_request` let pass, or None.

    Section 4.1; after `check_response`.
    """
    (key,) = field_values(request.fields, b"Sec-WebSocket-Key")
    if field_values(response.fields, b"Sec-WebSocket-Accept") != [accept_value(key)]:
        return "Sec-WebSocket-Accept does not answer the key"
    chosen = field_values(response.fields, b"Sec-WebSocket-Protocol")
    offered = _items(field_values(request.fields, b"Sec-WebSocket-Protocol"))
    if len(chosen) > 1 or not set(chosen) <= set(offered):
        return "the subprotocol is not one that the client offered"
    known = _extension_names(field_values(request.fields, b"Sec-WebSocket-Extensions"))
    if not _extension_names(field_values(response.fields, b"Sec-WebSocket-Extensions")) <= known:
        return "an extension was not offered by the client"
    return None


def origin_allowed(origin: bytes | None, authority: bytes, allowed: tuple[str, ...]) -> bool:
    """Whether a page of this Origin may connect (RFC 6455 section 10.2).

    allowed: `same-host`, or `scheme://host[:port]` where a host `*.example.org` stands for every name below
    example.org; empty allows all. No Origin is allowed: browsers always send one, and the check protects their users
    alone. The origin `null` is allowed only where the list names it.
    """
    if not allowed or origin is None:
        return True
    text = origin.decode("latin-1").lower()
    scheme, separator, host = text.partition("://")
    if not separator:
        return text in allowed
    host = _without_default_port(scheme, host)
    return any(_matches(entry.lower(), scheme, host, authority) for entry in allowed)


def _matches(entry: str, scheme: str, host: str, authority: bytes) -> bool:
    if entry == SAME_HOST:
        return host == _without_default_port(scheme, authority.decode("latin-1").lower())
    entry_scheme, _, entry_host = entry.partition("://")
    if entry_scheme != scheme:
        return False
    entry_host = _without_default_port(scheme, entry_host)
    if entry_host.startswith("*."):
        return host.endswith(entry_host[1:]) and not host.startswith(".")
    return host == entry_host


def _without_default_port(scheme: str, host: str) -> str:
    port = _DEFAULT_PORTS.get(scheme)
    return host if port is None else host.removesuffix(":" + port)


def _items(values: list[bytes]) -> list[bytes]:
    """The items of comma-separated field values (RFC 9110 section 5.6.1)."""
    return [item.strip() for value in values for item in _LIST_ITEM.findall(value) if item.strip()]


def _extension_names(values: list[bytes]) -> set[bytes]:
    """Names of the extensions in field values, without their parameters (section 9.1)."""
    return {item.partition(b";")[0].strip().lower() for item in _items(values)}
