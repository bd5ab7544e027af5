"""The readers of one connection's heads, which remember the last one: peers repeat themselves.

Pure. A client that polls, a browser's API calls, a load balancer's probes send the same bytes again and again over one
connection; so does a server within one second of its Date. Bytes that begin with the very head read last, its empty
line included, are that head: a comparison (0.1 us) instead of a parse (2 to 6 us). HPACK (RFC 7541) rests on the same
habit. A head that differs costs the comparison alone.
"""

from __future__ import annotations

import re
from typing import Final

from wsproxy.http.codec import read_request_head, read_response_head
from wsproxy.http.messages import HeadLimits, RequestHead, ResponseHead

KEPT_BYTES: Final = 2048
"""Longest head that is remembered: nearly all are shorter, and each open connection may hold one."""

ONE: Final = ord("1")
"""The last character of `HTTP/1.1`."""

_request_line: Final = re.compile(rb"(/[\x21\x22\x24-\x7e]*+) HTTP/1\.1").fullmatch


class RequestReader:
    """Reads the heads of one client connection. Heads may be returned twice: they are not to be changed.

    A head that differs from the last one in its target alone, as those of one client mostly do, has only its request
    line read: 1.5 of 3 us.
    """

    __slots__ = ("_fields", "_head", "_limits", "_opening", "_raw")

    def __init__(self, limits: HeadLimits) -> None:
        self._limits = limits
        self._raw = b""
        self._opening = b""  # `GET /`: the method, and that the target is a path
        self._fields = b""  # from the end of the request line to that of the head
        self._head: RequestHead | None = None

    def read(self, buffer: bytes) -> tuple[RequestHead, int] | None:
        """As `read_request_head`. Raises MalformedRequestError."""
        head = self._head
        if head is not None:
            if buffer.startswith(self._raw):
                return head, len(self._raw)
            if buffer.startswith(self._opening) and (found := self._read_line(buffer, head)) is not None:
                return found
        found = read_request_head(buffer, self._limits)
        if found is not None:
            self._remember(buffer, *found)
        return found

    def _read_line(self, buffer: bytes, head: RequestHead) -> tuple[RequestHead, int] | None:
        """The head, if its fields are those of `head` and its request line is as it should be."""
        end = buffer.find(b"\r\n")
        if end < 0 or not buffer.startswith(self._fields, end):
            return None
        line = _request_line(buffer, len(head.method) + 1, end)
        size = end + len(self._fields)
        if line is None or line.end(1) - line.start(1) > self._limits.target_bytes or size > self._limits.head_bytes:
            return None
        repeated = RequestHead(
            head.method, line[1], 1, head.authority, head.fields, head.length, head.keep_alive, claims=head.claims
        )
        return repeated, size

    def _remember(self, buffer: bytes, head: RequestHead, size: int) -> None:
        """Keep a plain head: one that asks for an upgrade or counts its hops is changed on its way."""
        is_plain = not (head.upgrade or head.expect_continue or head.trailer) and head.max_forwards is None
        opening = head.method + b" /"
        line_end = buffer.find(b"\r\n")
        if size > KEPT_BYTES or not is_plain or not buffer.startswith(opening) or buffer[line_end - 1] != ONE:
            self._head = None
            return
        self._head = head
        self._opening = opening
        self._raw = buffer[:size]
        self._fields = buffer[line_end:size]


class ResponseReader:
    """Reads the heads of one upstream connection. Heads may be returned twice: they are not to be changed."""

    __slots__ = ("_head", "_limit_bytes", "_method", "_raw")

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._raw = self._method = b""
        self._head: ResponseHead | None = None

    def read(self, buffer: bytes, method: bytes) -> tuple[ResponseHead, int] | None:
        """As `read_response_head`. Raises MalformedResponseError."""
        if self._head is not None and method == self._method and buffer.startswith(self._raw):
            return self._head, len(self._raw)
        found = read_response_head(buffer, method, self._limit_bytes)
        if found is not None and found[1] <= KEPT_BYTES:
            self._head, size = found
            self._raw, self._method = buffer[:size], method
        return found
