"""HTTP dates: the Date of answers that come without one, and what dates in fields say (RFC 9110 sections 5.6.7, 6.6.1).

Pure: the caller knows what time it is, and keeps the line for as long as it is true.
"""

from __future__ import annotations

import re
from calendar import timegm
from email.utils import formatdate
from functools import lru_cache
from typing import Final

_MONTHS: Final = (b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec")
_TIME: Final = rb"([0-9]{2}):([0-9]{2}):([0-9]{2})"
_imf_fixdate: Final = re.compile(rb"(?i)[a-z]{3}, ([0-9]{2}) ([a-z]{3}) ([0-9]{4}) " + _TIME + rb" GMT").fullmatch
_rfc850: Final = re.compile(rb"(?i)[a-z]{6,9}, ([0-9]{2})-([a-z]{3})-([0-9]{2}) " + _TIME + rb" GMT").fullmatch
_asctime: Final = re.compile(rb"(?i)[a-z]{3} ([a-z]{3}) ([0-9 ][0-9]) " + _TIME + rb" ([0-9]{4})").fullmatch

_CENTURY_OF_850: Final = 70
"""Two digits of a year below this are of this century: the format was out of use before 1970 could be far away."""


def date_line(unix_time_s: float) -> bytes:
    """`Date: Tue, 15 Nov 1994 08:12:31 GMT` and its line end."""
    return b"Date: %b\r\n" % format_date(unix_time_s)


def format_date(unix_time_s: float) -> bytes:
    """`Tue, 15 Nov 1994 08:12:31 GMT`."""
    return formatdate(unix_time_s, usegmt=True).encode("ascii")


@lru_cache(maxsize=512)  # the Last-Modified of a few hundred resources, the Date of this second
def parse_date(value: bytes) -> int | None:
    """The Unix time that a date in any of HTTP's three forms means; None for what is none of them."""
    if (match := _imf_fixdate(value)) is not None:
        day, month, year, *clock = match.groups()
        return _unix_time(year, month, day, clock)
    if (match := _rfc850(value)) is not None:
        day, month, short_year, *clock = match.groups()
        century = b"20" if int(short_year) < _CENTURY_OF_850 else b"19"
        return _unix_time(century + short_year, month, day, clock)
    if (match := _asctime(value)) is not None:
        month, day, hour, minute, second, year = match.groups()
        return _unix_time(year, month, day, [hour, minute, second])
    return None


def _unix_time(year: bytes, month: bytes, day: bytes, clock: list[bytes]) -> int | None:
    hour, minute, second = map(int, clock)
    if month.lower() not in _MONTHS or not 1 <= int(day) <= 31 or hour > 23 or minute > 59 or second > 60:
        return None
    return timegm((int(year), _MONTHS.index(month.lower()) + 1, int(day), hour, minute, second, 0, 0, 0))
