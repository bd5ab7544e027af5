"""Answers and requests for the tests of the cache."""

from __future__ import annotations

from wsproxy.cache.asked import Asked
from wsproxy.cache.freshness import NO_DEFAULTS, Defaults, Terms, terms_of
from wsproxy.cache.stored import StoredAnswer
from wsproxy.http.date import format_date
from wsproxy.http.messages import ResponseHead

NOW = 1_800_000_000.0

PLAIN = Asked(b"Host: a\r\n", obeys=True)


def block(*lines: str) -> bytes:
    """A canonical block of fields; `{N}` stands for the date N seconds from NOW."""
    return "".join(f"{_dated(line)}\r\n" for line in lines).encode("latin-1")


def _dated(line: str) -> str:
    before, brace, rest = line.partition("{")
    if not brace:
        return line
    offset, _, after = rest.partition("}")
    return before + format_date(NOW + float(offset)).decode() + after


def head(*lines: str, status: int = 200, length: int = 0) -> ResponseHead:
    """A response head with these fields."""
    return ResponseHead(status, b"OK", 1, block(*lines), length, True)


def terms(*lines: str, status: int = 200, authorized: bool = False, defaults: Defaults = NO_DEFAULTS) -> Terms | None:
    """The terms of an answer with these fields that came at NOW."""
    return terms_of(head(*lines, status=status), authorized, NOW, NOW, defaults)


def asked(*lines: str, obeys: bool = True) -> Asked:
    """What a request with these fields asks for."""
    return Asked(block(*lines), obeys)


def stored(
    *lines: str,
    body: bytes = b"0123456789",
    status: int = 200,
    on: Terms = Terms(60.0),  # noqa: B008 - frozen
) -> StoredAnswer:
    """An answer that was kept at NOW."""
    return StoredAnswer(status, b"OK", block("Date: {0}", *lines), body, on, NOW)
