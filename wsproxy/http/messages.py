"""HTTP/1.1 message heads as the two codecs hand them on: validated, canonical, hop-by-hop fields already taken out.

Pure. Knows the shapes only; `fast_codec` and `h11_codec` make them, `encode_request` and `encode_response` write them.
A head's `fields` is one block of bytes, each line exactly `Name: value\r\n`, that is forwarded as it stands: fields are
moved, not rebuilt, which is most of the difference between 3 and 18 microseconds a head.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

CHUNKED: Final = -1
"""`length` of a body in chunked transfer coding."""
UNTIL_CLOSE: Final = -2
"""`length` of a response body that ends with the connection (RFC 9112 section 6.3, rule 8)."""
UPGRADE_LINES: Final = b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
"""The upgrade as it is asked for, granted and advertised."""


# A pattern that begins with a line's end is searched for with memchr: 0.4 us where `(?m)^` takes 1.7.
@lru_cache(maxsize=256)  # names come from our own code and from the configuration, never from a message
def _finder(name: bytes) -> re.Pattern[bytes]:
    return re.compile(rb"\n(?i:%b): ([^\r]*)\r" % re.escape(name))


def field_values(fields: bytes, name: bytes) -> list[bytes]:
    """All values of a field in a canonical block, in order; `name` in any case."""
    return _finder(name.lower()).findall(b"\n" + fields)


def remover(names: Iterable[bytes]) -> Callable[[bytes], bytes]:
    """What takes all lines with these names, in any case, out of a canonical block; there has to be one name."""
    pattern = re.compile(rb"\n(?i:%b): [^\r]*\r" % b"|".join(re.escape(name) for name in names))

    def remove(fields: bytes) -> bytes:
        return pattern.sub(b"", b"\n" + fields)[1:]

    return remove


_date_line: Final = re.compile(rb"\n(?i:date): ").search


Told = tuple[bytes, bytes, bytes]
"""What a request tells of its sender, for logs: Referer, User-Agent, traceparent (W3C Trace Context); b"" for none."""


def _told(fields: bytes) -> Told:
    lowered = b"\n" + fields.lower()  # `find` in a lower-case copy takes a tenth of a search in any case
    return (
        _first_value(fields, lowered, b"\nreferer: "),
        _first_value(fields, lowered, b"\nuser-agent: "),
        _first_value(fields, lowered, b"\ntraceparent: "),
    )


def _first_value(fields: bytes, lowered: bytes, mark: bytes) -> bytes:
    place = lowered.find(mark)
    if place < 0:
        return b""
    start = place + len(mark) - 1  # in the fields themselves, before which stands no line end
    return fields[start : fields.index(b"\r", start)]


class RequestHead:
    """A request head that both sides read the same way.

    method, target: as received, the target in origin-form (or `*`); an absolute-form target has been reduced.
    authority: the Host (`host[:port]`), from the target if that was absolute; b"" on HTTP/1.0 without one.
    fields: end-to-end fields, canonical; Host and Content-Length stand in it, Transfer-Encoding and the claims do not.
    length: bytes of body, CHUNKED, or 0.
    claims: what the client says of its own identity (lower-case names: x-forwarded-for, -proto, -host, forwarded,
        x-request-id, values joined by ", "), or None when it says nothing.
    upgrade: the lower-case protocol asked for when `Connection` names it too, else b"".
    trailer: the names of the trailer fields that are announced and may be forwarded, or b"".
    max_forwards: how often an OPTIONS or TRACE may be forwarded from here on, us included; None where nothing says so.
    """

    __slots__ = (
        "_told",
        "authority",
        "claims",
        "expect_continue",
        "fields",
        "keep_alive",
        "length",
        "max_forwards",
        "method",
        "minor_version",
        "target",
        "trailer",
        "upgrade",
    )

    def __init__(
        self,
        method: bytes,
        target: bytes,
        minor_version: int,
        authority: bytes,
        fields: bytes,
        length: int,
        keep_alive: bool,
        expect_continue: bool = False,
        upgrade: bytes = b"",
        claims: dict[bytes, bytes] | None = None,
        trailer: bytes = b"",
        max_forwards: int | None = None,
        told: Told | None = None,
    ) -> None:
        self.method = method
        self.target = target
        self.minor_version = minor_version
        self.authority = authority
        self.fields = fields
        self.length = length
        self.keep_alive = keep_alive
        self.expect_continue = expect_continue
        self.upgrade = upgrade
        self.claims = claims
        self.trailer = trailer
        self.max_forwards = max_forwards
        self._told = told

    @property
    def told(self) -> Told:
        """What it tells of its sender: looked for when somebody asks, where its reader has not said so."""
        if self._told is None:
            self._told = _told(self.fields)
        return self._told

    def __copy__(self) -> RequestHead:
        """For `copy`, which takes five times as long without it (2.5 us)."""
        return RequestHead(
            self.method,
            self.target,
            self.minor_version,
            self.authority,
            self.fields,
            self.length,
            self.keep_alive,
            self.expect_continue,
            self.upgrade,
            self.claims,
            self.trailer,
            self.max_forwards,
            self._told,
        )

    def __eq__(self, other: object) -> bool:
        """Equal when every part is (for tests)."""
        parts = (name.replace("_told", "told") for name in self.__slots__)
        return isinstance(other, RequestHead) and all(getattr(self, name) == getattr(other, name) for name in parts)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return "RequestHead(" + ", ".join(f"{n}={getattr(self, n)!r}" for n in self.__slots__) + ")"


class ResponseHead:
    """A response head from an upstream server.

    fields: end-to-end fields, canonical; a Content-Length that may be forwarded is in it, Transfer-Encoding is not.
    has_date: one of them is Date.
    length: bytes of body, CHUNKED, UNTIL_CLOSE, or 0 for a status or a method that has none (HEAD, 1xx, 204, 304).
    keep_alive: whether the connection may be used again once the body has ended.
    keep_alive_timeout_s: what the server's `Keep-Alive: timeout=N` says, or None.
    upgrade: the lower-case protocol of a 101, else b"". trailer: as in RequestHead.
    """

    __slots__ = (
        "fields",
        "has_date",
        "keep_alive",
        "keep_alive_timeout_s",
        "length",
        "minor_version",
        "reason",
        "status",
        "trailer",
        "upgrade",
    )

    def __init__(
        self,
        status: int,
        reason: bytes,
        minor_version: int,
        fields: bytes,
        length: int,
        keep_alive: bool,
        keep_alive_timeout_s: float | None = None,
        upgrade: bytes = b"",
        trailer: bytes = b"",
        has_date: bool | None = None,
    ) -> None:
        self.status = status
        self.reason = reason
        self.has_date = _date_line(b"\n" + fields) is not None if has_date is None else has_date
        self.minor_version = minor_version
        self.fields = fields
        self.length = length
        self.keep_alive = keep_alive
        self.keep_alive_timeout_s = keep_alive_timeout_s
        self.upgrade = upgrade
        self.trailer = trailer

    def __copy__(self) -> ResponseHead:
        """As above."""
        return ResponseHead(
            self.status,
            self.reason,
            self.minor_version,
            self.fields,
            self.length,
            self.keep_alive,
            self.keep_alive_timeout_s,
            self.upgrade,
            self.trailer,
            self.has_date,
        )

    def __eq__(self, other: object) -> bool:
        """Equal when every part is (for tests)."""
        return isinstance(other, ResponseHead) and all(getattr(self, n) == getattr(other, n) for n in self.__slots__)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return "ResponseHead(" + ", ".join(f"{n}={getattr(self, n)!r}" for n in self.__slots__) + ")"


@dataclass(frozen=True, slots=True)
class HeadLimits:
    """What a head may be at most (RFC 9110 section 5.4, RFC 9112 section 3)."""

    head_bytes: int = 16 * 1024
    fields: int = 100
    target_bytes: int = 8 * 1024
    underscores: bool = False  # forward field names with an underscore instead of dropping them


class MalformedRequestError(Exception):
    """A request that is refused; `status` is the answer, str() a short reason that may be shown to the client.

    fields: more lines that the answer's head has to have. route: the name of the route that refuses it, or "".
    may_go_on: the client did nothing that makes the rest of its connection doubtful.
    """

    route = ""

    def __init__(self, status: int, reason: str, fields: bytes = b"") -> None:
        super().__init__(reason)
        self.status = status
        self.fields = fields
        self.may_go_on = status in (404, 405)


class MalformedResponseError(Exception):
    """An upstream answer that cannot be read one way only; str() says why, for the log."""


class MalformedBodyError(Exception):
    """A chunked body whose framing is broken or over a limit; str() says why."""
