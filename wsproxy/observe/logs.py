"""Where log lines go: one line each on standard error, with time, level and the part of the proxy that speaks."""

from __future__ import annotations

import logging
import sys
from typing import Final

_FORMAT: Final = "%(asctime)s %(levelname)-7s %(message)s"


def set_up_logging(level: str) -> None:
    """Send the lines of every `wsproxy.*` logger from `level` up to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter(_FORMAT, datefmt="%Y-%m-%dT%H:%M:%S"))
    logger = logging.getLogger("wsproxy")
    logger.handlers[:] = [handler]
    logger.setLevel(level.upper())
    logger.propagate = False
