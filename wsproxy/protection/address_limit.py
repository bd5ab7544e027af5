"""How many connections each client address has, and whether it may have one more.

Pure. Bounded by the connections themselves: an address without any is not remembered.
"""

from __future__ import annotations


class AddressLimitState:
    """Counts connections by address; `limit` is how many one address may have at a time."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._counts: dict[str, int] = {}

    def __len__(self) -> int:
        """How many addresses have a connection."""
        return len(self._counts)

    def try_enter(self, address: str) -> bool:
        """Count one more connection; False, and nothing counted, at the limit."""
        count = self._counts.get(address, 0)
        if count >= self._limit:
            return False
        self._counts[address] = count + 1
        return True

    def leave(self, address: str) -> None:
        """A connection that was counted has ended."""
        count = self._counts[address] - 1
        if count:
            self._counts[address] = count
        else:
            del self._counts[address]
