"""Line ends, which heads and trailers share.

Pure. Knows CR and LF, and is quick enough to be asked at every receive.
"""

from __future__ import annotations


def has_broken_line_end(text: bytes) -> bool:
    """Whether a CR or an LF stands alone, anywhere but for a CR at the very end, whose LF may still come.

    RFC 9112 section 2.2 lets a bare LF pass as a line end; a server behind us that does not would see another message.
    Counts instead of a regular expression: 8 KiB take microseconds, so a client that sends byte by byte gains nothing.
    """
    whole = text.count(b"\r\n")
    return text.count(b"\n") != whole or text.count(b"\r") != whole + text.endswith(b"\r")
