"""The readers of one connection's heads, which remember the last one: peers repeat themselves.

Pure. A client that polls, a browser's API calls, a load balancer's probes send the same bytes again and again over one
connection; so does a server within one second of its Date. Bytes that begin with the very head read last, its empty
line included, are that head: a comparison (0.1 us) instead of a parse (2 to 5 us). HPACK (RFC 7541) rests on the same
habit. A head that differs costs the comparison, and its lines are looked up among those that any connection had.
"""

from __future__ import annotations

from typing import Final

from wsproxy.http.codec import read_request_head, read_response_head
from wsproxy.http.fast_codec import known_request_lines, known_response_lines, parse_request_line
from wsproxy.http.known_lines import KnownLines
from wsproxy.http.messages import HeadLimits, RequestHead, ResponseHead

KEPT_BYTES: Final = 2048
"""Longest head that is remembered: nearly all are shorter, and each open connection may hold one."""


class RequestReader:
    """Reads the heads of one client connection. Heads may be returned twice: they are not to be changed.

    A head that differs from the last one in its target alone, as those of one client often do, has only its request
    line read: a browser's in 1.5 of 4.5 us.
    """

    __slots__ = ("_fields", "_head", "_known", "_limits", "_raw")

    def __init__(self, limits: HeadLimits, known: KnownLines | None = None) -> None:
        self._limits = limits
        self._known = known_request_lines() if known is None else known
        self._raw = b""
        self._fields = b""  # from the LF of the request line to the end of the head
        self._head: RequestHead | None = None

    def read(self, buffer: bytes) -> tuple[RequestHead, int] | None:
        """As `read_request_head`. Raises MalformedRequestError."""
        head = self._head
        if head is not None:
            if buffer.startswith(self._raw):
                return head, len(self._raw)
            if buffer.endswith(self._fields) and (repeated := self._read_line(buffer, head)) is not None:
                return repeated, len(buffer)
        found = read_request_head(buffer, self._limits, self._known)
        if found is not None:
            self._remember(buffer, *found)
        return found

    def _read_line(self, buffer: bytes, head: RequestHead) -> RequestHead | None:
        """The head, if its fields are those of `head` and its request line is as it should be."""
        line = parse_request_line(buffer[: -len(self._fields)])
        limits = self._limits
        if line is None or len(line[1]) > limits.target_bytes or len(buffer) > limits.head_bytes:
            return None
        method, target = line
        if method != head.method:
            return None
        return RequestHead(
            method,
            target,
            1,
            head.authority,
            head.fields,
            head.length,
            head.keep_alive,
            claims=head.claims,
            told=head.told,
        )

    def _remember(self, buffer: bytes, head: RequestHead, size: int) -> None:
        """Keep a plain head: one that asks for an upgrade or counts its hops is changed on its way.

        Of one whose target is no path, the fields do not say what they would say alone.
        """
        is_plain = not (head.upgrade or head.expect_continue or head.trailer) and head.max_forwards is None
        has_path = head.minor_version and buffer.startswith(head.method + b" /")
        if size > KEPT_BYTES or not is_plain or not has_path:
            self._head = None
            return
        self._head = head
        self._raw = raw = buffer[:size]
        self._fields = raw[raw.find(b"\n") :]


class ResponseReader:
    """Reads the heads of one upstream connection. Heads may be returned twice: they are not to be changed."""

    __slots__ = ("_head", "_known", "_limit_bytes", "_method", "_raw")

    def __init__(self, limit_bytes: int, known: KnownLines | None = None) -> None:
        self._known = known_response_lines() if known is None else known
        self._limit_bytes = limit_bytes
        self._raw = self._method = b""
        self._head: ResponseHead | None = None

    def read(self, buffer: bytes, method: bytes) -> tuple[ResponseHead, int] | None:
        """As `read_response_head`. Raises MalformedResponseError."""
        if self._head is not None and method == self._method and buffer.startswith(self._raw):
            return self._head, len(self._raw)
        found = read_response_head(buffer, method, self._limit_bytes, self._known)
        if found is not None and found[1] <= KEPT_BYTES:
            self._head, size = found
            self._raw, self._method = buffer[:size], method
        return found
