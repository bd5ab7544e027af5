"""How slow this machine is just now: for limits of CPU time.

A busy neighbour on the same core and an older processor make all Python slower; they are no news about the product.
"""

from __future__ import annotations

import time

YARDSTICK_S = 0.006
"""CPU time of the yardstick on the machine where the limits of the tests were found."""

ROUNDS = 5
"""The best of so many counts: what comes in between makes a round slower, never quicker."""


def slowness() -> float:
    """What to multiply a limit of CPU time by: 1 on a machine as quick as ours, more on a slower one."""
    return max(1.0, min(_round() for _ in range(ROUNDS)) / YARDSTICK_S)


def _round() -> float:
    """CPU seconds for text, dictionaries and lists, which is what the product's control plane does."""
    started_at = time.thread_time()
    sizes: dict[str, int] = {}
    for number in range(10_000):
        text = f"{number:x} {number / 7:.3f}"
        sizes[text] = sizes.get(text, 0) + len(text.split())
    return time.thread_time() - started_at
