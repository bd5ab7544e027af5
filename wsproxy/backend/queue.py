"""The bounded queue of a backend: first in, first out, its head's age known, a slot freed the moment a client leaves.

Knows exchanges only as items with an arrival time. Our own deque, because an anyio memory stream can neither drop an
entry from its middle nor say how long its head has waited.
"""

from __future__ import annotations

from collections import deque
from typing import Protocol, TypeVar


class Queued(Protocol):
    """What can wait: when it was first offered to a backend, and when it stops waiting (loop time, seconds)."""

    offered_at: float
    give_up_at: float


T = TypeVar("T", bound=Queued)


class BoundedQueue(deque[T]):
    """At most `size` waiting items."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    @property
    def is_full(self) -> bool:
        """No slot is free."""
        return len(self) >= self.size

    def try_put(self, item: T) -> bool:
        """Append `item` if a slot is free. Never waits."""
        if len(self) >= self.size:
            return False
        self.append(item)
        return True

    def try_get(self) -> T | None:
        """The item that waited longest, or None."""
        return self.popleft() if self else None

    def discard(self, item: T) -> bool:
        """Free the slot of an item that nobody waits for any more; True if it was there."""
        try:
            self.remove(item)
        except ValueError:
            return False
        return True

    def head_age_s(self, now: float) -> float:
        """How long the first item has waited since it was first offered; 0 when empty."""
        return now - self[0].offered_at if self else 0.0

    def expired(self, now: float) -> list[T]:
        """Take out and return the items that have waited long enough."""
        due = [item for item in self if item.give_up_at <= now]
        for item in due:
            self.remove(item)
        return due
