"""PURE: the policy that sends what has the same key to the same backend, unless that has far more than its share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import ceil
from typing import Final

from wsproxy.balancing.policy import C, Candidate, Random, picks_between_looks, weight_of
from wsproxy.balancing.ring import Ring

BOUND: Final = 1.25
"""How much more than its share a backend may have in hand before its keys go to the next one on the ring
(Mirrokni, Thorup, Zadimoghaddam, Consistent Hashing with Bounded Loads)."""
LITTLE: Final = 8
"""So much in hand is never too much: with next to no traffic, two requests at a time would part from their key."""


class HashPolicy:
    """By key on a consistent ring with bounded load; a request without a key goes anywhere, with equal probability."""

    __slots__ = ("_candidates", "_looks_in", "_ring", "_rng", "_total", "_weights")

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._candidates: Sequence[Candidate] = ()
        self._ring: Ring | None = None
        self._weights = self._total = self._looks_in = 0

    def order(self, candidates: Sequence[C], key: bytes = b"") -> Iterator[C]:
        """As they come on the ring behind the key, those with too much in hand last."""
        ring = self._ring
        if ring is None or candidates is not self._candidates:
            self._candidates = candidates
            ring = self._ring = Ring(candidates)
            self._weights = sum(weight_of(candidate) for candidate in candidates)
            self._looks_in = 0
        if self._looks_in <= 0:
            self._look(candidates)
        self._looks_in -= 1
        self._total += 1
        loaded: list[C] = []
        share = BOUND * self._total / self._weights
        for index in ring.walk(key or b"%f" % self._rng.random()):
            candidate = candidates[index]
            load = candidate.load
            if load < LITTLE or load < ceil(share * weight_of(candidate)):
                yield candidate
            else:
                loaded.append(candidate)
        yield from loaded

    def _look(self, candidates: Sequence[Candidate]) -> None:
        self._looks_in = picks_between_looks(len(candidates))
        self._total = sum([candidate.load for candidate in candidates])  # a list is quicker than a generator
