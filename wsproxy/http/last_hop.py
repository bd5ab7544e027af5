"""Max-Forwards: how far an OPTIONS or TRACE may go, and the answer when it ends here (RFC 9110 section 7.6.2).

Pure. Other methods carry the field through untouched.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from wsproxy.http.messages import MalformedRequestError, RequestHead

METHODS: Final = frozenset({b"OPTIONS", b"TRACE"})
"""The methods that Max-Forwards is defined for."""

MOST: Final = 10**18 - 1
"""The largest count that is understood, and what a larger one is taken for: 18 digits overflow nobody's int64."""

_count: Final = re.compile(rb"0*+([0-9]*+)").fullmatch
_secret_line: Final = re.compile(rb"(?im)^(?:authorization|cookie|proxy-authorization): [^\r]*\r\n")


def max_forwards(items: Iterable[tuple[bytes, bytes]], method: bytes) -> int | None:
    """What a request's fields say, or None. Raises MalformedRequestError(400) where it can be read in two ways."""
    if method not in METHODS:
        return None
    values = [value for name, value in items if name.lower() == b"max-forwards"]
    if not values:
        return None
    count = _count(values[0])
    if len(values) > 1 or count is None or not values[0]:
        raise MalformedRequestError(400, "illegal Max-Forwards")
    digits = count[1] or b"0"
    return int(digits) if len(digits) <= len(str(MOST)) else MOST


def last_hop_answer(head: RequestHead, close: bool, fields: bytes = b"") -> bytes:
    """The whole answer to an OPTIONS or TRACE whose Max-Forwards is 0.

    A TRACE gets its own request back, without what must not be shown to a script that could not read it otherwise
    (RFC 9110 section 9.3.8). fields: more lines, each with its line end.
    """
    connection = fields
    if close:
        connection += b"Connection: close\r\n"
    elif head.minor_version == 0:
        connection += b"Connection: keep-alive\r\n"
    if head.method == b"OPTIONS":
        return b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n%b\r\n" % connection
    shown = _secret_line.sub(b"", head.fields)
    echo = b"TRACE %b HTTP/1.%d\r\n%b\r\n" % (head.target, head.minor_version, shown)
    return b"HTTP/1.1 200 OK\r\nContent-Type: message/http\r\nContent-Length: %d\r\n%b\r\n%b" % (
        len(echo),
        connection,
        echo,
    )
