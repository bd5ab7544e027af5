"""Small files that were sent a moment ago, kept with what is said of them: a hot file costs one look at its status.

Knows the status of files, no content. What is kept is never taken on trust: each time the kernel is asked whether the
name still means the same file in the same state (1.7 us). What else decided the choice, such as which compressed files
there are beside it, is looked up anew after a second.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from wsproxy.static.answers import Answer
from wsproxy.static.tree import OpenFile

KEPT_S: Final = 1.0
"""How long what is not asked each time is taken to be as it was."""
SETTLED_S: Final = 1.0
"""How long a file must have been left alone: two changes within one tick of the kernel's clock look like one."""
KEPT_BYTES: Final = 8 * 1024 * 1024
"""All files of a route together."""
OVERHEAD_BYTES: Final = 1024
"""What an entry takes besides its content, about."""


@dataclass(slots=True)
class RecentFile:
    """A file that is not open any more. key: target and Accept-Encoding. answer: to a GET without conditions."""

    key: tuple[bytes, bytes]
    file: OpenFile
    data: bytes
    answer: Answer
    kept_until: float

    @property
    def size(self) -> int:
        """What it counts for."""
        return len(self.data) + sum(map(len, self.key)) + OVERHEAD_BYTES


class RecentFiles:
    """As many as fit in `limit_bytes`, those looked up last."""

    def __init__(self, limit_bytes: int = KEPT_BYTES, clock: Callable[[], float] = time.time) -> None:
        self._limit_bytes = limit_bytes
        self._clock = clock
        self._files: dict[tuple[bytes, bytes], RecentFile] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._files)

    def get(self, target: bytes, accept: bytes, now: float) -> RecentFile | None:
        """The file that answered this target, if nothing has changed since. now: loop time."""
        entry = self._files.get((target, accept))
        if entry is None:
            return None
        if now < entry.kept_until and _is_unchanged(entry.file):
            return entry
        self._drop(entry)
        return None

    def keep(self, target: bytes, accept: bytes, file: OpenFile, answer: Answer, now: float) -> None:
        """Keep a file whose data has been read; nothing happens with one that has just been changed."""
        if file.data is None or file.status.st_mtime > self._clock() - SETTLED_S:
            return
        entry = RecentFile((target, accept), file, file.data, answer, now + KEPT_S)
        if (before := self._files.get(entry.key)) is not None:
            self._drop(before)
        self._files[entry.key] = entry
        self._bytes += entry.size
        while self._bytes > self._limit_bytes:
            self._drop(next(iter(self._files.values())))

    def _drop(self, entry: RecentFile) -> None:
        del self._files[entry.key]
        self._bytes -= entry.size


def _is_unchanged(file: OpenFile) -> bool:
    try:
        now = os.stat(file.path)
    except OSError:
        return False
    then = file.status
    return (
        now.st_mtime_ns == then.st_mtime_ns
        and now.st_ctime_ns == then.st_ctime_ns
        and now.st_size == then.st_size
        and now.st_ino == then.st_ino
        and now.st_dev == then.st_dev
    )
