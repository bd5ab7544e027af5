"""Access lines: one for each request, collected and written in batches.

Knows how a line looks and where it goes. The buffer is bounded: a file that cannot be written loses lines, counted, and
never holds a request up.
"""

from __future__ import annotations

import time
from typing import Final, Protocol, TextIO

import anyio

from wsproxy.exchange import Exchange

FLUSH_EVERY_S: Final = 0.5
"""How late a line may be seen; soon enough for a person who watches."""

MAX_BUFFERED_LINES: Final = 20_000
"""About 4 MiB: some seconds of a busy proxy."""


class Clock(Protocol):
    """Local wall-clock time."""

    def __call__(self) -> float: ...


class AccessLog:
    """Plain lines: time, client, request line, status, bytes, milliseconds, backend, request id."""

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
        status = failure.status if failure is not None and not exchange.answered else response.status if response else 0
        backend_name = exchange.backend_name or "-"
        duration_ms = (time.perf_counter() - exchange.started_at) * 1000
        self._add(
            f'{peer} "{_shown(head.method)} {_shown(head.target)} HTTP/1.{head.minor_version}" {status} '
            f"{exchange.answered_bytes} {duration_ms:.1f}ms {backend_name} {_shown(exchange.request_id)}"
        )

    def refused(self, status: int, message: str, peer: str, request_id: bytes) -> None:
        """A request was refused before it became an exchange."""
        self._add(f'{peer} "-" {status} 0 0.0ms - {_shown(request_id)} ({message})')

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


def _shown(raw: bytes) -> str:
    """Bytes of a client as one harmless word: the codecs let no control character through, quotes are escaped here."""
    return raw.decode("latin-1").replace('"', "%22")
