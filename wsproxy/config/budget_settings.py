"""The part of the model that is about what the whole process has room for.

May know: value shapes, as `model` does, whose rules hold here too.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class OverloadSettings:
    """What the whole process has room for; past it new work is refused."""

    max_connections: int | None = None
    max_handshakes: int | None = None
    max_buffered_bytes: int | None = None
    max_lag_s: float | None = None  # how late its event loop may be
