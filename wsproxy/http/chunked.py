"""Chunked transfer coding, read strictly and written plainly (RFC 9112 section 7.1).

Pure: bytes in, payload out, whatever the cuts between the pieces. Strict because a chunk size that two servers read
differently moves the end of the message: sizes are hex digits and nothing else, line ends are CRLF, and white space
stands nowhere but around the `;` and `=` of extensions, which all readers skip alike.
"""

from __future__ import annotations

import re
from typing import Final

from wsproxy.http.headers import may_be_trailer
from wsproxy.http.lines import has_broken_line_end
from wsproxy.http.messages import MalformedBodyError

LAST_CHUNK: Final = b"0\r\n\r\n"

SIZE_LINE_BYTES: Final = 16 + 4096
"""A size of up to 16 digits and 4 KiB of extensions, which are rare and which an attacker could send without end."""
TRAILER_BYTES: Final = 8 * 1024
TRAILER_FIELDS: Final = 50
"""Trailers are rare and short (checksums, gRPC status): half of what a head may be."""
SIZE_LIMIT: Final = 2**63
"""A size from here on overflows the signed 64-bit integer that most servers count in."""

_TOKEN: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
_QUOTED: Final = rb'"(?>(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*)"'
# Atomic groups, because Python before 3.11.5 repeats a group possessively (*+) as if its half were enough.
_size_line: Final = re.compile(
    rb"([0-9A-Fa-f]{1,16})"
    rb"(?>(?:[ \t]*+;[ \t]*+" + _TOKEN + rb"(?:[ \t]*+=[ \t]*+(?:" + _TOKEN + rb"|" + _QUOTED + rb"))?)*)\r\n"
).match
_unfinished_size_line: Final = re.compile(rb"[0-9A-Fa-f]{1,16}[\t ]*+(?:;[\t\x20-\x7e\x80-\xff]*+)?\r?").fullmatch
_trailer_line: Final = re.compile(
    rb"(" + _TOKEN + rb"):[ \t]*+((?:[\x21-\x7e\x80-\xff][\t\x20-\x7e\x80-\xff]*+)?)\r\n"
).match


def encode_last_chunk(trailers: bytes) -> bytes:
    """The end of a body, with a canonical block of trailer fields or b""."""
    return b"0\r\n%b\r\n" % trailers


def encode_chunk(data: bytes) -> bytes:
    """One chunk; b"" for no data, because an empty chunk would end the body."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


class ChunkedDecoder:
    """Takes the chunked coding off a body, in any pieces; holds at most one line or the trailer section.

    complete: the last chunk and the trailer section have been read.
    leftover: what came behind the end.
    trailers: the trailer fields that may be forwarded, as a canonical block (RFC 9110 section 6.5.1).
    """

    __slots__ = ("_held", "_in_trailers", "_remaining", "complete", "leftover", "trailers")

    def __init__(self) -> None:
        self.complete = False
        self.leftover = b""
        self.trailers = b""
        self._held = b""  # the beginning of a line, or of the trailer section
        self._remaining = 0  # bytes of chunk data still to come, with the two of the CRLF behind it; 0 at a size line
        self._in_trailers = False

    def feed(self, data: bytes) -> bytes:
        """Return the payload in `data`. Raises MalformedBodyError; the decoder is of no use afterwards."""
        if self.complete:
            self.leftover += data
            return b""
        if self._remaining - 2 >= len(data):  # inside a chunk, the usual case of a large one
            self._remaining -= len(data)
            return data
        if self._held:
            data = self._held + data
            self._held = b""
        payload = []
        position = 0
        while position < len(data):
            if self._remaining > 2:
                piece = data[position : position + self._remaining - 2]
                payload.append(piece)
                position += len(piece)
                self._remaining -= len(piece)
            elif self._remaining:
                position = self._read_chunk_end(data, position)
            elif self._in_trailers:
                self._read_trailers(data, position)
                break
            else:
                position = self._read_size(data, position)
        return b"".join(payload)

    def _read_size(self, data: bytes, position: int) -> int:
        match = _size_line(data, position)
        if match is None:
            self._held = data[position : position + SIZE_LINE_BYTES + 2]
            if not _unfinished_size_line(self._held) or len(self._held.rstrip(b"\r")) > SIZE_LINE_BYTES:
                raise MalformedBodyError("illegal chunk size line")
            return len(data)
        size = int(match[1], 16)
        if size >= SIZE_LIMIT or match.end() - position > SIZE_LINE_BYTES + 2:
            raise MalformedBodyError("chunk size line too large")
        if size:
            self._remaining = size + 2
        else:
            self._in_trailers = True
        return match.end()

    def _read_chunk_end(self, data: bytes, position: int) -> int:
        expected = b"\r\n"[-self._remaining :]
        found = data[position : position + self._remaining]
        if not expected.startswith(found):
            raise MalformedBodyError("chunk data longer than its size")
        self._remaining -= len(found)
        return position + len(found)

    def _read_trailers(self, data: bytes, position: int) -> None:
        if data.startswith(b"\r\n", position):
            end = position
        else:
            end = data.find(b"\r\n\r\n", position, position + TRAILER_BYTES + 4) + 2
            if end == 1:
                self._hold_trailers(data[position:])
                return
        self.trailers = _canonical_trailers(data[position:end])
        self.leftover = data[end + 2 :]
        self.complete = True

    def _hold_trailers(self, section: bytes) -> None:
        if len(section) >= TRAILER_BYTES + 4 or has_broken_line_end(section):
            raise MalformedBodyError("trailer section too large, or with a bare CR or LF")
        self._held = section


def _canonical_trailers(section: bytes) -> bytes:
    lines = []
    position = count = 0
    while position < len(section):
        match = _trailer_line(section, position)
        count += 1
        if match is None or count > TRAILER_FIELDS:
            raise MalformedBodyError("illegal trailer section")
        name, value = match.groups()
        if may_be_trailer(name):
            lines.append(b"%b: %b\r\n" % (name, value.rstrip(b" \t")))
        position = match.end()
    return b"".join(lines)
