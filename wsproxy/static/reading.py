"""Reads an open file so that the loop never waits for a disk: what is in memory at once, the rest in a thread.

Knows descriptors and a bounded pool of threads. A thread costs 75 us, three proxied requests, so the kernel is asked
first (`RWF_NOWAIT`). A descriptor is given back when no thread uses it any more, also when its task was cancelled.
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, TypeVar

from wsproxy.static.tree import OpenFile

T = TypeVar("T")

MAX_THREADS: Final = 8
"""Threads that wait for disks, for all static routes of a process: more only make the same disk's queue longer."""

_NOWAIT: Final = getattr(os, "RWF_NOWAIT", 0)  # Linux only
_UNKNOWN: Final = frozenset({errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL})
"""The file system cannot tell what is in memory: overlays of containers, network file systems, old kernels."""


def make_threads() -> ThreadPoolExecutor:
    """The threads that a process has for files; none is started before it is needed."""
    return ThreadPoolExecutor(MAX_THREADS, "wsproxy-files")


class Reading:
    """A file that is being sent. Close it once, when nothing more is asked of it."""

    def __init__(self, file: OpenFile, threads: ThreadPoolExecutor) -> None:
        self.file = file
        self._threads = threads
        self._job: Future[object] | None = None
        self._can_ask = _NOWAIT != 0
        self._to_close: list[Callable[[], None]] = [file.close]

    def try_read(self, offset: int, count: int) -> bytes | None:
        """What is in memory of these bytes, b"" at the end of the file; None when a disk would be waited for.

        Raises OSError.
        """
        if not self._can_ask:
            return None
        data = bytearray(count)
        try:
            size = os.preadv(self.file.fd, [data], offset, _NOWAIT)
        except BlockingIOError:
            return None
        except OSError as error:
            if error.errno not in _UNKNOWN:
                raise
            self._can_ask = False
            return None
        return bytes(data) if size == count else bytes(data[:size])

    async def read(self, offset: int, count: int) -> bytes:
        """The next bytes, at most `count`, b"" at the end of the file. Raises OSError."""
        data = self.try_read(offset, count)
        return await self.run(lambda: os.pread(self.file.fd, count, offset)) if data is None else data

    def is_in_memory(self, offset: int, count: int) -> bool:
        """Whether these bytes can probably be had at once: their first and their last can."""
        if not self._can_ask:
            return False
        probe = bytearray(1)
        try:
            return all(os.preadv(self.file.fd, [probe], at, _NOWAIT) == 1 for at in (offset, offset + count - 1))
        except OSError as error:
            self._can_ask = error.errno not in _UNKNOWN
            return False

    async def run(self, call: Callable[[], T]) -> T:
        """Call what may wait for the disk, in a thread."""
        job = self._threads.submit(call)
        self._job = job  # type: ignore[assignment]  # futures are invariant, and nobody reads its result
        return await asyncio.wrap_future(job)

    def close_too(self, close: Callable[[], None]) -> None:
        """Something else that those calls use, to be given back with the file."""
        self._to_close.append(close)

    def close(self) -> None:
        """Give all back, as soon as no thread uses it any more."""

        def give_back(_: object = None) -> None:
            for close in self._to_close:
                close()

        if self._job is None:
            give_back()
        else:
            self._job.add_done_callback(give_back)  # called at once when it is done, which it usually is
