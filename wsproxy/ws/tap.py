"""The last frames of one session, shown to who asks: a bounded ring that is filled for a limited time.

Pure: entries in, entries out; `now` is the caller's clock. Those who inspect a session's frames note them here,
inflated and unmasked; what is kept of a payload is its beginning.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

from wsproxy.ws.control import Side

TAP_PREVIEW_BYTES: Final = 256
"""How much of a payload a tap keeps: enough to know a message by, small for each of its entries."""

TAP_ENTRIES: Final = 100
"""Frames that a tap keeps: a page of them, 26 KiB at most."""

LONGEST_TAP_S: Final = 600.0
"""A tap that somebody has forgotten ends by itself, whatever was asked for."""


@dataclass(frozen=True, slots=True)
class TapEntry:
    """One frame as a tap saw it: when (the caller's clock), whose, and the beginning of its payload."""

    at: float
    side: Side
    opcode: int
    size_bytes: int
    preview: bytes


class Tap:
    """The last frames of one session, until a moment has come. until: by the caller's clock."""

    def __init__(self, entries: int, until: float) -> None:
        self.entries: deque[TapEntry] = deque(maxlen=entries)
        self.until = until

    def is_over(self, now: float) -> bool:
        """Whether nothing more is noted."""
        return now >= self.until

    def note(self, entry: TapEntry) -> None:
        """Keep a frame, unless the tap's time is over."""
        if not self.is_over(entry.at):
            self.entries.append(entry)
