"""What this OS process uses: CPU, memory, descriptors, and how late its event loop is.

Knows the operating system and the loop. Where the system does not say (no /proc), a figure is 0.
"""

from __future__ import annotations

import os
import resource
import time
from pathlib import Path
from typing import Final

import anyio

from wsproxy.observe.logs import messages_dropped
from wsproxy.observe.snapshot import ProcessFigures

LOOK_EVERY_S: Final = 0.5
"""How often lag is looked for: a stall of a second is always seen, and looking costs 0.01 % of a core."""

KEPT_LOOKS: Final = 20
"""The lag told of is the longest of the last ten seconds, so that a scrape every ten seconds misses none."""

_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
_TICKS_A_SECOND: Final = os.sysconf("SC_CLK_TCK")


class LoopLag:
    """How much later than asked for the event loop woke a sleeper, of late."""

    def __init__(self) -> None:
        self._recent = [0.0] * KEPT_LOOKS

    @property
    def longest_s(self) -> float:
        """The longest delay of the last seconds."""
        return max(self._recent)

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            asked_at = time.monotonic()
            await anyio.sleep(LOOK_EVERY_S)
            self.add(time.monotonic() - asked_at - LOOK_EVERY_S)

    def add(self, delay_s: float) -> None:
        """Take note of one delay."""
        del self._recent[0]
        self._recent.append(max(delay_s, 0.0))


def process_figures(started_at: float, lag_s: float, log_lines_dropped: int) -> ProcessFigures:
    """This process as it is now. started_at: Unix time."""
    return ProcessFigures(
        pid=os.getpid(),
        started_at=started_at,
        cpu_s=time.process_time(),
        memory_bytes=_memory_bytes(),
        descriptors=_descriptors(),
        max_descriptors=resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        lag_s=lag_s,
        log_lines_dropped=log_lines_dropped,
        log_messages_dropped=messages_dropped(),
    )


def _memory_bytes() -> int:
    try:
        return int(Path("/proc/self/statm").read_bytes().split()[1]) * _PAGE_BYTES
    except OSError:
        return 0


def _descriptors() -> int:
    try:
        return len(os.listdir("/proc/self/fd")) - 1  # listing them takes one
    except OSError:
        return 0


def family_usage(pid: int) -> tuple[float, int]:
    """CPU seconds and resident bytes of a process and of all that it has started and that still lives.

    CPU of children that have ended and were waited for counts as their parent's.
    """
    cpu_ticks = pages = 0
    waiting = [pid]
    while waiting:
        each = waiting.pop()
        try:
            stat = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
            children = Path(f"/proc/{each}/task/{each}/children").read_text().split()
        except OSError:  # it has ended, or there is no /proc
            continue
        cpu_ticks += sum(int(ticks) for ticks in stat[11:15])  # proc(5): utime, stime, cutime, cstime
        pages += int(stat[21])
        waiting += [int(child) for child in children]
    return cpu_ticks / _TICKS_A_SECOND, pages * _PAGE_BYTES
