"""PURE: how many retries a group of servers is asked to bear besides its traffic.

A retry helps when one server fails; when all of them do it only adds to what has overwhelmed them. So retries are a
small share of the traffic, with a floor so that little traffic can be retried at all.
"""

from __future__ import annotations

from typing import Final

SHARE: Final = 0.2
"""Retries for each request: even when everything fails the servers see a fifth more."""

FLOOR_PER_S: Final = 3.0
"""Retries a second that are always let through, on the average of a window."""

WINDOW_S: Final = 10.0
"""Over which both are counted: long enough for a burst of failures, short enough to forget a quiet night."""


class RetryBudgetState:
    """Counts one group's retries. The traffic is counted elsewhere and read here only when something has failed."""

    __slots__ = ("_requests", "_spent", "_start")

    def __init__(self) -> None:
        self._start = float("-inf")
        self._requests = 0
        self._spent = 0

    def try_spend(self, now: float, requests: int) -> bool:
        """Take one retry out of the budget; False when it is spent.

        requests: attempts that the group's servers were given so far, retries included.
        """
        if now - self._start >= WINDOW_S:
            self._start, self._requests, self._spent = now, requests, 0
        first_attempts = max(requests - self._requests - self._spent, 0)
        if self._spent >= FLOOR_PER_S * WINDOW_S + SHARE * first_attempts:
            return False
        self._spent += 1
        return True
