"""When the sessions of a drain are told to leave: a flat line, so that their coming back is no stampede elsewhere.

Pure: the order and the moments; the clock and the closing are the caller's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Protocol

SLOWEST_A_SECOND: Final = 50.0
"""The least rate nobody asked for: so few sessions coming back trouble no server, and a small proxy stops at once."""


class Random(Protocol):
    """The one method of `random.Random` that is used."""

    def random(self) -> float: ...


def default_rate(sessions: int, period_s: float) -> float:
    """Sessions a second that empty the proxy in `period_s`."""
    return max(SLOWEST_A_SECOND, sessions / period_s) if period_s > 0 else float(max(sessions, 1))


def moments(sessions: int, a_second: float, rng: Random) -> Iterator[float]:
    """For each session when its turn comes, in seconds from the start, ascending.

    Each has a slot of equal length and a random place in it: as steady as a clock, but no two proxies in step.
    """
    slot_s = 1 / a_second
    for number in range(sessions):
        yield (number + rng.random()) * slot_s
