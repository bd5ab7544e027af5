"""PURE: the policies that give each backend its share by weight, and the two that also look at what it has in hand."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Callable, Iterator, Sequence
from heapq import heapify, heapreplace
from itertools import accumulate
from typing import Final

from wsproxy.balancing.policy import C, Candidate, Random, others, picks_between_looks, weight_of

LAP: Final = 2**40
"""A backend of weight w is due every LAP / w: whole numbers, so that no share drifts, and so large that rounding them
shows in none (weights end at 1000)."""


class WeightedRoundRobinPolicy:
    """Each backend as often as its weight says, its turns spread evenly: 5, 1, 1 give `aaabcaa` and not `aaaaabc`.

    A heap of who is due when (earliest deadline first); a first turn comes in the middle of the first of its intervals,
    which is what spreads those of different weights.
    """

    __slots__ = ("_candidates", "_due")

    def __init__(self) -> None:
        self._candidates: Sequence[Candidate] = ()
        self._due: list[tuple[int, int, int]] = []  # when, which, how far apart

    def order(self, candidates: Sequence[C], key: bytes = b"") -> Iterator[C]:  # noqa: ARG002 - not this one's
        """The one that is due, then its successors, wrapping round."""
        if candidates is not self._candidates:
            self._candidates = candidates
            laps = (LAP // weight_of(candidate) for candidate in candidates)
            self._due = [(lap // 2, index, lap) for index, lap in enumerate(laps)]
            heapify(self._due)
        due, first, lap = self._due[0]
        heapreplace(self._due, (due + lap, first, lap))
        yield candidates[first]
        yield from others(candidates, first)


class LeastConnectionsPolicy:
    """The one with the least in hand for its weight; among equals the one that has had fewest turns for it.

    A heap that is made anew from the loads at each pick, or, with many candidates, after several of them.
    """

    __slots__ = ("_candidates", "_least", "_looks_in", "_turns")

    def __init__(self) -> None:
        self._candidates: Sequence[Candidate] = ()
        self._turns: list[int] = []
        self._least: list[tuple[float, int, int, int]] = []  # load for its weight, turns for it, which, weight
        self._looks_in = 0

    def order(self, candidates: Sequence[C], key: bytes = b"") -> Iterator[C]:  # noqa: ARG002 - not this one's
        """The least loaded, then the others from the less loaded to the more."""
        if candidates is not self._candidates:
            self._candidates = candidates
            self._turns = [0] * len(candidates)
            self._looks_in = 0
        if self._looks_in <= 0:
            self._look(candidates)
        self._looks_in -= 1
        load, turns, first, weight = self._least[0]
        turns += LAP // weight
        self._turns[first] = turns
        heapreplace(self._least, (load + 1 / weight, turns, first, weight))
        yield candidates[first]
        rest = sorted((candidate.load / weight_of(candidate), i) for i, candidate in enumerate(candidates))
        for _, index in rest:
            if index != first:
                yield candidates[index]

    def _look(self, candidates: Sequence[Candidate]) -> None:
        self._looks_in = picks_between_looks(len(candidates))
        self._least = [
            (candidate.load / (weight := candidate.weight or 1), turns, index, weight)
            for index, (candidate, turns) in enumerate(zip(candidates, self._turns, strict=True))
        ]
        heapify(self._least)


class TwoChoicesPolicy:
    """Two at random by weight, and of these the one with less in hand for its weight.

    As even as the least loaded to within a few, without a herd: where several proxies share the backends, or the loads
    are seen late, all would choose the same least loaded one (Mitzenmacher, The Power of Two Choices).
    """

    __slots__ = ("_candidates", "_is_better", "_rng", "_upto")

    def __init__(self, rng: Random, is_better: Callable[[Candidate, Candidate], bool] | None = None) -> None:
        """is_better: whether the first of two is to be preferred; by default the one with less in hand."""
        self._rng = rng
        self._is_better = is_better or _is_less
        self._candidates: Sequence[Candidate] = ()
        self._upto: list[int] = []  # the sums of the weights up to each

    def order(self, candidates: Sequence[C], key: bytes = b"") -> Iterator[C]:  # noqa: ARG002 - not this one's
        """The better of two, the other one, then the rest in its order."""
        if candidates is not self._candidates:
            self._candidates = candidates
            self._upto = list(accumulate(weight_of(candidate) for candidate in candidates))
        first = self._draw()
        second = self._draw()
        if second == first:
            second = (first + 1) % len(candidates)
        if self._is_better(candidates[second], candidates[first]):
            first, second = second, first
        yield candidates[first]
        if second != first:  # there are two
            yield candidates[second]
        for index, candidate in enumerate(candidates):
            if index not in (first, second):
                yield candidate

    def _draw(self) -> int:
        upto = self._upto
        return bisect(upto, self._rng.random() * upto[-1], 0, len(upto) - 1)


def _is_less(one: Candidate, other: Candidate) -> bool:
    return one.load * weight_of(other) < other.load * weight_of(one)
