"""The last frames of one session, shown to who asks: a bounded ring that is filled for a limited time.

Pure: bytes in, entries out; `now` is the caller's clock. A frame is followed on its way past, without waiting for its
end: a tap never holds anything up, and what it keeps of a payload is a beginning.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

from wsproxy.ws.control import Side, unmask
from wsproxy.ws.frames import FrameScanner, read_head

TAP_PREVIEW_BYTES: Final = 256
"""How much of a payload a tap keeps: enough to know a message by, small for each of its entries."""

TAP_ENTRIES: Final = 100
"""Frames that a tap keeps: a page of them, 26 KiB at most."""

LONGEST_TAP_S: Final = 600.0
"""A tap that somebody has forgotten ends by itself, whatever was asked for."""

_LONGEST_HEADER_BYTES: Final = 14
_RSV1: Final = 0x40  # set by permessage-deflate (RFC 7692 section 6)


@dataclass(frozen=True, slots=True)
class TapEntry:
    """One frame as a tap saw it: when (the caller's clock), whose, and the beginning of its payload, unmasked.

    compressed: the payload's bytes are those of permessage-deflate.
    """

    at: float
    side: Side
    opcode: int
    size_bytes: int
    preview: bytes
    compressed: bool = False


class Tap:
    """The last frames of one session, until a moment has come."""

    def __init__(self, entries: int, until: float) -> None:
        self.entries: deque[TapEntry] = deque(maxlen=entries)
        self._until = until

    def is_over(self, now: float) -> bool:
        """Whether nothing more is noted."""
        return now >= self._until

    def note(self, entry: TapEntry) -> None:
        """Keep a frame, unless the tap's time is over."""
        if not self.is_over(entry.at):
            self.entries.append(entry)


class TapFollower:
    """Shows one direction's frames to a tap, from the first place where one begins."""

    __slots__ = ("_left", "_part", "_side", "_synchronised", "tap")

    def __init__(self, side: Side, tap: Tap, at_boundary: bool) -> None:
        self.tap = tap
        self._side: Side = side
        self._synchronised = at_boundary
        self._left = 0  # payload bytes until the next frame
        self._part = b""  # of a header and the preview behind it

    def feed(self, data: bytes, now: float, at_boundary: bool) -> None:
        """Follow what has passed; at_boundary: whether it ends with a whole frame."""
        if not self._synchronised:
            self._synchronised = at_boundary
            return
        at = min(self._left, len(data))
        self._left -= at
        while at < len(data):
            window = self._part + data[at : at + _LONGEST_HEADER_BYTES + TAP_PREVIEW_BYTES - len(self._part)]
            head = read_head(window, 0)
            shown = len(window) + 1 if head is None else head[0] + min(head[1], TAP_PREVIEW_BYTES)
            if head is None or shown > len(window):
                self._part = window
                return
            header, length, _ = head
            self._note(window[:shown], header, length, now)
            at += shown - len(self._part)
            self._part = b""
            rest = header + length - shown
            self._left = max(0, rest - (len(data) - at))
            at += rest

    def _note(self, frame: bytes, header: int, length: int, now: float) -> None:
        preview = unmask(frame[header:], frame[header - 4 : header]) if frame[1] & 0x80 else frame[header:]
        compressed = bool(frame[0] & _RSV1)
        self.tap.note(TapEntry(now, self._side, frame[0] & 0xF, length, preview, compressed))


class PairTap:
    """Shows both directions of a relayed pair to a tap."""

    __slots__ = ("_client", "_upstream", "tap")

    def __init__(self, tap: Tap, client: FrameScanner, upstream: FrameScanner) -> None:
        self.tap = tap
        self._client = TapFollower("client", tap, client.at_frame_boundary)
        self._upstream = TapFollower("upstream", tap, upstream.at_frame_boundary)

    def show(self, scanner: FrameScanner, data: bytes, now: float) -> bool:
        """Show what `scanner` has let pass; False when the tap is over."""
        follower = self._client if scanner.side == "client" else self._upstream
        follower.feed(data, now, scanner.at_frame_boundary)
        return not self.tap.is_over(now)

    def resume(self) -> None:
        """Another upstream goes on: its frames are followed from their beginning."""
        self._upstream = TapFollower("upstream", self.tap, at_boundary=True)
