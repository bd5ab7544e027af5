"""PURE: a consistent hash ring: where on it a key belongs, and who comes next when that one is not there.

Each backend has points on a circle of 64-bit numbers, found from its name alone; a key belongs to the first point
behind it. So a key keeps its backend over reloads and restarts, a backend that goes leaves its keys to its successors,
and takes up the same ones when it returns.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from typing import Final

from wsproxy.balancing.policy import Candidate, weight_of

POINTS: Final = 160
"""Points of the heaviest backend: shares are within about a tenth of what the weights say."""
_POINT_BYTES: Final = 8
_POINTS_A_DIGEST: Final = 8  # blake2b gives 64 bytes at a time


def place(key: bytes) -> int:
    """Where a key stands on the circle."""
    return int.from_bytes(blake2b(key, digest_size=_POINT_BYTES).digest(), "big")


def points_of(name: str, count: int) -> list[int]:
    """The first `count` points of a backend: more of them never move those that it has."""
    points: list[int] = []
    for block in range(-(-count // _POINTS_A_DIGEST)):
        digest = blake2b(name.encode(), salt=block.to_bytes(4, "big")).digest()
        points += (int.from_bytes(digest[i : i + _POINT_BYTES], "big") for i in range(0, len(digest), _POINT_BYTES))
    return points[:count]


class Ring:
    """The ring of some candidates; what it yields are their places among these."""

    __slots__ = ("_owners", "_points", "_size")

    def __init__(self, candidates: Sequence[Candidate]) -> None:
        heaviest = max(weight_of(candidate) for candidate in candidates)
        owned = sorted(
            (point, index)
            for index, candidate in enumerate(candidates)
            for point in points_of(candidate.name, max(1, POINTS * weight_of(candidate) // heaviest))
        )
        self._points = [point for point, _ in owned]
        self._owners = [index for _, index in owned]
        self._size = len(candidates)

    def walk(self, key: bytes) -> Iterator[int]:
        """The one a key belongs to, then the others as they come on the ring, each once."""
        owners = self._owners
        position = bisect(self._points, place(key)) % len(owners)
        first = owners[position]
        yield first
        seen = {first}
        while len(seen) < self._size:
            position = (position + 1) % len(owners)
            owner = owners[position]
            if owner not in seen:
                seen.add(owner)
                yield owner
