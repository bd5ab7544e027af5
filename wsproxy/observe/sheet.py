"""What all lines of an access log share: how values are written, the time of day, and what stands for no value.

Every value is made to stand in a line as it is: without line ends, quotes and backslashes, whoever sent it, and without
secrets; so neither text nor JSON has to escape anything.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from time import localtime, strftime, time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from wsproxy.http.messages import RequestHead

KEPT_FIELDS: Final = 256
"""Heads whose fields are remembered as text: more than the busy connections of most moments."""

KEPT_FIELDS_BYTES: Final = 2048
"""The longest of them: nearly all are shorter, and together they stay below a megabyte."""

_unsafe: Final = re.compile(rb"[^\x20\x21\x23-\x5b\x5d-\x7e]")
_BEARER: Final = (
    r"[?&;](?:[a-z0-9]+[_-])?(?:token|api_?key|key|passw(?:or)?d|secret|signature|sig|jwt|session_?id|auth|code)="
)
"""Parameters that let their bearer in. Browsers cannot set fields for a WebSocket, so there they stand in URLs."""

_has_secret: Final = re.compile(_BEARER).search  # in lower case: half the time of a search in any
_secret: Final = re.compile(rf"(?i)({_BEARER})[^&;#]*")

_trace_id: Final = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-")


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
    return _secret.sub(r"\1***", text) if "=" in text and _has_secret(text.lower()) else text


Told = tuple[bytes, str, str, str, str]
"""A request's authority; as texts for the line: host, Referer, User-Agent and trace id."""


class Sheet:
    """What the lines of a log share: the time of day, made anew once a second, and what stands where there is no value.

    clock: seconds since 1970. is_json: null stands for a number that is missing, and nothing for a text. time,
    time_iso: of the second that `look_at_clock` was asked in.
    """

    __slots__ = ("_clock", "_from_s", "_known", "_until_s", "no_number", "no_text", "time", "time_iso")

    def __init__(self, is_json: bool, clock: Callable[[], float] = time) -> None:
        self.no_text, self.no_number = ("", "null") if is_json else ("-", "-")
        self.time = self.time_iso = ""
        self._clock = clock
        self._from_s = self._until_s = 0.0
        self._known: dict[bytes, Told] = {}

    def look_at_clock(self) -> None:
        """Have the time be that of now."""
        now = self._clock()
        if not self._from_s <= now < self._until_s:
            second = int(now)
            self._from_s, self._until_s = float(second), second + 1.0
            local = localtime(second)
            self.time = strftime("%d/%b/%Y:%H:%M:%S %z", local)
            self.time_iso = strftime("%Y-%m-%dT%H:%M:%S%z", local)

    def told_by(self, head: RequestHead) -> Told:
        """What a request's fields tell of it.

        Remembered, as the requests of one connection mostly come with the same fields: a look-up takes a tenth.
        """
        fields = head.fields
        told = self._known.get(fields)
        if told is None or told[0] != head.authority:  # which may stand in the target as well
            told = self._read(head.authority, fields)
            if len(fields) <= KEPT_FIELDS_BYTES:
                if len(self._known) >= KEPT_FIELDS:
                    self._known.clear()
                self._known[fields] = told
        return told

    def _read(self, authority: bytes, fields: bytes) -> Told:
        lowered = b"\n" + fields.lower()  # `find` in a lower-case copy takes a tenth of a search in any case
        referer = _value(fields, lowered, b"\nreferer: ")
        user_agent = _value(fields, lowered, b"\nuser-agent: ")
        trace = _trace_id.match(_value(fields, lowered, b"\ntraceparent: "))  # W3C Trace Context
        nothing = self.no_text
        return (
            authority,
            shown(authority) or nothing,
            masked(referer) if referer else nothing,
            shown(user_agent) if user_agent else nothing,
            nothing if trace is None else trace[1].decode("ascii"),
        )


def _value(fields: bytes, lowered: bytes, mark: bytes) -> bytes:
    """The value of the first such field, or b""."""
    place = lowered.find(mark)
    if place < 0:
        return b""
    start = place + len(mark) - 1  # in the fields themselves, before which stands no line end
    return fields[start : fields.index(b"\r", start)]
