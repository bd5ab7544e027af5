"""The door to HTTP/1.1 heads for the I/O code: find a head in a buffer, read it, write one.

Pure. Picks `fast_codec` and, at its first doubt, `h11_codec`. Also refuses as soon as it is seen what can never become
a head, so that a client that speaks something else is not kept until its timeout.
"""

from __future__ import annotations

import re
from typing import Final

from wsproxy.http.fast_codec import known_request_lines, known_response_lines, parse_request, parse_response
from wsproxy.http.h11_codec import check_request_line, judge_request, judge_response
from wsproxy.http.known_lines import KnownLines
from wsproxy.http.lines import has_broken_line_end
from wsproxy.http.messages import (
    CHUNKED,
    UPGRADE_LINES,
    HeadLimits,
    MalformedRequestError,
    MalformedResponseError,
    RequestHead,
    ResponseHead,
    field_values,
    remover,
)
from wsproxy.http.via import via_line

EMPTY_LINES: Final = 4
"""Empty lines skipped before a request line (RFC 9112 section 2.2 asks for one at least; old clients add a CRLF)."""
REQUEST_LINE_REST: Final = 64
"""Bytes a request line may have besides its target: every registered method, two spaces and the version fit in."""

_starts_as_request: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]").match
_without_host: Final = remover((b"host",))


def read_request_head(
    buffer: bytes, limits: HeadLimits, known: KnownLines | None = None
) -> tuple[RequestHead, int] | None:
    """Read the head at the start of `buffer`; returns it and how many bytes it took, or None while it is not all there.

    known: what its reader has seen, see `known_request_lines`.

    Called again with a longer buffer after each receive: until the end of the head is there only a few searches run.
    Raises MalformedRequestError.
    """
    if known is None:
        known = known_request_lines()
    if buffer.endswith(b"\r\n\r\n"):  # usually the end of this very head, which needs no search then: 0.4 us
        head = parse_request(buffer, limits, known)
        if head is not None:
            return head, len(buffer)
    start = _skip_empty_lines(buffer) if buffer.startswith((b"\r", b"\n")) else 0
    end = buffer.find(b"\r\n\r\n", start)
    if end < 0:
        _check_unfinished_request(buffer, start, limits)
        return None
    end += 4
    raw_head = buffer[start:end]
    head = parse_request(raw_head, limits, known)
    if head is None:
        head = judge_request(raw_head, limits)
    return head, end


def read_response_head(
    buffer: bytes, method: bytes, limit_bytes: int, known: KnownLines | None = None
) -> tuple[ResponseHead, int] | None:
    """Read the head of an answer to a request with `method`; None while it is not all there. known: as above.

    An interim answer (1xx) comes back like any other, with length 0: read on behind it for the final one, except
    behind a 101. Raises MalformedResponseError, also for a head of more than `limit_bytes`.
    """
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        if not buffer.startswith(b"HTTP/1."[: len(buffer)]) or has_broken_line_end(buffer):
            raise MalformedResponseError(f"not an HTTP/1 response: {buffer[:64]!r}")
        if len(buffer) > limit_bytes:
            raise MalformedResponseError("response header fields too large")
        return None
    end += 4
    if end > limit_bytes:
        raise MalformedResponseError("response header fields too large")
    raw_head = buffer[:end]
    head = parse_response(raw_head, method, known_response_lines() if known is None else known)
    if head is None:
        head = judge_response(raw_head, method)
    return head, end


def encode_request(head: RequestHead, identity: bytes) -> bytes:
    """Write a request head for the upstream.

    identity: ready-made canonical lines (X-Forwarded-For and the like), or b"". No Connection field is sent except for
    an upgrade: HTTP/1.1 connections persist (RFC 9112 section 9.3).
    """
    if head.upgrade:
        identity += UPGRADE_LINES
    elif head.length == CHUNKED:
        identity = b"Transfer-Encoding: chunked\r\n" + identity
    return b"%b %b HTTP/1.1\r\n%b%b\r\n" % (head.method, head.target, head.fields, identity)


def encode_response(head: ResponseHead, chunked: bool, close: bool, minor_version: int, date: bytes = b"") -> bytes:
    """Write a response head for the client.

    chunked: the body follows in chunked coding. close: this is the connection's last response. minor_version: what the
    client spoke; one of HTTP/1.0 must be told that the connection stays open (RFC 9112 section 9.3). date: the line to
    add, or b"".
    """
    if chunked or close or minor_version == 0 or head.status == 101:
        date += _connection_lines(head, chunked, close, minor_version)
    return b"HTTP/1.1 %d %b\r\n%b%b\r\n" % (head.status, head.reason, head.fields, date)


def with_trailer(encoded: bytes, names: bytes) -> bytes:
    """A whole written head that announces these trailer fields as well."""
    return b"%bTrailer: %b\r\n\r\n" % (encoded[:-2], names)


def with_host(head: RequestHead, authority: bytes) -> None:
    """Make `authority` the Host that the upstream sees; `head.authority` stays what the client asked for."""
    head.fields = b"Host: %b\r\n%b" % (authority, _without_host(head.fields))


def with_via(head: ResponseHead, name: bytes) -> ResponseHead:
    """A copy that has come through the proxy of this name."""
    return with_line(head, via_line(head.minor_version, name))


def with_fields(head: ResponseHead, lines: bytes) -> ResponseHead:
    """A copy with one more field (`Name: value\\r\\n`), or `head` itself where it has a field of that name already."""
    name = lines[: lines.index(b":")]
    return head if field_values(head.fields, name) else with_line(head, lines)


def with_line(head: ResponseHead, line: bytes) -> ResponseHead:
    """A copy with one more field (`Name: value\\r\\n`), whether or not it has one of that name."""
    return ResponseHead(  # a quarter of what `copy` takes
        head.status,
        head.reason,
        head.minor_version,
        head.fields + line,
        head.length,
        head.keep_alive,
        head.keep_alive_timeout_s,
        head.upgrade,
        head.trailer,
        head.has_date,
    )


def _connection_lines(head: ResponseHead, chunked: bool, close: bool, minor_version: int) -> bytes:
    if head.upgrade:
        return UPGRADE_LINES
    lines = b"Transfer-Encoding: chunked\r\n" if chunked else b""
    if close:
        return lines + b"Connection: close\r\n"
    return lines + b"Connection: keep-alive\r\n" if minor_version == 0 else lines


def _skip_empty_lines(buffer: bytes) -> int:
    start = 0
    while buffer.startswith(b"\r\n", start):
        start += 2
        if start > 2 * EMPTY_LINES:
            raise MalformedRequestError(400, "empty lines instead of a request")
    return start


def _check_unfinished_request(buffer: bytes, start: int, limits: HeadLimits) -> None:
    """Refuse what no further byte can turn into a head."""
    rest = len(buffer) - start
    if rest == 0 or (rest == 1 and buffer[start] == 0x0D):
        return
    if not _starts_as_request(buffer, start) or has_broken_line_end(buffer):
        raise MalformedRequestError(400, "illegal request line")
    line_end = buffer.find(b"\r\n", start)
    if line_end < 0:
        if rest > limits.target_bytes + REQUEST_LINE_REST:
            raise MalformedRequestError(414, "request target too long")
        return
    check_request_line(buffer[start:line_end], limits)
    if rest > limits.head_bytes:
        raise MalformedRequestError(431, "request header fields too large")
