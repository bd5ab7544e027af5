"""How slow this machine is just now: for limits of CPU time.

A busy neighbour on the same core and an older processor make all Python slower; they are no news about the product.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from math import inf

YARDSTICK_S = 0.006
"""CPU time of the yardstick on the machine where the limits of the tests were found."""

ROUNDS = 5
"""The best of so many counts: what comes in between makes a round slower, never quicker."""


def slowness() -> float:
    """What to multiply a limit of CPU time by: 1 on a machine as quick as ours, more on a slower one."""
    return max(1.0, min(_round() for _ in range(ROUNDS)) / YARDSTICK_S)


def cost_s(run: Callable[[], object], limit_s: float, rounds: int = ROUNDS) -> float:
    """CPU seconds that `run` costs its thread, as on our machine: those of the quickest of so many runs.

    No more are made once one is below the limit, so that only what is always too slow takes its time.
    """
    least_s = inf
    for _ in range(rounds):
        started_at = time.thread_time()
        run()
        spent_s = time.thread_time() - started_at
        least_s = min(least_s, spent_s if spent_s < limit_s else spent_s / slowness())
        if least_s < limit_s:
            break
    return least_s


def _round() -> float:
    """CPU seconds for text, dictionaries and lists, which is what the product's control plane does."""
    started_at = time.thread_time()
    sizes: dict[str, int] = {}
    for number in range(10_000):
        text = f"{number:x} {number / 7:.3f}"
        sizes[text] = sizes.get(text, 0) + len(text.split())
    return time.thread_time() - started_at
