"""How this process manages memory: read buffers stay mapped, and the collector of cycles runs seldom.

Knows glibc's `mallopt` and Python's `gc`. A socket read is a buffer of up to 256 KiB; with glibc's defaults each one
is mapped or trimmed anew, and the page faults cost more than the copying: 900 against 450 microseconds of CPU for a
proxied answer of 1 MiB.
"""

from __future__ import annotations

import ctypes
import gc
from typing import Final

M_TRIM_THRESHOLD: Final = -1
M_MMAP_THRESHOLD: Final = -3
KEPT_BYTES: Final = 16 * 1024 * 1024
"""Free memory at the top of the heap that is kept: some dozens of buffers, small against what a process may use."""
LARGEST_HEAP_BLOCK_BYTES: Final = 4 * 1024 * 1024
"""Blocks up to this size come from the heap; no buffer of ours is larger."""

YOUNG_OBJECTS: Final = 50_000
"""New containers before the collector looks for cycles. Our own objects form none that last, so at 700, the default, it
searches thousands of live sessions for nothing: 0.9 of 15 us a request. At 50,000 what it may leave is a few MiB."""


def collect_seldom() -> None:
    """Take what was built at the start out of the collector's sight, and let it run seldom."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, 20, 20)


def keep_buffers_mapped() -> bool:
    """Set the thresholds for this process; False where the C library has none."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # musl, macOS
        return False
    return bool(mallopt(M_TRIM_THRESHOLD, KEPT_BYTES) and mallopt(M_MMAP_THRESHOLD, LARGEST_HEAP_BLOCK_BYTES))
