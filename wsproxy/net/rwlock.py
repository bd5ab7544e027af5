"""A write-preferring readers-writer lock for the tasks of one event loop.

May know asyncio futures and nothing else. It guards what every request reads and what changes rarely (the healthy
servers), so a read without a writer in sight is one comparison and one increment, never a trip through the loop.

The rules of use:

- A waiting writer stops new readers; writers are served first in first out, and all of them before a waiting reader.
- A reader never nests (the inner read would wait for a writer that waits for the outer one) and never awaits inside.
- Whoever releases hands the lock on at once: by the time the next owner's task runs, the lock is already its own. So
  nobody slips in between, and an owner that is cancelled on its way in has something to give back.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class RWLock:
    """Many readers or one writer. Not thread-safe; use it within one event loop."""

    __slots__ = ("_closed", "_readers", "_waiting_readers", "_waiting_writers", "_writing")

    def __init__(self) -> None:
        self._readers = 0
        self._writing = False
        self._closed = False  # a writer holds or waits: the one thing that a new reader has to look at
        self._waiting_readers: deque[asyncio.Future[None]] = deque()
        self._waiting_writers: deque[asyncio.Future[None]] = deque()

    def try_read(self) -> bool:
        """Take a read lock if that is possible now; False while a writer holds the lock or waits for it."""
        if self._closed:
            return False
        self._readers += 1
        return True

    async def acquire_read(self) -> None:
        """Take a read lock, after every writer that holds the lock or waits for it."""
        if self.try_read():
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting_readers.append(future)
        try:
            await future
        except asyncio.CancelledError:
            if not future.cancelled():  # the lock was handed to us just before we were cancelled
                self.release_read()
            raise

    def release_read(self) -> None:
        """Give a read lock back. Raises RuntimeError when none is held."""
        if not self._readers:
            raise RuntimeError("release_read() without a read lock")
        self._readers -= 1
        if self._closed and not self._readers:
            self._hand_on()

    @asynccontextmanager
    async def write(self) -> AsyncIterator[None]:
        """Hold the lock alone: `async with lock.write(): ...`. Does not suspend when nobody else has it."""
        await self._acquire_write()
        try:
            yield
        finally:
            self._release_write()

    async def _acquire_write(self) -> None:
        if not self._closed and not self._readers:
            self._closed = self._writing = True
            return
        self._closed = True
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting_writers.append(future)
        try:
            await future
        except asyncio.CancelledError:
            if future.cancelled():
                self._hand_on()  # we may have been the only writer that kept readers out
            else:
                self._release_write()  # the lock was handed to us just before we were cancelled
            raise

    def _release_write(self) -> None:
        self._writing = False
        self._hand_on()

    def _hand_on(self) -> None:
        """Give the lock to whoever is next: the first waiting writer, else every waiting reader."""
        if self._writing:
            return
        # A cancelled future stays in its line until it comes to the front: leaving costs nothing, and no search.
        while self._waiting_writers:
            if self._waiting_writers[0].cancelled():
                self._waiting_writers.popleft()
                continue
            if not self._readers:
                self._writing = True
                self._waiting_writers.popleft().set_result(None)
            return
        self._closed = False
        while self._waiting_readers:
            future = self._waiting_readers.popleft()
            if not future.cancelled():
                self._readers += 1
                future.set_result(None)
