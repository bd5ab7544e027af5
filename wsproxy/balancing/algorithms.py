"""PURE: the order in which a route prefers its backends; the second is where a request goes when the first fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeVar

T = TypeVar("T")


class Random(Protocol):
    """The one method of `random.Random` that is used."""

    def random(self) -> float: ...


class Policy(Protocol):
    """Yields every candidate once, the preferred one first. `candidates` is never empty."""

    def order(self, candidates: Sequence[T]) -> Iterator[T]: ...


class RandomPolicy:
    """Each backend with equal probability; what follows is the rest of the list in its order."""

    __slots__ = ("_rng",)

    def __init__(self, rng: Random) -> None:
        self._rng = rng

    def order(self, candidates: Sequence[T]) -> Iterator[T]:
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

    def order(self, candidates: Sequence[T]) -> Iterator[T]:
        """The one whose turn it is, then its successors, wrapping round."""
        size = len(candidates)
        start = self._turn
        self._turn = (start + 1) % size
        for i in range(start, start + size):
            yield candidates[i % size]


def make_policy(algorithm: str, rng: Random) -> Policy:
    """The policy of an `algorithm` key. Raises KeyError for a name that the schema should have refused."""
    makers: dict[str, Callable[[], Policy]] = {"random": lambda: RandomPolicy(rng), "round-robin": RoundRobinPolicy}
    return makers[algorithm]()
