"""PURE: when a worker pool grows and when it shrinks."""

from __future__ import annotations

from typing import Final

HEAD_WAIT_S: Final = 0.005
"""A request that waited this long shows that the pool is too small; a connection on the same network costs less."""


def should_grow(workers: int, max_workers: int, queued: int, queue_size: int, head_age_s: float) -> bool:
    """Whether one more worker is to be started: requests wait, and there is room for a worker.

    At once when nobody works or the queue is full, else when its head has waited longer than HEAD_WAIT_S.
    """
    if workers >= max_workers or not (queued or queue_size == 0):
        return False
    return workers == 0 or queued >= queue_size or head_age_s > HEAD_WAIT_S


def should_shrink(workers: int, min_workers: int, idle_s: float, worker_timeout_s: float) -> bool:
    """Whether the worker that has been idle longest (`idle_s`) is to leave."""
    return workers > min_workers and idle_s >= worker_timeout_s
