"""PURE: the order in which a route prefers its backends; the second is where a request goes when the first fails.

The two policies that know neither weights nor loads stand here, and the table of all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from wsproxy.balancing.hashing import HashPolicy
from wsproxy.balancing.latency import LeastTimePolicy
from wsproxy.balancing.policy import Policy, Random, T
from wsproxy.balancing.weighted import LeastConnectionsPolicy, TwoChoicesPolicy, WeightedRoundRobinPolicy


class RandomPolicy:
    """Each backend with equal probability; what follows is the rest of the list in its order."""

    __slots__ = ("_rng",)

    def __init__(self, rng: Random) -> None:
        self._rng = rng

    def order(self, candidates: Sequence[T], key: bytes = b"") -> Iterator[T]:  # noqa: ARG002 - not this one's
        """A random first, then its successors, wrapping round."""
        size = len(candidates)
        start = int(self._rng.random() * size)
        for i in range(start, start + size):
            yield candidates[i % size]


class RoundRobinPolicy:
    """Each backend in its turn."""

    __slots__ = ("_turn",)

    def __init__(self) -> None:
        self._turn = 0

    def order(self, candidates: Sequence[T], key: bytes = b"") -> Iterator[T]:  # noqa: ARG002 - not this one's
        """The one whose turn it is, then its successors, wrapping round."""
        size = len(candidates)
        start = self._turn
        self._turn = (start + 1) % size
        for i in range(start, start + size):
            yield candidates[i % size]


_MAKERS: Final[dict[str, Callable[[Random], Policy]]] = {
    "random": RandomPolicy,
    "round-robin": lambda _: RoundRobinPolicy(),
    "weighted-round-robin": lambda _: WeightedRoundRobinPolicy(),
    "least-connections": lambda _: LeastConnectionsPolicy(),
    "two-choices": TwoChoicesPolicy,
    "least-time": LeastTimePolicy,
    "ip-hash": HashPolicy,
    "hash": HashPolicy,
}


def make_policy(algorithm: str, rng: Random) -> Policy:
    """The policy of an `algorithm` key. Raises KeyError for a name that the schema should have refused."""
    return _MAKERS[algorithm](rng)
