"""Parsers of what counts as failing: a share of all requests, and the status codes of answers.

Pure; the parsers of single values that every section has in common are in `values`.
"""

from __future__ import annotations

import re
from typing import Final

from wsproxy.config.values import Parser

_PERCENT: Final = re.compile(r"([0-9]{1,3})\s*%")
_STATUS: Final = re.compile(r"5[0-9][0-9]")


def _share(written: str) -> float | None:
    if written.lower() == "none":
        return None
    match = _PERCENT.fullmatch(written)
    if match is None or not 1 <= int(match[1]) <= 100:
        raise ValueError(f"'{written}' is not a share (write 50%, from 1% to 100%; none for no limit)")
    return int(match[1]) / 100


def _statuses(written: str) -> tuple[int, ...]:
    if written.lower() == "none":
        return ()
    words = written.replace(",", " ").split()
    for word in words:
        if _STATUS.fullmatch(word) is None:
            raise ValueError(f"'{word}' is not the status of a failure (write 502 503 504, from 500 to 599; or none)")
    return tuple(sorted({int(word) for word in words}))


SHARE: Final = Parser("N% | none", _share)
STATUSES: Final = Parser("500..599, several | none", _statuses)
