"""PURE: when a server that is asked beside the traffic is left alone, looked after again, and held to be well."""

from __future__ import annotations

from typing import Final

FIRST_PAUSE_S: Final = 1.0
"""Until the first look after a fault: longer than a restart of Redis without data takes."""
LONGEST_PAUSE_S: Final = 5.0
"""Between two looks, which doubles up to this: a limit or a cache is missed for no longer once the server is back."""
TRIAL_S: Final = 1.0
"""How long questions are to go well before the outage is over: a server may answer a ping and refuse what it is for."""
CALM_S: Final = 60.0
"""An outage that begins so soon after the last goes on with its pauses: what comes and goes is asked less often."""
JITTER: Final = 0.2
"""Of a pause: instances that lost one server together do not come back to it together."""


class OutageState:
    """One server's outages.

    is_open: questions may be asked. began_at: when the outage began, None while there is none.
    """

    __slots__ = ("_ended_at", "_pause_s", "began_at", "is_open")

    def __init__(self) -> None:
        self.is_open = True
        self.began_at: float | None = None
        self._ended_at = float("-inf")
        self._pause_s = FIRST_PAUSE_S

    def failed(self, now: float) -> bool:
        """A question was not answered; whether that begins an outage, which is worth a line in the log."""
        self.is_open = False
        if self.began_at is not None:
            return False
        self.began_at = now
        if now - self._ended_at >= CALM_S:
            self._pause_s = FIRST_PAUSE_S
        return True

    def pause_s(self, chance: float) -> float:
        """How long to wait before the next look. chance: from 0 to 1, of a new one for each."""
        pause_s = self._pause_s
        self._pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        return pause_s * (1 + JITTER * (2 * chance - 1))

    def answered(self) -> None:
        """It has answered a look: questions are asked on trial."""
        self.is_open = True

    def end(self, now: float) -> float | None:
        """The trial is over: how long the outage lasted, None where it goes on or there is none."""
        if not self.is_open or self.began_at is None:
            return None
        lasted_s = now - self.began_at
        self.began_at = None
        self._ended_at = now
        return lasted_s
