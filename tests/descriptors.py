"""What this process holds open, and how much it may: for tests that nothing is left behind, and for crowds."""

from __future__ import annotations

import os
from contextlib import suppress

import pytest

from wsproxy.net.descriptors import raise_descriptor_limit


def open_sockets() -> int:
    """How many sockets this process has."""
    count = 0
    for descriptor in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):  # the listing's own
            count += os.readlink(f"/proc/self/fd/{descriptor}").startswith("socket:")
    return count


def needs_descriptors(count: int) -> None:
    """Let this process, and those it starts, have so many; the test is skipped where they cannot."""
    if raise_descriptor_limit() < count:
        pytest.skip(f"raise the hard limit of open files (ulimit -Hn) to {count}")
