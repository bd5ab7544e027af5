"""Keeping the C allocator from giving memory back between two reads of a stream.

Knows glibc's `mallopt`. A socket read is a buffer of up to 256 KiB; with glibc's defaults each one is mapped or trimmed
anew, and the page faults cost more than the copying: 900 against 450 microseconds of CPU for a proxied answer of 1 MiB.
"""

from __future__ import annotations

import ctypes
from typing import Final

M_TRIM_THRESHOLD: Final = -1
M_MMAP_THRESHOLD: Final = -3
KEPT_BYTES: Final = 16 * 1024 * 1024
"""Free memory at the top of the heap that is kept: some dozens of buffers, small against what a process may use."""
LARGEST_HEAP_BLOCK_BYTES: Final = 4 * 1024 * 1024
"""Blocks up to this size come from the heap; no buffer of ours is larger."""


def keep_buffers_mapped() -> bool:
    """Set the thresholds for this process; False where the C library has none."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # musl, macOS
        return False
    return bool(mallopt(M_TRIM_THRESHOLD, KEPT_BYTES) and mallopt(M_MMAP_THRESHOLD, LARGEST_HEAP_BLOCK_BYTES))
