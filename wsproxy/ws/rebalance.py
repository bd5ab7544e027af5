"""Which backends hold more long-lived sessions than their share, after others have come.

Pure: numbers in, numbers out.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil, sqrt
from typing import Final, TypeVar

CHANCE: Final = 3.0
"""Standard deviations from an even share that random choice makes by itself: moving those would only stir."""

SHARE_A_SECOND: Final = 0.01
"""Of all sessions at most this share moves in a second: who comes back must not be a wave."""

B = TypeVar("B")


def surplus(held: Mapping[B, int]) -> dict[B, int]:
    """How many sessions each backend should lose now, within a second's allowance; `held` names those that may serve.

    Backends within chance of an even share lose none.
    """
    total = sum(held.values())
    if len(held) < 2 or not total:
        return {}
    share = total / len(held)
    bound = share + CHANCE * sqrt(share)
    allowance = max(1, int(total * SHARE_A_SECOND))
    moves: dict[B, int] = {}
    crowded = {backend: count for backend, count in held.items() if count > bound}
    for backend, count in sorted(crowded.items(), key=lambda item: -item[1]):
        moves[backend] = min(allowance, count - ceil(share))
        allowance -= moves[backend]
    return {backend: count for backend, count in moves.items() if count}
