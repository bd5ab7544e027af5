"""What a file, a listing or a directory without its slash is answered: status, fields, and which bytes.

Knows what was found and what the request asks; no descriptor is touched here.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from wsproxy.errors import Failure, Side
from wsproxy.http.conditions import (
    NOT_MODIFIED,
    PRECONDITION_FAILED,
    Validators,
    http_date,
    judge_conditions,
    range_applies,
)
from wsproxy.http.messages import ResponseHead
from wsproxy.http.ranges import Multipart, Part, wanted_parts
from wsproxy.http.replies import REASONS
from wsproxy.static.listing import Listing
from wsproxy.static.media_types import media_type
from wsproxy.static.tree import OpenFile

Piece = bytes | Part
"""Bytes that are there, or a part of the file."""

CHANGED: Final = Failure(Side.CLIENT, 412, "it is not in the state that the request wants")


@dataclass(frozen=True, slots=True)
class Answer:
    """A final answer. lines: its fields but for Content-Length. pieces: of its body. length: bytes of that, None for a
    status that has no body and no length."""

    status: int
    lines: bytes
    pieces: tuple[Piece, ...] = ()
    length: int | None = 0

    def head(self, is_head: bool) -> ResponseHead:
        """Its head; in answer to a HEAD nothing follows it."""
        length = b"" if self.length is None else b"Content-Length: %d\r\n" % self.length
        reason = REASONS[self.status].encode("ascii")
        size = 0 if is_head or self.length is None else self.length
        return ResponseHead(self.status, reason, 1, self.lines + length, size, True, has_date=False)


def file_answer(
    file: OpenFile, asked: Mapping[bytes, bytes], is_get: bool, cache_line: bytes, now_s: float
) -> Answer | Failure:
    """What a request for `file` is answered.

    asked: its conditions and its Range, by lower-case name. cache_line: the Cache-Control line, or b"". now_s: since
    1970; nothing was modified later than that (RFC 9110 section 8.8.2.1).
    """
    mark = b"-" + file.coding.encode("ascii") if file.coding else b""
    tag = b'"%x-%x%b"' % (file.status.st_mtime_ns, file.size, mark)
    current = Validators(tag, min(int(file.status.st_mtime), int(now_s)))
    verdict = judge_conditions(asked, True, current) if asked else 0
    if verdict == PRECONDITION_FAILED:
        return CHANGED
    lines = b"Last-Modified: %b\r\nETag: %b\r\n%b" % (http_date(current.modified_s or 0), tag, cache_line)
    if file.codings:
        lines += b"Vary: Accept-Encoding\r\n"
    if verdict == NOT_MODIFIED:
        return Answer(304, lines, length=None)
    if file.coding:
        lines += b"Content-Encoding: %b\r\n" % file.coding.encode("ascii")
    lines += b"Accept-Ranges: bytes\r\n"
    content_type = media_type(file.name)
    wanted = asked.get(b"range")
    if wanted is not None and is_get and range_applies(asked, current):
        parts = wanted_parts(wanted, file.size)
        if parts is not None:
            return _partial(parts, file.size, lines, content_type)
    return Answer(200, b"Content-Type: %b\r\n%b" % (content_type, lines), (Part(0, file.size),), file.size)


def _partial(parts: tuple[Part, ...], size: int, lines: bytes, content_type: bytes) -> Answer | Failure:
    if not parts:
        return Failure(Side.CLIENT, 416, "there is no such part", fields=b"Content-Range: bytes */%d\r\n" % size)
    if len(parts) == 1:
        lines += b"Content-Range: %b\r\n" % parts[0].content_range(size)
        return Answer(206, b"Content-Type: %b\r\n%b" % (content_type, lines), parts, parts[0].size)
    body = Multipart(parts, size, secrets.token_hex(12).encode("ascii"), content_type)
    pieces = tuple(piece for head_and_part in body.pieces for piece in head_and_part)
    return Answer(206, b"Content-Type: %b\r\n%b" % (body.media_type, lines), (*pieces, body.end), body.length)


def listing_answer(listing: Listing, cache_line: bytes) -> Answer:
    """A list of a directory, which nobody keeps unless told to: it changes with each file."""
    lines = b"Content-Type: text/html; charset=utf-8\r\n" + (cache_line or b"Cache-Control: no-cache\r\n")
    return Answer(200, lines, (listing.body,), len(listing.body))


def redirect_answer(location: bytes) -> Answer:
    """To where it is."""
    return Answer(301, b"Location: %b\r\n" % location)
