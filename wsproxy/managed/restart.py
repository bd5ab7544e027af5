"""How long to wait before a process that ended is started again, and when that has become hopeless.

Pure: told how long the process lived; knows no clock.
"""

from __future__ import annotations

from typing import Final

FIRST_DELAY_S: Final = 0.5
"""A server that crashed once is back before most clients give up."""
LONGEST_DELAY_S: Final = 30.0
"""A server that cannot start costs two attempts a minute, and is back half a minute after its cause is mended."""
SOUND_LIFE_S: Final = 30.0
"""A server that lived so long did start well: its end is a new matter, not the next failure in a row."""
SHORT_LIVES: Final = 10
"""So many in a row are a crash loop: after two to three minutes of trying, time alone will not mend it."""


class RestartState:
    """Doubles the delay with each short life in a row, after the first. short_lives: how many have been in a row."""

    __slots__ = ("_first_s", "_next_s", "short_lives")

    def __init__(self, first_delay_s: float = FIRST_DELAY_S) -> None:
        self._first_s = self._next_s = first_delay_s
        self.short_lives = 0

    @property
    def is_hopeless(self) -> bool:
        """It is a crash loop: whoever has no other choice may still try on."""
        return self.short_lives >= SHORT_LIVES

    def delay_s(self, lived_s: float) -> float:
        """Seconds to wait now that a life of `lived_s` seconds is over."""
        if lived_s >= SOUND_LIFE_S:
            self.start_over()
        self.short_lives += 1
        delay_s = self._next_s
        self._next_s = min(max(2 * delay_s, FIRST_DELAY_S), LONGEST_DELAY_S)
        return delay_s

    def start_over(self) -> None:
        """What has been is forgotten."""
        self._next_s = self._first_s
        self.short_lives = 0
