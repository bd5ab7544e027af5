"""The Date of answers that come without one (RFC 9110 sections 5.6.7 and 6.6.1).

Pure: the caller knows what time it is, and keeps the line for as long as it is true.
"""

from __future__ import annotations

from email.utils import formatdate


def date_line(unix_time_s: float) -> bytes:
    """`Date: Tue, 15 Nov 1994 08:12:31 GMT` and its line end."""
    return b"Date: %b\r\n" % formatdate(unix_time_s, usegmt=True).encode("ascii")
