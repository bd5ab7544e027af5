"""Parts of a representation: what a Range asks for, and how several parts are sent as one body (RFC 9110 section 14).

Pure. A client that asks for more parts than MAX_RANGES, or for more bytes than there are, is given the whole instead,
as section 14.2 allows: many small or overlapping ranges make an answer larger than what it is made of.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

MAX_RANGES: Final = 16
"""Parts of one answer; readers of documents ask for about four at a time."""

_item: Final = re.compile(rb"([0-9]*)-([0-9]*)").fullmatch
_LONGEST_NUMBER: Final = 19  # digits: beyond every size, and int() of a huge literal is an error of its own


@dataclass(frozen=True, slots=True)
class Part:
    """Bytes from `start` up to, and without, `end`."""

    start: int
    end: int

    @property
    def size(self) -> int:
        """How many."""
        return self.end - self.start

    def content_range(self, size: int) -> bytes:
        """What Content-Range says of it."""
        return b"bytes %d-%d/%d" % (self.start, self.end - 1, size)


def wanted_parts(value: bytes, size: int) -> tuple[Part, ...] | None:
    """The parts of `size` bytes that a Range asks for, in its order.

    None: it is malformed, of another unit or asks for too much, so there is none. Empty: there is no such part (416).
    """
    unit, equals, written = value.partition(b"=")
    if unit.strip().lower() != b"bytes" or not equals:
        return None
    items = [item.strip(b" \t") for item in written.split(b",")]
    items = [item for item in items if item]  # RFC 9110 section 5.6.1.2: empty ones are passed over
    if not items or len(items) > MAX_RANGES:
        return None
    parts: list[Part] = []
    for item in items:
        match = _item(item)
        if match is None or item == b"-" or max(len(match[1]), len(match[2])) > _LONGEST_NUMBER:
            return None
        if not match[1]:
            part = Part(max(size - int(match[2]), 0), size)
        else:
            last = int(match[2]) if match[2] else size - 1
            if match[2] and last < int(match[1]):
                return None
            part = Part(int(match[1]), min(last + 1, size))
        if part.size > 0:
            parts.append(part)
    if sum(part.size for part in parts) > size:
        return None
    return tuple(parts)


class Multipart:
    """The body of an answer with several parts (RFC 9110 section 14.6).

    boundary: what stands between them, found nowhere in the content; content_type: of the whole, b"" when not known.
    """

    def __init__(self, parts: Sequence[Part], size: int, boundary: bytes, content_type: bytes) -> None:
        self._boundary = boundary
        type_line = b"Content-Type: %b\r\n" % content_type if content_type else b""
        between = b"\r\n--%b\r\n%bContent-Range: %b\r\n\r\n"
        heads = [between % (boundary, type_line, part.content_range(size)) for part in parts]
        heads[0] = heads[0][2:]  # no line end in front of the first: nothing stands there to be ended
        self.pieces = tuple(zip(heads, parts, strict=True))
        self.end = b"\r\n--%b--\r\n" % boundary

    @property
    def media_type(self) -> bytes:
        """The Content-Type of the answer."""
        return b"multipart/byteranges; boundary=%b" % self._boundary

    @property
    def length(self) -> int:
        """Bytes of the whole body."""
        return sum(len(head) + part.size for head, part in self.pieces) + len(self.end)
