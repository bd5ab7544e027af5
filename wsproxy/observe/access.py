"""Access lines: one for each request, and for a WebSocket one when it opens and one when it has closed.

Knows how a line is put together and when it is written: collected here, handed over now and then, written by a thread.
The form was compiled at the start, into one format string and one function that picks its values out of a tuple.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from operator import itemgetter
from typing import Final, Protocol

import anyio

from wsproxy.config.access_format import FIELDS, JSON, NUMBERS, TEXT
from wsproxy.config.model import AccessFormat, LineTemplate, LogSettings
from wsproxy.exchange import Exchange
from wsproxy.http.messages import RequestHead
from wsproxy.observe.entries import Refusal, Values, WebSocketEntry, refused_values, request_values
from wsproxy.observe.line_writer import MAX_BUFFERED_BYTES, DescriptorTarget, FileTarget, LineWriter
from wsproxy.observe.sheet import Sheet
from wsproxy.observe.tcp_entry import TcpEnd, tcp_values
from wsproxy.ws.relay import RelayState

FLUSH_EVERY_S: Final = 0.5
"""How late a line may be seen; soon enough for a person who watches."""

BATCH_BYTES: Final = 64 * 1024
"""So much is handed over at once: while it is small it stays in the processor's cache."""

LAST_WORDS_S: Final = 1.0
"""What the end waits for the last lines to be written: not for ever, as whoever reads them may have stopped."""

STDOUT: Final = 1

_PLACES: Final = {name: place for place, name in enumerate(FIELDS)}
_OF_REQUESTS: Final = _PLACES["client_messages"]
"""The fields before it are those of requests; the others stay blank in their lines."""

_logger = logging.getLogger("wsproxy.access")


class Writer(Protocol):
    """Where lines are handed to, see LineWriter."""

    dropped: int
    problem: str

    @property
    def waiting_bytes(self) -> int: ...

    def write(self, lines: list[str], size: int) -> None: ...

    def reopen(self) -> None: ...

    def close(self) -> None: ...

    def wait_idle(self, timeout_s: float) -> bool: ...


class LineForm:
    """A template, compiled. known: how many of the fields, from the first on, its values hold; the others are blank."""

    def __init__(self, template: LineTemplate, sheet: Sheet, known: int) -> None:
        literals, places = [template.literals[0]], []
        for name, literal in zip(template.fields, template.literals[1:], strict=True):
            place = _PLACES[name]
            if place < known:
                places.append(place)
                literals.append(literal)
            else:
                literals[-1] += (sheet.no_number if name in NUMBERS else sheet.no_text) + literal
        self._format = "%s".join(literal.replace("%", "%%") for literal in literals) + "\n"
        self._pick: Callable[[Values], Values | str | int] = itemgetter(*places) if places else _nothing

    def line(self, values: Values) -> str:
        """The line that says all of it."""
        return self._format % self._pick(values)


def _nothing(_: Values) -> Values:
    return ()


class AccessLog:
    """Collects lines and hands them to a writer. dropped: lines lost so far."""

    def __init__(self, settings: LogSettings, writer: Writer, clock: Callable[[], float] = time.time) -> None:
        chosen: AccessFormat = settings.access_format or (JSON if settings.format == "json" else TEXT)
        self._sheet = Sheet(chosen.request.is_json, clock)
        self._request = LineForm(chosen.request, self._sheet, _OF_REQUESTS)
        self._closing = LineForm(chosen.closing, self._sheet, len(FIELDS))
        self._writer = writer
        self._lines: list[str] = []
        self._size = 0
        self._dropped = 0
        self._said = 0
        self._retired = False

    @property
    def dropped(self) -> int:
        """Lines lost so far: nobody took them in time, or they could not be written."""
        return self._dropped + self._writer.dropped

    # What there is to say.

    def record(self, exchange: Exchange, client: str) -> None:
        """An exchange has ended, answered or not."""
        if exchange.failure is not None and exchange.stages is not None:
            exchange.stages.stop(exchange.ended_at)
        self._sheet.look_at_clock()
        self._add(self._request.line(request_values(self._sheet, client, exchange)))

    def refused(self, refusal: Refusal, client: str, head: RequestHead | None) -> None:
        """A request was refused before it became an exchange; `head` is None where it could not be read."""
        self._sheet.look_at_clock()
        self._add(self._request.line(refused_values(self._sheet, client, head, refusal)))

    def opened(self, exchange: Exchange, client: str) -> WebSocketEntry:
        """A WebSocket has opened; what is returned is given back to `closed`, here or to the log that takes over."""
        self._sheet.look_at_clock()
        self._add(self._request.line(request_values(self._sheet, client, exchange, "ws_open")))
        return WebSocketEntry(self._sheet, client, exchange)

    def closed(self, entry: WebSocketEntry, state: RelayState) -> None:
        """It is over."""
        self._sheet.look_at_clock()
        self._add(self._closing.line(entry.values(self._sheet, state)))

    def tcp(self, end: TcpEnd, client: str) -> None:
        """A connection of a `[tcp:NAME]` section is over."""
        self._sheet.look_at_clock()
        self._add(self._closing.line(tcp_values(self._sheet, client, end)))

    def _add(self, line: str) -> None:
        size = self._size + len(line)
        if size > MAX_BUFFERED_BYTES:
            self._dropped += 1
        else:
            self._size = size
            self._lines.append(line)
            if size >= BATCH_BYTES:
                self.flush()

    # Where it goes.

    def reopen(self) -> None:
        """Write what comes from now on to a new file: the old one has been renamed."""
        self.flush()
        self._writer.reopen()

    def flush(self) -> None:
        """Hand over what has been collected, unless much of what came before waits still; tell of lines lost."""
        writer = self._writer
        if self._lines and writer.waiting_bytes + self._size <= MAX_BUFFERED_BYTES:
            writer.write(self._lines, self._size)
            self._lines, self._size = [], 0
        if self.dropped > self._said and not writer.waiting_bytes:
            why = f": {writer.problem}" if writer.problem else ""
            _logger.warning("%d access lines were lost%s", self.dropped - self._said, why)
            self._said = self.dropped

    async def run(self) -> None:
        """Flush now and then until `retire` or cancelled, and once more at the end."""
        try:
            while not self._retired:
                await anyio.sleep(FLUSH_EVERY_S)
                self.flush()
        finally:
            self.flush()
            if self._retired:
                self.close()
            else:
                self._writer.wait_idle(LAST_WORDS_S)

    def retire(self) -> None:
        """Another log takes over: hand over what there is, and end."""
        self.flush()
        self._retired = True

    def close(self) -> None:
        """Nothing more comes, and what was handed over is still written."""
        self._writer.close()


def open_access_log(settings: LogSettings) -> AccessLog | None:
    """The log that the settings want, None for none. Raises OSError for a file that cannot be opened."""
    if settings.access == "off":
        return None
    target = DescriptorTarget(STDOUT) if settings.access == "stdout" else FileTarget(settings.access)
    return AccessLog(settings, LineWriter(target, "access log"))
