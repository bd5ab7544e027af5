"""Lines through a thread: files, pipes that nobody reads, disks without room."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from tests.integration.harness import logged
from wsproxy.observe import line_writer
from wsproxy.observe.line_writer import DescriptorTarget, FileTarget, LineWriter

LIMIT_S = 60.0
"""What a thread may take on a busy machine."""


def send(writer: LineWriter, *lines: str) -> None:
    writer.write(list(lines), sum(map(len, lines)))


def flushed(writer: LineWriter) -> None:
    assert writer.wait_idle(LIMIT_S)


def test_a_file_is_appended_to_and_is_not_for_everybodys_eyes(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    for text in ("one\n", "caf\xe9\n"):
        writer = LineWriter(FileTarget(str(path)), "test")
        send(writer, text)
        flushed(writer)
    assert path.read_text("utf-8") == "one\ncaf\xe9\n"
    assert not stat.S_IMODE(path.stat().st_mode) & stat.S_IROTH


def test_a_file_that_was_renamed_is_left_for_a_new_one_when_told(tmp_path: Path) -> None:
    path, old = tmp_path / "access.log", tmp_path / "access.log.1"
    writer = LineWriter(FileTarget(str(path)), "test")
    send(writer, "1\n")
    flushed(writer)
    path.rename(old)
    send(writer, "2\n")
    writer.reopen()
    send(writer, "3\n")
    flushed(writer)
    assert (old.read_text(), path.read_text()) == ("1\n2\n", "3\n")


def test_where_a_new_file_cannot_be_opened_the_old_one_stays(tmp_path: Path) -> None:
    directory = tmp_path / "logs"
    directory.mkdir()
    writer = LineWriter(FileTarget(str(directory / "access.log")), "test")
    directory.rename(tmp_path / "moved")
    with logged() as said:
        writer.reopen()
        send(writer, "still here\n")
        flushed(writer)
    assert said.lines == [("ERROR", "test: no new file, going on in the old one: no such file or directory")]
    assert (tmp_path / "moved" / "access.log").read_text() == "still here\n"
    assert writer.dropped == 0


def test_a_pipe_that_nobody_reads_holds_nobody_up_and_loses_what_is_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_writer, "MAX_BUFFERED_BYTES", 300_000)
    reading, writing = os.pipe()
    writer = LineWriter(DescriptorTarget(writing), "test")
    line = "x" * 99_999 + "\n"  # more than a pipe holds: the thread is stuck in the first of them
    for _ in range(5):
        send(writer, line)
    assert writer.dropped == 2
    assert not writer.wait_idle(0)
    assert writer.waiting_bytes == 300_000
    received = bytearray()
    with os.fdopen(reading, "rb") as pipe:
        reader = threading.Thread(target=lambda: received.extend(pipe.read(300_000)))
        reader.start()
        flushed(writer)
        reader.join(LIMIT_S)
    assert bytes(received) == line.encode() * 3
    os.close(writing)


class Disk:
    """A disk that has room, or has not."""

    def __init__(self) -> None:
        self.is_full = True
        self.is_closed = False
        self.data = b""

    def write(self, data: bytes) -> None:
        if self.is_full:
            raise OSError(28, "No space left on device")
        self.data += data

    def reopen(self) -> None:
        pass

    def close(self) -> None:
        self.is_closed = True


def test_what_cannot_be_written_is_counted_and_why_is_known_until_it_can() -> None:
    disk = Disk()
    writer = LineWriter(disk, "test")
    send(writer, "1\n", "2\n")
    flushed(writer)
    assert (writer.dropped, writer.problem) == (2, "no space left on device")
    disk.is_full = False
    send(writer, "3\n")
    flushed(writer)
    assert (writer.dropped, writer.problem, disk.data) == (2, "", b"3\n")


def test_reopening_a_descriptor_is_nothing() -> None:
    reading, writing = os.pipe()
    writer = LineWriter(DescriptorTarget(writing), "test")
    writer.reopen()
    send(writer, "1\n")
    flushed(writer)
    assert os.read(reading, 10) == b"1\n"
    os.close(reading)
    os.close(writing)


def test_after_a_close_what_was_handed_over_is_written_and_the_thread_ends() -> None:
    disk = Disk()
    disk.is_full = False
    writer = LineWriter(disk, "closing")
    send(writer, "1\n")
    writer.close()
    writer._thread.join(LIMIT_S)
    assert (disk.data, disk.is_closed, writer._thread.is_alive()) == (b"1\n", True, False)


def test_a_forked_process_writes_by_a_thread_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    writer = LineWriter(FileTarget(str(path)), "test")
    send(writer, "parent\n")
    flushed(writer)
    writer.close()  # stands for the fork, which leaves the child without the thread
    writer._thread.join(LIMIT_S)
    writer._target = FileTarget(str(path))
    send(writer, "child\n")
    flushed(writer)
    assert path.read_text() == "parent\nchild\n"
