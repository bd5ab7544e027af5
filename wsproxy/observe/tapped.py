"""What a tap of one WebSocket has seen, as plain data: the shape that the admin API shows.

Knows no running object. Payloads are previews, as they passed, inflated where the two sides compress.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class TappedFrame:
    """One frame. at: Unix time. sender: whose. kind: `text`, `close` …, or its number where nobody has named it.

    size_bytes: of the whole payload; preview: its beginning, as text, or as hexadecimal digits where it is none
    (`is_text` says which).
    """

    at: float
    sender: Literal["client", "upstream"]
    kind: str
    size_bytes: int
    preview: str
    is_text: bool


@dataclass(frozen=True, slots=True)
class Tapped:
    """The last frames of one WebSocket. left_s: for how long more are noted; 0 once that is over."""

    id: str
    left_s: float
    frames: tuple[TappedFrame, ...]
