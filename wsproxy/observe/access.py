"""Access lines: one for each request, collected and written in batches.

Knows how a line looks and where it goes. The buffer is bounded: a file that cannot be written loses lines, counted, and
never holds a request up.
"""

from __future__ import annotations

import re
import time
from typing import Final, Protocol, TextIO

import anyio

from wsproxy.errors import CLIENT_LEFT
from wsproxy.exchange import Exchange
from wsproxy.http.messages import RequestHead

FLUSH_EVERY_S: Final = 0.5
"""How late a line may be seen; soon enough for a person who watches."""

MAX_BUFFERED_LINES: Final = 20_000
"""About 4 MiB: some seconds of a busy proxy."""


_trace_id: Final = re.compile(rb"(?im)^traceparent: [0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-").search


class Clock(Protocol):
    """Local wall-clock time."""

    def __call__(self) -> float: ...


class AccessLog:
    """Plain lines: time, client, request line, status, bytes, milliseconds, backend, request id.

    Behind these, where there are any: the trace id, and in parentheses what went wrong.
    """

    def __init__(self, out: TextIO, clock: Clock = time.time) -> None:
        self._out = out
        self._clock = clock
        self._lines: list[str] = []
        self.dropped = 0

    def record(self, exchange: Exchange, peer: str) -> None:
        """An exchange has ended, answered or not."""
        head = exchange.head
        response = exchange.response
        failure = exchange.failure
        status = response.status if response is not None and exchange.answered else 0
        if failure is not None and (failure is CLIENT_LEFT or not exchange.answered):
            status = failure.status
        reason = "" if failure is None else f" ({failure.message})"
        backend_name = exchange.backend_name or "-"
        duration_ms = (time.perf_counter() - exchange.started_at) * 1000
        self._add(
            f'{peer} "{_request_line(head)}" {status} {exchange.answered_bytes} {duration_ms:.1f}ms {backend_name} '
            f"{_shown(exchange.request_id)}{_trace(head)}{reason}"
        )

    def refused(
        self, status: int, message: str, peer: str, request_id: bytes, head: RequestHead | None = None
    ) -> None:
        """A request was refused before it became an exchange; `head` is None where it could not be read."""
        asked, trace = ("-", "") if head is None else (_request_line(head), _trace(head))
        self._add(f'{peer} "{asked}" {status} 0 0.0ms - {_shown(request_id)}{trace} ({message})')

    def _add(self, line: str) -> None:
        if len(self._lines) >= MAX_BUFFERED_LINES:
            self.dropped += 1
            return
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(self._clock()))
        self._lines.append(f"{stamp} {line}\n")

    def flush(self) -> None:
        """Write what has been collected; lines that cannot be written are counted as dropped."""
        lines, self._lines = self._lines, []
        if not lines:
            return
        try:
            self._out.writelines(lines)
            self._out.flush()
        except (OSError, ValueError):  # ValueError: closed, or a character that its encoding lacks
            self.dropped += len(lines)

    async def run(self) -> None:
        """Flush now and then until cancelled, and once more at the end."""
        try:
            while True:
                await anyio.sleep(FLUSH_EVERY_S)
                self.flush()
        finally:
            self.flush()


def _request_line(head: RequestHead) -> str:
    return f"{_shown(head.method)} {_shown(head.target)} HTTP/1.{head.minor_version}"


def _trace(head: RequestHead) -> str:
    """The trace that the request belongs to (W3C Trace Context), so that its spans can be found from here."""
    if b"raceparent: " not in head.fields:  # nearly all: a tenth of what looking for the field takes
        return ""
    match = _trace_id(head.fields)
    return f" trace={match[1].decode()}" if match else ""


def _shown(raw: bytes) -> str:
    """Bytes of a client as one harmless word: the codecs let no control character through, quotes are escaped here."""
    return raw.decode("latin-1").replace('"', "%22")
