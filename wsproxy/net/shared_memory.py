"""Memory that several processes share: grown by one, mapped in parts by all, locked in parts for a moment.

Knows the kernel, not what is in it. The locks are the kernel's record locks: a process that dies, however that happens,
holds none. The kernel lets go of them too when a process closes any descriptor of this memory, so none is closed, and
no part unmapped, while one is held: `try_lock` and `unlock` stand around code that does not wait.
"""

from __future__ import annotations

import fcntl
import mmap
import os
from collections.abc import Iterator
from contextlib import suppress
from time import monotonic
from typing import Final

PART_BYTES: Final = mmap.ALLOCATIONGRANULARITY
"""Parts begin at, and are, multiples of this."""

_PATIENCE_S: Final = 0.002
"""How long a lock is asked for, at least. Who holds one is through in 3 us, unless the scheduler has stopped him
inside, and then mostly within this; one who is not hangs, and is waited for but once."""

_TRIES: Final = 8
"""How often at least: he may have waited for this very CPU, have had it, and been stopped inside again."""

_AT_ONCE: Final = fcntl.LOCK_EX | fcntl.LOCK_NB


class SharedMemory:
    """All of it. Raises OSError where the system shares no memory. descriptor: what others open the same memory by."""

    def __init__(self, descriptor: int | None = None) -> None:
        self.descriptor = os.memfd_create("wsproxy-shared", os.MFD_CLOEXEC) if descriptor is None else descriptor

    def grow(self, size_bytes: int) -> None:
        """Have at least that much, zero where it is new; what is not written takes no room. Raises OSError."""
        if size_bytes > os.fstat(self.descriptor).st_size:
            os.ftruncate(self.descriptor, size_bytes)

    def part(self, offset: int, size_bytes: int) -> mmap.mmap:
        """A part of it. Raises OSError, and ValueError where there is not that much."""
        return mmap.mmap(self.descriptor, size_bytes, offset=offset)

    def clear(self, offset: int, size_bytes: int) -> None:
        """Have a part take no room any more, and be zero."""
        with mmap.mmap(self.descriptor, size_bytes, offset=offset) as mapped:
            try:
                mapped.madvise(mmap.MADV_REMOVE)
            except OSError:  # a kernel that cannot give it back: zero at least
                mapped[:] = bytes(size_bytes)

    def written(self, offset: int, size_bytes: int) -> Iterator[range]:
        """The stretches of a part that anybody has written to, in the file's positions."""
        at, end = offset, offset + size_bytes
        with suppress(OSError):  # ENXIO: nothing more
            while at < end:
                start = os.lseek(self.descriptor, at, os.SEEK_DATA)
                if start >= end:
                    return
                at = min(os.lseek(self.descriptor, start, os.SEEK_HOLE), end)
                yield range(start, at)

    def read(self, offset: int, size_bytes: int) -> bytes:
        """What stands there; unlike a look at a mapped part it makes nothing of what was never written."""
        return os.pread(self.descriptor, size_bytes, offset)


class RecordLocks:
    """Locks on what begins at bytes of a part that begins at `offset`."""

    __slots__ = ("_descriptor", "_offset", "_stuck_at")

    def __init__(self, memory: SharedMemory, offset: int) -> None:
        self._descriptor = memory.descriptor
        self._offset = offset
        self._stuck_at = -1

    def try_lock(self, at: int) -> bool:
        """Keep other processes out; False where one is in and does not leave at once."""
        at += self._offset
        try:
            fcntl.lockf(self._descriptor, _AT_ONCE, 1, at)
        except OSError:
            return self._try_again(at)
        if at == self._stuck_at:
            self._stuck_at = -1
        return True

    def _try_again(self, at: int) -> bool:
        """Let the scheduler go on with whom it has stopped, who may wait for this very CPU."""
        until = monotonic() + _PATIENCE_S
        tries = 0
        while at != self._stuck_at:
            os.sched_yield()
            tries += 1
            try:
                fcntl.lockf(self._descriptor, _AT_ONCE, 1, at)
            except OSError:
                if tries >= _TRIES and monotonic() >= until:
                    self._stuck_at = at
            else:
                return True
        return False

    def unlock(self, at: int) -> None:
        """Let others in again."""
        fcntl.lockf(self._descriptor, fcntl.LOCK_UN, 1, self._offset + at)
