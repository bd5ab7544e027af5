"""Compressed answers: which ones may be, what becomes of their head, and the filter that their body goes through.

Pure. A coding changes what is sent and not what it means, so the answer says that it depends on Accept-Encoding, a
strong entity tag becomes a weak one, and what speaks of the bytes as they were is taken away (RFC 9110 sections 8.4,
8.8.3 and 12.5.5).
"""

from __future__ import annotations

import re
from copy import copy
from typing import Final

from wsproxy.config.content_settings import CompressionSettings
from wsproxy.http.coders import Coder, make_coder
from wsproxy.http.messages import CHUNKED, ResponseHead, field_values

_BODILESS: Final = frozenset({204, 205, 206, 304})
"""Without a body, or with a part of one, whose bytes are counted as they are without a coding."""
_NOT_CODED: Final = frozenset({b"", b"identity"})
_no_transform: Final = re.compile(rb"(?i)(?:^|[,\s])no-transform(?:$|[,;\s])").search
_about_bytes: Final = re.compile(rb"(?im)^(?:content-(?:digest|md5)|digest|repr-digest): ").search
_stale_lines: Final = re.compile(rb"(?im)^(?:content-length|accept-ranges|content-encoding): [^\r]*\r\n")
_strong_tag: Final = re.compile(rb'(?im)^(etag: )"')
_varies: Final = re.compile(rb"(?i)(?:^|[,\s])(?:accept-encoding|\*)(?:$|[,\s])").search
VARY: Final = b"Vary: Accept-Encoding\r\n"


def may_compress(response: ResponseHead, settings: CompressionSettings) -> bool:
    """Whether an answer gains by a coding and may have one; whether the client accepts any is another question.

    The length that counts is the one in its head, so that HEAD and GET are answered alike; what has none is streamed.
    """
    fields = response.fields
    if response.status in _BODILESS or response.status < 200:
        return False
    if any(value.lower() not in _NOT_CODED for value in field_values(fields, b"content-encoding")):
        return False
    lengths = field_values(fields, b"content-length")
    if lengths and int(lengths[0]) < settings.min_size_bytes:
        return False
    types = field_values(fields, b"content-type")
    if not types or not is_listed(types[0], settings.types):
        return False
    return not any(map(_no_transform, field_values(fields, b"cache-control"))) and not _about_bytes(fields)


def is_listed(content_type: bytes, types: tuple[str, ...]) -> bool:
    """Whether one of `types` (`text/html`, `text/*`, `+json`) is this Content-Type; a `*` leaves event streams out."""
    name = content_type.partition(b";")[0].strip().lower().decode("latin-1")
    if name in types:
        return True
    _, plus, suffix = name.rpartition("+")
    if plus and plus + suffix in types:
        return True
    return name != "text/event-stream" and ("*/*" in types or f"{name.partition('/')[0]}/*" in types)


def with_vary(response: ResponseHead) -> ResponseHead:
    """A copy that says it depends on Accept-Encoding, or the head itself where it does already."""
    if any(map(_varies, field_values(response.fields, b"vary"))):
        return response
    more = copy(response)
    more.fields = response.fields + VARY
    return more


class CompressionFilter:
    """The body of one answer on its way into a coding.

    Behind each piece of a body whose length is not known, all that came so far can be read: whoever streams waits for
    somebody.
    """

    def __init__(self, coding: str, level: int) -> None:
        self._coding = coding
        self._level = level
        self._coder: Coder | None = None
        self._is_streamed = False

    def begin(self, response: ResponseHead) -> ResponseHead:
        """The head of the answer as it is sent; one without a body (HEAD) says what it would be with it."""
        shown = with_vary(copy(response))
        shown.fields = _strong_tag.sub(rb'\1W/"', _stale_lines.sub(b"", shown.fields))
        shown.fields += b"Content-Encoding: %b\r\n" % self._coding.encode("ascii")
        self._coder = None
        if response.length:
            shown.length = CHUNKED
            shown.trailer = b""
            self._is_streamed = response.length < 0
            self._coder = make_coder(self._coding, self._level)
        return shown

    def feed(self, data: bytes) -> bytes:
        """What is to be sent for a piece of the body."""
        if self._coder is None:
            return b""
        out = self._coder.compress(data)
        return out + self._coder.flush() if self._is_streamed else out

    def end(self) -> bytes:
        """The rest."""
        return b"" if self._coder is None else self._coder.finish()

    def abort(self) -> None:
        """Nobody reads on."""
        self._coder = None
