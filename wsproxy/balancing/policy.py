"""PURE: what a balancing policy is, and what it may know of the backends it puts in order.

A policy sees a tuple of candidates that stays the same object until who may be chosen, or a weight, changes; what it
derives from them it may keep until it sees another one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, Protocol, TypeVar


class Random(Protocol):
    """The one method of `random.Random` that is used."""

    def random(self) -> float: ...


class Candidate(Protocol):
    """A backend as policies see it.

    name: the same over restarts. weight: its share beside the others', from 0 on. load: the exchanges it has in hand
    and the long-lived relays it holds. latency_s: how long its answers take of late; None while nobody knows.
    """

    @property
    def name(self) -> str: ...

    @property
    def weight(self) -> int: ...

    @property
    def load(self) -> int: ...

    @property
    def latency_s(self) -> float | None: ...


C = TypeVar("C", bound=Candidate)
T = TypeVar("T")


class Policy(Protocol):
    """Yields every candidate once, the preferred one first. `candidates` is never empty.

    key: what of the request says where it belongs; b"" where nothing does, or the policy has no use for it.
    """

    def order(self, candidates: Sequence[C], key: bytes = b"") -> Iterator[C]: ...


EACH_PICK: Final = 16
"""Up to so many candidates their loads are read at each pick."""
LOOKS_APART: Final = 6
"""With more of them, picks go by loads read up to a sixth as many picks ago, to which own picks are added: one look at
a hundred loads costs as much as two whole requests, and the least of a hundred does not change that fast."""


def picks_between_looks(size: int) -> int:
    """How many picks may go by what was read of `size` candidates' loads."""
    return 1 if size <= EACH_PICK else size // LOOKS_APART


def weight_of(candidate: Candidate) -> int:
    """A weight to divide by: those of weight 0 are asked when nobody else is left, each as much as the others."""
    return candidate.weight or 1


def others(candidates: Sequence[T], first: int) -> Iterator[T]:
    """All but the one at `first`: its successors, wrapping round."""
    size = len(candidates)
    for i in range(first + 1, first + size):
        yield candidates[i % size]
