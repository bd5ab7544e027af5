"""Ports of loopback where nobody listens, for servers that a test starts later, or never.

One that the system gave and took back may be given to the next connection of anybody, most of all while tests run in
several processes; so these are from where the system gives none.
"""

from __future__ import annotations

import random
import socket
from contextlib import suppress
from pathlib import Path

GIVEN = Path("/proc/sys/net/ipv4/ip_local_port_range")
"""The ports that Linux gives; others give from 49152 up."""

LOWEST, USUAL_END = 10_000, 30_000

TRIES = 1_000


def free_port() -> int:
    """A port that no connection gets by itself."""
    end = USUAL_END
    with suppress(OSError):
        end = min(end, int(GIVEN.read_text().split()[0]))
    for _ in range(TRIES):
        port = random.randrange(min(LOWEST, end - 1), end)
        with suppress(OSError), socket.socket() as holder:
            holder.bind(("127.0.0.1", port))
            return port
    raise AssertionError(f"no free port from {LOWEST} to {end}")
