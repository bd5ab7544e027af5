"""PURE: how long a backend's answers take, and the policy that goes by it.

Told of each answer's time, it never measures one itself. The average is Finagle's and Linkerd's peak EWMA: a slower
answer is believed at once, quicker ones little by little, and all of it is forgotten with time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import exp
from typing import Final

from wsproxy.balancing.policy import C, Candidate, Random, weight_of
from wsproxy.balancing.weighted import TwoChoicesPolicy

MEMORY_S: Final = 10.0
"""After so long without an answer a third of the average is left: a backend that was slow is tried again soon."""
FORGOTTEN_S: Final = 30.0
"""After so long nothing is known any more: one that took a thousand times as long as the others is tried again, too."""
UNKNOWN_S: Final = 1.0
"""What a backend counts as while its first answer is under way: it gets one request, not a flood."""
FAILED_S: Final = 1.0
"""What a failure counts as at least: who fails at once must not look quick and draw all requests to itself."""
ALL: Final = 4
"""Up to so many candidates all are compared; of more, two."""


class LatencyState:
    """The average of one backend. Times are in seconds, of any clock that is always the same one."""

    __slots__ = ("_at", "_average_s")

    def __init__(self) -> None:
        self._average_s = -1.0  # nothing is known
        self._at = 0.0

    def answered(self, seconds: float, now: float) -> None:
        """An answer took so long."""
        age_s = now - self._at
        kept = exp(-age_s / MEMORY_S)
        self._at = now
        if age_s > FORGOTTEN_S or seconds >= self._average_s:
            self._average_s = seconds
        else:
            self._average_s = self._average_s * kept + seconds * (1 - kept)

    def failed(self, seconds: float, now: float) -> None:
        """There was no answer for so long."""
        self.answered(max(seconds, FAILED_S), now)

    def value_s(self, now: float) -> float | None:
        """What the next answer is expected to take; None while nothing is known."""
        age_s = now - self._at
        return None if self._average_s < 0 or age_s > FORGOTTEN_S else self._average_s * exp(-age_s / MEMORY_S)


class LeastTimePolicy:
    """The one whose answer is expected soonest: its usual time, for each request in hand and this one, by weight."""

    __slots__ = ("_two",)

    def __init__(self, rng: Random) -> None:
        self._two = TwoChoicesPolicy(rng, _is_quicker)

    def order(self, candidates: Sequence[C], key: bytes = b"") -> Iterator[C]:
        """From the quicker to the slower; of many, the quicker of two drawn by weight, the other one, the rest."""
        if len(candidates) > ALL:
            return self._two.order(candidates, key)
        return iter(sorted(candidates, key=_cost))


def _cost(candidate: Candidate) -> float:
    load, latency_s = candidate.load, candidate.latency_s
    if latency_s is None:
        latency_s = UNKNOWN_S if load else 0.0
    return latency_s * (load + 1) / weight_of(candidate)


def _is_quicker(one: Candidate, other: Candidate) -> bool:
    return _cost(one) < _cost(other)
