"""Reading without waiting for a disk, and descriptors that are given back only when nobody uses them."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path

import pytest

from tests.fakes import run
from wsproxy.static.reading import Reading
from wsproxy.static.tree import OpenFile

APART_BYTES = 64 * 1024
"""From one place in a file to another that is not fetched with it: pages have 4 KiB, on some machines 64."""

TRIES = 20
"""Questions about what is on disk, of which one must be answered with no; on a busy machine one in a hundred is not."""


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


def opened(path: Path, content: bytes) -> OpenFile:
    path.write_bytes(content)
    fd = os.open(path, os.O_RDONLY)
    return OpenFile(fd, os.fsencode(path), b"a", os.fstat(fd))


def forget(file: OpenFile) -> Iterator[int]:
    """Have the kernel forget a file's bytes; places that nobody has asked for. The test is skipped where it keeps them.

    To ask for bytes has the kernel fetch their page. It is there a moment later, or even for the one who asked, if he
    did not get on before the disk was done. So each place is good for one question, and one answer says nothing.
    """
    os.fsync(file.fd)
    os.posix_fadvise(file.fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.posix_fadvise(file.fd, 0, 0, os.POSIX_FADV_RANDOM)  # read nothing ahead
    places = iter(range(0, file.size, APART_BYTES))
    for place in islice(places, TRIES):
        try:
            os.preadv(file.fd, [bytearray(1)], place, os.RWF_NOWAIT)
        except BlockingIOError:
            return places
        except OSError:
            break
    pytest.skip("this file system keeps all in memory, or cannot tell")


def ask_what_is_in_memory(file: OpenFile) -> None:
    """The test is skipped where the file system cannot tell; overlays of containers cannot."""
    try:
        os.preadv(file.fd, [bytearray(1)], 0, os.RWF_NOWAIT)
    except BlockingIOError:
        pass
    except OSError as error:
        pytest.skip(f"this file system cannot tell what is in memory: {error.strerror}")


def is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def test_bytes_in_memory_are_read_at_once(tmp_path: Path, threads: ThreadPoolExecutor) -> None:
    file = opened(tmp_path / "a", b"0123456789")
    ask_what_is_in_memory(file)
    reading = Reading(file, threads)
    assert reading.is_in_memory(0, 10)
    assert reading.try_read(0, 10) == b"0123456789"
    assert reading.try_read(8, 10) == b"89"
    assert reading.try_read(10, 10) == b""
    assert run(lambda: reading.read(3, 2)) == b"34"
    reading.close()
    assert not is_open(file.fd)


def test_bytes_on_disk_are_read_in_a_thread(tmp_path: Path) -> None:
    content = os.urandom(5 * TRIES * APART_BYTES)
    file = opened(tmp_path / "a", content)
    places = forget(file)
    started: list[str] = []
    with ThreadPoolExecutor(1, initializer=started.append, initargs=("a thread",)) as threads:
        reading = Reading(file, threads)
        assert any(reading.try_read(place, 1024) is None for place in islice(places, TRIES))
        assert not all(reading.is_in_memory(place, 1024) for place in islice(places, TRIES))
        assert not started
        for place in islice(places, TRIES):
            assert run(partial(reading.read, place, 1024)) == content[place : place + 1024]
            if started:
                break
        assert started
        spans = (far - place + 1 for far in islice(places, TRIES))
        assert not all(reading.is_in_memory(place, span) for span in spans), "only their beginning is"
        reading.close()
    assert not is_open(file.fd)


def test_descriptor_outlives_the_task_that_was_cancelled(tmp_path: Path, threads: ThreadPoolExecutor) -> None:
    """Or the thread would read from whatever is opened next under the same number."""
    file = opened(tmp_path / "a", b"content")
    reading = Reading(file, threads)
    began, go_on, seen = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        began.set()
        go_on.wait(10)
        assert os.pread(file.fd, 7, 0) == b"content"
        seen.set()

    closed = threading.Event()
    reading.close_too(closed.set)

    async def main() -> None:
        task = asyncio.ensure_future(reading.run(work))
        await asyncio.to_thread(began.wait, 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        reading.close()
        assert is_open(file.fd)
        assert not closed.is_set()
        go_on.set()
        assert await asyncio.to_thread(closed.wait, 10)

    run(main)
    assert seen.is_set()
    assert not is_open(file.fd)
