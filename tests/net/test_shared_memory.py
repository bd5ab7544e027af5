"""Memory of several processes: it grows, takes room only where it is written, and its locks die with their holder."""

from __future__ import annotations

import subprocess
import sys

import pytest

from wsproxy.net.shared_memory import PART_BYTES, RecordLocks, SharedMemory

HOLDER = """
import sys
from wsproxy.net.shared_memory import RecordLocks, SharedMemory
memory = SharedMemory(int(sys.argv[1]))
locks = RecordLocks(memory, 4096)
part = memory.part(0, 4096)
assert locks.try_lock(128)
part[5:8] = b"abc"
print("held", flush=True)
sys.stdin.readline()
locks.unlock(128)
print("let go", flush=True)
sys.stdin.readline()
"""


def holder(memory: SharedMemory) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", HOLDER, str(memory.descriptor)]
    process = subprocess.Popen(
        command, pass_fds=(memory.descriptor,), stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    return process


def test_what_another_process_holds_is_not_waited_for() -> None:
    memory = SharedMemory()
    memory.grow(3 * PART_BYTES)
    locks = RecordLocks(memory, 4096)
    with holder(memory) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert not locks.try_lock(128)
        assert locks.try_lock(256), "another set"
        locks.unlock(256)
        process.stdin.write(b"\n")
        assert process.stdout.readline() == b"let go\n"
        assert locks.try_lock(128)
        locks.unlock(128)
        process.stdin.write(b"\n")
    assert memory.read(0, 10) == b"\0" * 5 + b"abc\0\0"


def test_who_is_killed_holds_nothing() -> None:
    memory = SharedMemory()
    memory.grow(PART_BYTES)
    with holder(memory) as process:
        process.kill()
    assert RecordLocks(memory, 4096).try_lock(128)


def test_it_takes_room_where_it_was_written_to_and_until_it_is_cleared() -> None:
    memory = SharedMemory()
    size = 1000 * PART_BYTES
    memory.grow(size)
    memory.grow(PART_BYTES)
    assert list(memory.written(0, size)) == []
    part = memory.part(PART_BYTES, 10 * PART_BYTES)
    part[0] = 1
    part[5 * PART_BYTES] = 1
    pages = range(PART_BYTES, 2 * PART_BYTES), range(6 * PART_BYTES, 7 * PART_BYTES)
    assert list(memory.written(0, size)) == list(pages)
    assert list(memory.written(0, 3 * PART_BYTES)) == [pages[0]]
    memory.clear(PART_BYTES, PART_BYTES)
    assert list(memory.written(0, size)) == [pages[1]]
    assert part[0] == 0


def test_there_is_no_part_where_there_is_no_memory() -> None:
    with pytest.raises(ValueError, match="greater than"):
        SharedMemory().part(0, PART_BYTES)
