"""PURE: the share of a backend that is new, or has recovered, while it warms up."""

from __future__ import annotations

from typing import Final

PARTS: Final = 100
"""What a weight of 1 is divided into, so that a share can grow in steps."""
STEPS: Final = 20
"""In how many of them: each has policies derive anew what they know of weights."""
SHORTEST_STEP_S: Final = 0.25


def parts_of(weight: int) -> int:
    """A weight in parts; those of weight 0, asked when nobody else is left, are then asked each as much as others."""
    return PARTS * (weight or 1)


def warm_parts(weight: int, age_s: float, slow_start_s: float) -> int:
    """The parts that a weight counts for `age_s` after the start: growing linearly, and never none."""
    return max(1, int(parts_of(weight) * min(age_s / slow_start_s, 1.0)))


def step_s(slow_start_s: float) -> float:
    """How long a step lasts."""
    return max(slow_start_s / STEPS, SHORTEST_STEP_S)
