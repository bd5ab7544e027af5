"""The readers-writer lock: what each call does alone, who goes first, and what a cancellation leaves behind."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from wsproxy.net.rwlock import RWLock


async def start(coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """A task that has run up to its first wait."""
    task = asyncio.ensure_future(coroutine)
    await anyio.lowlevel.checkpoint()
    return task


async def write(lock: RWLock, log: list[str], name: str, leave: asyncio.Event) -> None:
    async with lock.write():
        log.append(name)
        await leave.wait()


async def read(lock: RWLock, log: list[str], name: str) -> None:
    await lock.acquire_read()
    log.append(name)
    lock.release_read()


def test_readers_share_the_lock() -> None:
    lock = RWLock()
    assert lock.try_read()
    assert lock.try_read()
    lock.release_read()
    lock.release_read()


def test_acquiring_a_free_lock_does_not_suspend() -> None:
    lock = RWLock()
    with pytest.raises(StopIteration):
        lock.acquire_read().send(None)
    lock.release_read()


def test_release_without_a_lock_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="without a read lock"):
        RWLock().release_read()


def test_a_writer_alone_enters_without_suspending() -> None:
    async def enter() -> None:
        async with lock.write():
            assert not lock.try_read()

    lock = RWLock()
    with pytest.raises(StopIteration):  # the coroutine ran to its end at the first step, without a loop
        enter().send(None)
    assert lock.try_read()


def test_a_waiting_writer_stops_new_readers_and_goes_before_them() -> None:
    async def main() -> None:
        lock, log, leave = RWLock(), list[str](), asyncio.Event()
        assert lock.try_read()
        writer = await start(write(lock, log, "writer", leave))
        assert not lock.try_read()
        reader = await start(read(lock, log, "reader"))
        assert log == []
        lock.release_read()
        leave.set()
        await asyncio.gather(writer, reader)
        assert log == ["writer", "reader"]
        assert lock.try_read()

    anyio.run(main)


def test_a_later_writer_goes_before_a_waiting_reader() -> None:
    async def main() -> None:
        lock, log, leave = RWLock(), list[str](), asyncio.Event()
        first = await start(write(lock, log, "first", leave))
        reader = await start(read(lock, log, "reader"))
        second = await start(write(lock, log, "second", leave))
        leave.set()
        await asyncio.gather(first, reader, second)
        assert log == ["first", "second", "reader"]

    anyio.run(main)


def test_the_lock_is_handed_on_before_the_next_writer_runs() -> None:
    async def main() -> None:
        lock, log, leave = RWLock(), list[str](), asyncio.Event()
        assert lock.try_read()
        writer = await start(write(lock, log, "writer", leave))
        lock.release_read()
        assert not lock.try_read()  # nobody slips in between the release and the writer's turn
        leave.set()
        await writer
        assert lock.try_read()

    anyio.run(main)


def test_a_cancelled_waiting_writer_lets_waiting_readers_in() -> None:
    async def main() -> None:
        lock, log, leave = RWLock(), list[str](), asyncio.Event()
        assert lock.try_read()
        writer = await start(write(lock, log, "writer", leave))
        reader = await start(read(lock, log, "reader"))
        writer.cancel()
        await reader  # while the first reader still reads
        assert log == ["reader"]
        assert lock.try_read()
        assert writer.cancelled()

    anyio.run(main)


def test_cancelled_writers_are_passed_over() -> None:
    async def main() -> None:
        lock, log, leave = RWLock(), list[str](), asyncio.Event()
        assert lock.try_read()
        gone = [await start(write(lock, log, "gone", leave)) for _ in range(2)]
        writer = await start(write(lock, log, "writer", leave))
        for task in gone:
            task.cancel()
        await asyncio.gather(*gone, return_exceptions=True)
        assert not lock.try_read()
        lock.release_read()
        leave.set()
        await writer
        assert log == ["writer"]

    anyio.run(main)


def test_a_writer_cancelled_between_the_hand_over_and_its_turn_gives_the_lock_back() -> None:
    async def main() -> None:
        lock, log, leave = RWLock(), list[str](), asyncio.Event()
        assert lock.try_read()
        writer = await start(write(lock, log, "writer", leave))
        lock.release_read()  # hands the lock over; the writer's task has not run yet
        writer.cancel()
        await asyncio.gather(writer, return_exceptions=True)
        assert log == []
        assert lock.try_read()

    anyio.run(main)


def test_a_reader_cancelled_between_the_hand_over_and_its_turn_gives_the_lock_back() -> None:
    async def main() -> None:
        lock, log = RWLock(), list[str]()
        async with lock.write():
            reader = await start(read(lock, log, "reader"))
        reader.cancel()  # the end of the block has handed the lock over; the reader's task has not run yet
        await asyncio.gather(reader, return_exceptions=True)
        async with lock.write():  # would wait for ever if the read lock had been lost
            log.append("writer")
        assert log == ["writer"]

    anyio.run(main)


def test_a_cancelled_waiting_reader_is_forgotten() -> None:
    async def main() -> None:
        lock, log, leave = RWLock(), list[str](), asyncio.Event()
        writer = await start(write(lock, log, "writer", leave))
        reader = await start(read(lock, log, "reader"))
        reader.cancel()
        await asyncio.gather(reader, return_exceptions=True)
        leave.set()
        await writer
        async with lock.write():
            log.append("second writer")
        assert log == ["writer", "second writer"]

    anyio.run(main)


def test_an_exception_inside_releases_the_lock() -> None:
    async def main() -> None:
        lock = RWLock()
        with pytest.raises(ValueError, match="inside"):
            async with lock.write():
                raise ValueError("inside")
        assert lock.try_read()

    anyio.run(main)
