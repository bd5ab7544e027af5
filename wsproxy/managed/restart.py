"""How long to wait before a server that ended is started again.

Pure: told how long the server lived; knows no clock.
"""

from __future__ import annotations

from typing import Final

FIRST_DELAY_S: Final = 0.5
"""A server that crashed once is back before most clients give up."""
LONGEST_DELAY_S: Final = 30.0
"""A server that cannot start costs two attempts a minute, and is back half a minute after its cause is mended."""
SOUND_LIFE_S: Final = 30.0
"""A server that lived so long did start well: its end is a new matter, not the next failure in a row."""


class RestartState:
    """Doubles the delay with each short life in a row."""

    __slots__ = ("_next_s",)

    def __init__(self) -> None:
        self._next_s = FIRST_DELAY_S

    def delay_s(self, lived_s: float) -> float:
        """Seconds to wait now that a life of `lived_s` seconds is over."""
        if lived_s >= SOUND_LIFE_S:
            self._next_s = FIRST_DELAY_S
        delay_s = self._next_s
        self._next_s = min(2 * delay_s, LONGEST_DELAY_S)
        return delay_s
