"""When a pool grows and shrinks, as a table."""

from __future__ import annotations

import pytest

from wsproxy.protection.pool_size import HEAD_WAIT_S, should_grow, should_shrink

SOON, LATE = HEAD_WAIT_S, HEAD_WAIT_S * 1.01


@pytest.mark.parametrize(
    ("workers", "max_workers", "queued", "queue_size", "head_age_s", "expected"),
    [
        (1, 3, 0, 10, 0.0, False),  # nothing waits
        (1, 3, 0, 10, 9.0, False),
        (0, 3, 1, 10, 0.0, True),  # nobody works
        (0, 0, 1, 10, 9.0, False),  # nobody may
        (1, 3, 9, 10, SOON, False),  # they wait, but not for long
        (1, 3, 1, 10, LATE, True),  # the head has waited too long
        (1, 3, 10, 10, 0.0, True),  # the queue is full
        (1, 3, 11, 10, 0.0, True),
        (3, 3, 10, 10, 9.0, False),  # the limit
        (4, 3, 10, 10, 9.0, False),  # a limit that was lowered
        (1, 3, 1, 0, 0.0, True),  # no queue: whatever comes needs a worker
        (1, 3, 0, 0, 0.0, True),
    ],
)
def test_should_grow(
    workers: int, max_workers: int, queued: int, queue_size: int, head_age_s: float, expected: bool
) -> None:
    assert should_grow(workers, max_workers, queued, queue_size, head_age_s) is expected


@pytest.mark.parametrize(
    ("workers", "min_workers", "idle_s", "expected"),
    [(2, 1, 3.0, True), (2, 1, 2.9, False), (1, 1, 99.0, False), (1, 0, 3.0, True), (0, 1, 99.0, False)],
)
def test_should_shrink(workers: int, min_workers: int, idle_s: float, expected: bool) -> None:
    assert should_shrink(workers, min_workers, idle_s, 3.0) is expected
