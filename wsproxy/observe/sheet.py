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

KEPT_TEXTS: Final = 1024
"""Hosts and User-Agents that are remembered as text: more than the clients of most moments have."""

KEPT_TEXT_BYTES: Final = 256
"""The longest of them: nearly all are shorter, and together they stay below half a MiB."""

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


Told = tuple[str, str, str, str]
"""What a request tells, as texts for the line: host, Referer, User-Agent and trace id."""


class Sheet:
    """What the lines of a log share: the time of day, made anew once a second, and what stands where there is no value.

    clock: seconds since 1970. is_json: null stands for a number that is missing, and nothing for a text. time,
    time_iso: of the second that `look_at_clock` was asked in.
    """

    __slots__ = ("_clock", "_from_s", "_texts", "_until_s", "no_number", "no_text", "time", "time_iso")

    def __init__(self, is_json: bool, clock: Callable[[], float] = time) -> None:
        self.no_text, self.no_number = ("", "null") if is_json else ("-", "-")
        self.time = self.time_iso = ""
        self._clock = clock
        self._from_s = self._until_s = 0.0
        self._texts: dict[bytes, str] = {}

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
        """What a request's head tells of it."""
        referer, user_agent, trace = head.told
        texts, nothing = self._texts, self.no_text
        trace_id = _trace_id.match(trace) if trace else None  # W3C Trace Context
        return (
            texts.get(head.authority) or self._text(head.authority),
            masked(referer) if referer else nothing,
            texts.get(user_agent) or self._text(user_agent),
            nothing if trace_id is None else trace_id[1].decode("ascii"),
        )

    def _text(self, raw: bytes) -> str:
        """As `shown`, or what stands for nothing; remembered, as many requests come with the same."""
        text = shown(raw) or self.no_text
        if len(raw) <= KEPT_TEXT_BYTES:
            if len(self._texts) >= KEPT_TEXTS:
                self._texts.clear()
            self._texts[raw] = text
        return text
