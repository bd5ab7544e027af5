"""How many CPUs this process may use: what its affinity and its container's quota leave it."""

from __future__ import annotations

import os
from math import ceil
from pathlib import Path
from typing import Final

CGROUP: Final = Path("/sys/fs/cgroup/cpu.max")
"""The quota of a container (cgroup v2): microseconds of CPU in each period, or `max`."""


def usable_cpus(quota_file: Path = CGROUP) -> int:
    """At least 1."""
    try:
        there = len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        there = os.cpu_count() or 1
    try:
        quota, period = quota_file.read_text(encoding="ascii").split()
        allowed = there if quota == "max" else ceil(int(quota) / int(period))
    except (OSError, ValueError):
        allowed = there
    return max(1, min(there, allowed))
