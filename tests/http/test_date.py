"""The Date line, as RFC 9110 section 5.6.7 writes it."""

from __future__ import annotations

from wsproxy.http.date import date_line


def test_a_date_line() -> None:
    assert date_line(784111777) == b"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
    assert date_line(0.9) == b"Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n"
