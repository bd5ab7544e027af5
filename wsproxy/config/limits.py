"""Parsers of what limits clients: rates, origins, and what is done about a peer that does not read.

Pure; the parsers of single values that every section has in common are in `values`.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

from wsproxy.config.model import Rate
from wsproxy.config.values import DURATION, Parser, size

_RATE: Final = re.compile(r"([0-9]+[kmg]?)/(s|m|h)", re.IGNORECASE)
_UNIT_S: Final = {"s": 1.0, "m": 60.0, "h": 3600.0}
_COUNT: Final = re.compile(r"[0-9]{1,9}")
_ORIGIN: Final = re.compile(r"[a-z][a-z0-9+.\-]*://(\*\.)?([a-z0-9_.\-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?", re.IGNORECASE)
_ORIGIN_WORDS: Final = frozenset({"same-host", "null"})
_CLOSE_AFTER: Final = "close:"
_BYTES: Final = size(1)


def _split(written: str, examples: str) -> tuple[str, float]:
    """The amount as written, and the seconds of a rate."""
    match = _RATE.fullmatch(written)
    if match is None:
        raise ValueError(f"'{written}' is not a rate (write {examples})")
    return match[1], _UNIT_S[match[2].lower()]


def _rate(written: str) -> Rate:
    amount, period_s = _split(written, "5/s, 100/m")
    if _COUNT.fullmatch(amount) is None or not int(amount):
        raise ValueError(f"'{written}' is not a rate of 1 to 999999999 (write 5/s, 100/m)")
    return Rate(int(amount), period_s)


def _byte_rate(written: str) -> Rate:
    amount, period_s = _split(written, "64k/s, 10m/m")
    return Rate(_BYTES.parse(amount), period_s)


def _session_rate(written: str) -> Rate:
    return _rate(written if "/" in written else f"{written}/s")


def _rates(written: str) -> tuple[Rate]:
    return (_rate(written),)


def _burst(written: str) -> tuple[int]:
    if _COUNT.fullmatch(written) is None or not int(written):
        raise ValueError(f"'{written}' is not a number of requests (1 to 999999999)")
    return (int(written),)


def _redis_url(written: str) -> str:
    """As the client library reads it; nothing of it is repeated in an error, since it may hold a password."""
    parts = urlsplit(written)
    try:
        port = parts.port
    except ValueError:
        raise ValueError("the port of this URL is not a number from 1 to 65535") from None
    if parts.scheme == "unix" and parts.path.startswith("/"):
        return written
    if parts.scheme not in ("redis", "rediss") or not parts.hostname or port == 0:
        raise ValueError(
            "this is not the URL of a Redis server (write redis://host:6379/0, rediss://… or unix:///path)"
        )
    if parts.path.strip("/") and not parts.path.strip("/").isdigit():
        raise ValueError("the path of this URL is not the number of a database (write redis://host:6379/0)")
    return written


def _origins(written: str) -> tuple[str, ...]:
    origins = tuple(written.replace(",", " ").lower().split())
    for origin in origins:
        if origin not in _ORIGIN_WORDS and _ORIGIN.fullmatch(origin) is None:
            remedy = "write https://app.example.org, https://*.example.org, same-host or null"
            raise ValueError(f"'{origin}' is not an origin ({remedy})")
    return origins


def _slow_consumer(written: str) -> float | None:
    word = written.lower()
    if word == "block":
        return None
    if not word.startswith(_CLOSE_AFTER):
        raise ValueError(f"'{written}' is neither block nor close:TIME (write close:30s)")
    limit_s: float = DURATION.parse(word.removeprefix(_CLOSE_AFTER))
    return limit_s


def _optional_duration(written: str) -> float | None:
    if written.lower() in {"0", "none"}:
        return None
    value: float = DURATION.parse(written)
    return value


RATE: Final = Parser("5/s | 100/m", _rate)
RATES: Final = Parser("5/s | 100/m, one a line", _rates, many=True)
BURSTS: Final = Parser("N, one a line", _burst, many=True)
REDIS_URL: Final = Parser("redis://host:port/db", _redis_url)
BYTE_RATE: Final = Parser("64k/s | 10m/m", _byte_rate)
SESSION_RATE: Final = Parser("N, sessions a second", _session_rate)
ORIGINS: Final = Parser("same-host | null | https://host[:port] | https://*.domain", _origins, many=True)
SLOW_CONSUMER: Final = Parser("block | close:TIME", _slow_consumer, suffix="_s")
OPTIONAL_DURATION: Final = Parser("duration | none", _optional_duration, suffix="_s")
