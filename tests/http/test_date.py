from __future__ import annotations

import pytest

from wsproxy.http.date import date_line, format_date, parse_date

NOON = 784111777


def test_written() -> None:
    assert format_date(NOON) == b"Sun, 06 Nov 1994 08:49:37 GMT"
    assert date_line(NOON) == b"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"


@pytest.mark.parametrize(
    "value",
    [
        b"Sun, 06 Nov 1994 08:49:37 GMT",
        b"SUN, 06 NOV 1994 08:49:37 gmt",
        b"Sunday, 06-Nov-94 08:49:37 GMT",
        b"Sun Nov  6 08:49:37 1994",
    ],
)
def test_the_three_forms(value: bytes) -> None:
    assert parse_date(value) == NOON


def test_two_digits_of_a_year() -> None:
    assert parse_date(b"Thursday, 18-Aug-50 02:01:18 GMT") == parse_date(b"Thu, 18 Aug 2050 02:01:18 GMT")


@pytest.mark.parametrize(
    "value",
    [
        b"0",
        b"",
        b"Sun, 06 Nov 1994 08:49:37 UTC",
        b"Sun, 06 Nov 94 08:49:37 GMT",
        b"Sun, 6 Nov 1994 08:49:37 GMT",
        b"Sun, 06 Foo 1994 08:49:37 GMT",
        b"Sun, 06 Nov 1994 24:49:37 GMT",
        b"Sun, 06 Nov 1994 08:60:37 GMT",
        b"Sun, 99 Nov 1994 08:49:37 GMT",
        b"Sun, 06 Nov 1994 08.49.37 GMT",
    ],
)
def test_what_is_no_date(value: bytes) -> None:
    assert parse_date(value) is None
