"""Where messages go: one line each on standard error, with time, level and the part of the proxy that speaks.

Knows handlers and the writer's thread: who logs never waits for who reads. What nobody reads is bounded and counted.
"""

from __future__ import annotations

import json
import logging
from typing import Final

from wsproxy.observe.line_writer import DescriptorTarget, LineWriter

STDERR: Final = 2

LAST_WORDS_S: Final = 1.0
"""What the end waits for the last messages: not for ever, as whoever reads them may have stopped."""

_FORMAT: Final = "%(asctime)s %(levelname)-7s %(message)s"
_TIME_TEXT: Final = "%Y-%m-%dT%H:%M:%S"
_TIME_JSON: Final = "%Y-%m-%dT%H:%M:%S%z"


class JsonFormatter(logging.Formatter):
    """An object a line: time, level, logger and message; `error` holds the traceback where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        told = {
            "time": self.formatTime(record, _TIME_JSON),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            told["error"] = self.formatException(record.exc_info)
        return json.dumps(told)


class MessageHandler(logging.Handler):
    """Hands messages to a thread that writes them to a descriptor."""

    def __init__(self, descriptor: int = STDERR) -> None:
        super().__init__()
        self._writer = LineWriter(DescriptorTarget(descriptor), "messages")
        self._said = 0

    @property
    def dropped(self) -> int:
        """Messages lost so far: nobody took them in time, or they could not be written."""
        return self._writer.dropped

    def emit(self, record: logging.LogRecord) -> None:
        """Have it written. Never waits."""
        try:
            line = self.format(record) + "\n"
        except Exception:  # noqa: BLE001 - as every handler: a message that cannot be put together ends nothing
            self.handleError(record)
            return
        if self.dropped > self._said and not self._writer.waiting_bytes:
            said = f"{self.dropped - self._said} messages were lost before this one"
            told = logging.LogRecord("wsproxy", logging.WARNING, "", 0, said, None, None)
            line = f"{self.format(told)}\n{line}"
            self._said = self.dropped
        self._writer.write([line], len(line))

    def flush(self) -> None:
        """Wait a moment until all is written; `logging` asks for it when the process ends, in order or not."""
        self._writer.wait_idle(LAST_WORDS_S)

    def close(self) -> None:
        """Nothing more comes."""
        self._writer.close()
        super().close()


def set_up_logging(level: str, form: str = "text") -> None:
    """Send the lines of every `wsproxy.*` logger from `level` up to standard error, as `form` (text, json)."""
    logger = logging.getLogger("wsproxy")
    for handler in _handlers():
        handler.close()
    logger.handlers[:] = [MessageHandler()]
    logger.propagate = False
    use_logging(level, form)


def use_logging(level: str, form: str) -> None:
    """Take over another level and form."""
    logger = logging.getLogger("wsproxy")
    logger.setLevel(level.upper())
    for handler in _handlers():
        handler.setFormatter(JsonFormatter() if form == "json" else logging.Formatter(_FORMAT, datefmt=_TIME_TEXT))


def messages_dropped() -> int:
    """Messages lost so far."""
    return sum(handler.dropped for handler in _handlers())


def _handlers() -> list[MessageHandler]:
    return [handler for handler in logging.getLogger("wsproxy").handlers if isinstance(handler, MessageHandler)]
