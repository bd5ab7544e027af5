"""Where log lines go: one each on standard error, with time, level and the part of the proxy that speaks."""

from __future__ import annotations

import json
import logging
import sys
from typing import Final

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


def set_up_logging(level: str, form: str = "text") -> None:
    """Send the lines of every `wsproxy.*` logger from `level` up to standard error, as `form` (text, json)."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else logging.Formatter(_FORMAT, datefmt=_TIME_TEXT))
    logger = logging.getLogger("wsproxy")
    logger.handlers[:] = [handler]
    logger.setLevel(level.upper())
    logger.propagate = False
