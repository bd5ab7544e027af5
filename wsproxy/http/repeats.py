"""The readers of one connection's heads, which remember the last one: peers repeat themselves.

Pure. A client that polls, a browser's API calls, a load balancer's probes send the same bytes again and again over one
connection; so does a server within one second of its Date. Bytes that begin with the very head read last, its empty
line included, are that head: a comparison (0.1 us) instead of a parse (2 to 6 us). HPACK (RFC 7541) rests on the same
habit. A head that differs costs the comparison alone.
"""

from __future__ import annotations

from typing import Final

from wsproxy.http.codec import read_request_head, read_response_head
from wsproxy.http.messages import HeadLimits, RequestHead, ResponseHead

KEPT_BYTES: Final = 2048
"""Longest head that is remembered: nearly all are shorter, and each open connection may hold one."""


class RequestReader:
    """Reads the heads of one client connection. Heads may be returned twice: they are not to be changed."""

    __slots__ = ("_head", "_limits", "_raw")

    def __init__(self, limits: HeadLimits) -> None:
        self._limits = limits
        self._raw = b""
        self._head: RequestHead | None = None

    def read(self, buffer: bytes) -> tuple[RequestHead, int] | None:
        """As `read_request_head`. Raises MalformedRequestError."""
        if self._head is not None and buffer.startswith(self._raw):
            return self._head, len(self._raw)
        found = read_request_head(buffer, self._limits)
        if found is not None and found[1] <= KEPT_BYTES:
            self._head, size = found
            self._raw = buffer[:size]
        return found


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
