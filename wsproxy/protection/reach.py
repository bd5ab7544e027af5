"""PURE: whether connections to a backend can be had, and when those who wait for one are told that they cannot."""

from __future__ import annotations

from typing import Final

LEAST_S: Final = 1.0
"""However little a request may wait: a handshake that takes longer than this is lost, and not one that is only slow."""


class ReachState:
    """What the dials of one pool say. is_lost: nobody is to wait for a connection until one could be opened."""

    __slots__ = ("_in_vain_since", "is_lost")

    def __init__(self) -> None:
        self._in_vain_since: float | None = None
        self.is_lost = False

    def dialling(self, now: float) -> None:
        """A connection is tried for."""
        if self._in_vain_since is None:
            self._in_vain_since = now

    def connected(self) -> bool:
        """One was opened; True when that changes `is_lost`."""
        was_lost, self.is_lost = self.is_lost, False
        self._in_vain_since = None
        return was_lost

    def judge(self, now: float, patience_s: float, has_connections: bool) -> bool:
        """Look whether all dials were in vain for as long as somebody may wait; True when that changes `is_lost`.

        has_connections: some of the pool's are open, so that its requests are only slow.
        """
        since = self._in_vain_since
        if since is None or self.is_lost or has_connections or now - since < max(patience_s, LEAST_S):
            return False
        self.is_lost = True
        return True
