"""What all lines of an access log share: how values are written, the time of day, and what stands for no value.

Every value is made to stand in a line as it is: without line ends, quotes and backslashes, whoever sent it, and without
secrets; so neither text nor JSON has to escape anything.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from time import localtime, strftime, time
from typing import Final

_unsafe: Final = re.compile(rb"[^\x20\x21\x23-\x5b\x5d-\x7e]")
_secret: Final = re.compile(
    r"(?i)([?&;](?:[a-z0-9]+[_-])?(?:token|api_?key|key|passw(?:or)?d|secret|signature|sig|jwt|session_?id|auth|code)=)"
    r"[^&;#]*"
)
"""Parameters that let their bearer in. Browsers cannot set fields for a WebSocket, so there they stand in URLs."""


def shown(raw: bytes) -> str:
    """Bytes of anybody as text that can forge nothing: quotes, backslashes and all beyond plain ASCII are %-encoded.

    Of control characters the codecs let only the tab through.
    """
    text = raw.decode("latin-1")
    if text.isascii() and '"' not in text and "\\" not in text and "\t" not in text:  # half of a search's time
        return text
    return _unsafe.sub(lambda match: b"%%%02X" % match[0][0], raw).decode("ascii")


def masked(url: bytes) -> str:
    """A URL as `shown`, with `***` in place of each parameter that looks like a secret."""
    text = shown(url)
    return _secret.sub(r"\1***", text) if "=" in text else text


class Sheet:
    """What the lines of a log share: the time of day, made anew once a second, and what stands where there is no value.

    clock: seconds since 1970. is_json: null stands for a number that is missing, and nothing for a text.
    """

    __slots__ = ("_clock", "_second", "no_number", "no_text", "time", "time_iso")

    def __init__(self, is_json: bool, clock: Callable[[], float] = time) -> None:
        self.no_text, self.no_number = ("", "null") if is_json else ("-", "-")
        self._clock = clock
        self._second = -1
        self.time = self.time_iso = ""

    def look_at_clock(self) -> None:
        """Have the time be that of now."""
        second = int(self._clock())
        if second != self._second:
            self._second = second
            now = localtime(second)
            self.time = strftime("%d/%b/%Y:%H:%M:%S %z", now)
            self.time_iso = strftime("%Y-%m-%dT%H:%M:%S%z", now)
