"""Whose turn it is to accept, when several processes wait at one listening socket.

Knows a page of memory that these processes share, with a number for each: how many connections it has. The kernel wakes
all of them for each client and the quickest takes it, which is mostly the same one: of 64 connections one of two
processes got 50, and worked while the other idled. So a process that has more than another lets that one go first, for
a moment; one that is dead or hangs is not waited for longer than that. One that has far fewer, because it was just
started in the place of one that died, is given longer while it takes what it is left: a WebSocket stays where it came.
"""

from __future__ import annotations

import mmap
import os
from typing import Final

YIELD_S: Final = 0.002
"""How long the others may take: they are awake already, and a client that waits for one that hangs hardly sees it."""

LONG_YIELD_S: Final = 0.01
"""The same for one with far fewer: it has the shares of many to take in at once, and often no core to itself. With 500
clients coming again in a second after a kill, the process that was left had 756 of 1,000 after yields of 2 ms each."""

FAR_FEWER: Final = 64
"""By how many: where there are few connections, or short ones, nobody waits long."""

SLACK: Final = 32
"""A process may have this part more than the one with fewest: equal enough, and a flood is taken in by all."""

ABSENT: Final = 2**32 - 1
"""The number of a process that does not accept."""

_SLOT_BYTES: Final = 4


class AcceptTurns:
    """The numbers of all processes. Raises OSError where the system shares no memory."""

    def __init__(self, count: int, descriptor: int | None = None) -> None:
        is_first = descriptor is None
        self._descriptor = os.memfd_create("wsproxy-turns", os.MFD_CLOEXEC) if descriptor is None else descriptor
        if is_first:
            os.ftruncate(self._descriptor, count * _SLOT_BYTES)
        self._numbers = memoryview(mmap.mmap(self._descriptor, count * _SLOT_BYTES)).cast("I")
        if is_first:
            self._numbers[:] = memoryview(b"\xff" * (count * _SLOT_BYTES)).cast("I")

    @property
    def descriptor(self) -> int:
        """What another process opens the same numbers by."""
        return self._descriptor

    def absent(self, index: int) -> None:
        """A process accepts nothing (any more)."""
        self._numbers[index] = ABSENT

    def of(self, index: int) -> AcceptTurn:
        """The view of one process, which accepts from now on."""
        self._numbers[index] = 0
        return AcceptTurn(self._numbers, index)


class AcceptTurn:
    """One process among the others."""

    __slots__ = ("_fewest", "_index", "_numbers", "_stuck_at")

    def __init__(self, numbers: memoryview[int], index: int) -> None:
        self._numbers = numbers
        self._index = index
        self._fewest = 0  # when others were let go first
        self._stuck_at = -1  # the fewest when that was in vain: who does not move is not given long again

    def is_mine(self) -> bool:
        """Whether no other process has clearly fewer connections."""
        fewest = min(self._numbers)
        return self._numbers[self._index] <= fewest + fewest // SLACK

    def yield_s(self) -> float:
        """How long to let the others go first, where `is_mine` says so."""
        self._fewest = fewest = min(self._numbers)
        has_far_fewer = self._numbers[self._index] - fewest > FAR_FEWER
        return LONG_YIELD_S if has_far_fewer and fewest != self._stuck_at else YIELD_S

    def has_yielded(self) -> None:
        """That time is over, and a client still waits."""
        self._stuck_at = self._fewest if min(self._numbers) == self._fewest else -1

    def enter(self) -> None:
        """A connection has come to this process."""
        if self._numbers[self._index] < ABSENT - 1:
            self._numbers[self._index] += 1

    def leave(self) -> None:
        """It is over."""
        if 0 < self._numbers[self._index] < ABSENT:
            self._numbers[self._index] -= 1

    def close(self) -> None:
        """Accept nothing any more."""
        self._numbers[self._index] = ABSENT
