"""What a handshake agrees on for permessage-deflate (RFC 7692), and how to make it something that can be carried.

Pure: field lines in, field lines and verdicts out; nothing is inflated here.

A session that may go on with another server asks one thing of compression: that its client begins every message with an
empty window, for the next server has seen none of the earlier ones. Any server may ask for that in its answer, whether
or not it was offered (section 7.1.1.2), so the proxy does in its place. The server's own window is no obstacle: a new
server refers to nothing but what it has sent itself, all of which the client has.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from wsproxy.http.messages import field_values

_NAME: Final = b"permessage-deflate"
_FIELD: Final = b"Sec-WebSocket-Extensions"
_EMPTY_WINDOWS: Final = b"client_no_context_takeover"
_lines: Final = re.compile(rb"(?im)^sec-websocket-extensions: [^\r]*\r\n")


class ExtensionError(Exception):
    """The backend chose an extension whose frames mean something else here; str() names it."""


@dataclass(frozen=True, slots=True)
class Deflate:
    """What a 101 agreed on for permessage-deflate (RFC 7692 section 7.1)."""

    client_no_context_takeover: bool = False
    server_no_context_takeover: bool = False
    client_max_window_bits: int = 15
    server_max_window_bits: int = 15


def agreed_deflate(fields: bytes) -> Deflate | None:
    """What a 101's fields say of permessage-deflate; None without extensions. Raises ExtensionError for any other."""
    extensions = _items(fields)
    if not extensions:
        return None
    name, *parameters = [part.strip() for part in extensions[0].split(b";")]
    if len(extensions) > 1 or name.lower() != _NAME:
        raise ExtensionError(b", ".join(extensions).decode("latin-1"))
    agreed: dict[str, Any] = {}
    for parameter in parameters:
        key, equals, value = parameter.partition(b"=")
        word = key.strip().decode("latin-1").lower()
        number = value.strip(b' "')
        if word not in Deflate.__dataclass_fields__ or (equals and not number.isdigit()):
            raise ExtensionError(parameter.decode("latin-1"))
        agreed[word] = int(number) if equals else True
    return Deflate(**agreed)


def offer_only_deflate(fields: bytes) -> bytes:
    """A request's fields with no other extension offered: who knows what another one remembers."""
    offers = [item for item in _items(fields) if item.partition(b";")[0].strip().lower() == _NAME]
    return _with_extensions(fields, offers)


def begin_messages_empty(fields: bytes) -> tuple[bytes, Deflate | None]:
    """A 101's fields with the client bound to begin each message with an empty window, and what is agreed on then.

    Raises ExtensionError.
    """
    agreed = agreed_deflate(fields)
    if agreed is None or agreed.client_no_context_takeover:
        return fields, agreed
    fields = _with_extensions(fields, [item + b"; " + _EMPTY_WINDOWS for item in _items(fields)])
    return fields, agreed_deflate(fields)


def _items(fields: bytes) -> list[bytes]:
    """The extensions in a block of fields; no parameter that is known to deflate can hold a comma."""
    return [item.strip() for value in field_values(fields, _FIELD) for item in value.split(b",") if item.strip()]


def _with_extensions(fields: bytes, items: list[bytes]) -> bytes:
    rest = _lines.sub(b"", fields)
    return rest + _FIELD + b": " + b", ".join(items) + b"\r\n" if items else rest
