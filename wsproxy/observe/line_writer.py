"""Lines on their way to a descriptor or a file, written by a thread of their own.

Knows bytes and files. Who adds a line never waits: a pipe that nobody reads, or a disk that is slow, holds the thread
up and nothing else. What waits for it is bounded; what is lost is counted.
"""

from __future__ import annotations

import logging
import os
import select
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from typing import Final, Protocol

MAX_BUFFERED_BYTES: Final = 8 * 1024 * 1024
"""What may wait to be written: some seconds of the busiest proxy, and the most that a stuck pipe costs in memory."""


_logger = logging.getLogger("wsproxy.access")


class Target(Protocol):
    """Where lines go. Its methods are called in the writer's thread and may wait; they raise OSError."""

    def write(self, data: bytes) -> None:
        """Write all of it."""
        ...

    def reopen(self) -> None:
        """Go on in a new file, where there is a file."""
        ...

    def close(self) -> None:
        """Nothing more is to come."""
        ...


class DescriptorTarget:
    """An open descriptor that belongs to somebody else, such as standard output.

    Others may write to it at the same time, our own processes among them: into a pipe goes no more at once than the
    system keeps in one piece (PIPE_BUF), and whole lines.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._is_pipe = stat.S_ISFIFO(os.fstat(descriptor).st_mode)

    def write(self, data: bytes) -> None:
        """Write all of it. Raises OSError."""
        while self._is_pipe and len(data) > select.PIPE_BUF:
            end = data.rfind(b"\n", 0, select.PIPE_BUF) + 1
            end = end or data.find(b"\n") + 1 or len(data)  # a line that is longer goes as it can
            _write_all(self._descriptor, data[:end])
            data = data[end:]
        _write_all(self._descriptor, data)

    def reopen(self) -> None:
        """Nothing: who gave it is who changes it."""

    def close(self) -> None:
        """Nothing, for the same reason."""


class FileTarget:
    """A file that is appended to. Raises OSError when it cannot be opened."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._descriptor = _open(path)

    def write(self, data: bytes) -> None:
        """Write all of it. Raises OSError."""
        _write_all(self._descriptor, data)

    def reopen(self) -> None:
        """Go on in what bears the name now; the old file stays in use where that fails. Raises OSError."""
        fresh = _open(self._path)
        os.close(self._descriptor)
        self._descriptor = fresh

    def close(self) -> None:
        """Nothing more is to come."""
        os.close(self._descriptor)


def _open(path: str) -> int:
    # Not for everybody's eyes: addresses of clients stand in it.
    return os.open(Path(path), os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


class LineWriter:
    """Hands batches to its thread. dropped: lines lost so far. problem: why the latest ones were, "" if all is well."""

    def __init__(self, target: Target, name: str) -> None:
        self.dropped = 0
        self.problem = ""
        self._target = target
        self._name = name
        self._start()

    def _start(self) -> None:
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()  # None: the end
        self._waiting_bytes = 0
        self._lock = threading.Lock()
        self._idle = threading.Event()
        self._idle.set()
        # A daemon: one that hangs in a write must not keep the process from its end.
        self._thread = threading.Thread(target=self._run, args=(self._jobs,), name=self._name, daemon=True)
        self._thread.start()

    @property
    def waiting_bytes(self) -> int:
        """About how much was handed over and is not written yet."""
        return self._waiting_bytes

    def write(self, lines: list[str], size: int) -> None:
        """Have `lines`, together about `size` bytes, written; or lose them when too much waits already. Never waits."""
        if not self._thread.is_alive():
            self._start()  # in a process forked from the one that had it
        with self._lock:
            if self._waiting_bytes + size > MAX_BUFFERED_BYTES:
                self.dropped += len(lines)
                self.problem = "what reads it is too slow"
                return
            self._waiting_bytes += size
            self._idle.clear()
        self._jobs.put(lambda: self._write(lines, size))

    def reopen(self) -> None:
        """Have what comes now written to a new file. Never waits."""
        self._jobs.put(self._reopen)

    def close(self) -> None:
        """Nothing more comes: the thread ends behind what is to be written. Never waits."""
        self._jobs.put(None)

    def wait_idle(self, timeout_s: float) -> bool:
        """Wait until all is written, or for so long; whether it is."""
        return self._idle.wait(timeout_s)

    def _run(self, jobs: SimpleQueue[Callable[[], None] | None]) -> None:
        while (job := jobs.get()) is not None:
            job()
        self._target.close()

    def _write(self, lines: list[str], size: int) -> None:
        try:
            self._target.write("".join(lines).encode("utf-8", "replace"))
            self.problem = ""
        except OSError as error:
            self.problem = _reason(error)
            self.dropped += len(lines)
        with self._lock:
            self._waiting_bytes -= size
            if self._waiting_bytes <= 0:
                self._idle.set()

    def _reopen(self) -> None:
        try:
            self._target.reopen()
        except OSError as error:
            _logger.error("%s: no new file, going on in the old one: %s", self._name, _reason(error))
