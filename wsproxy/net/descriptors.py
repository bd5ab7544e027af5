"""File descriptors: how many this process may have, and when too few are left to take in more clients.

Knows the system's limit. Descriptors are numbered from the lowest free one up, so the number of a new one says how many
are in use. Some are kept back: a proxy whose clients hold them all can reach no server, and would take its own want
for the servers' death.
"""

from __future__ import annotations

import errno
import os
import resource
from contextlib import suppress
from typing import Final

EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
"""Errors of a system call that say we, or the machine, have too little of something; no peer is to blame."""

RESERVED_SHARE: Final = 8
RESERVED_MOST: Final = 256
"""Kept for servers, probes and files: an eighth of a small limit, at most what pools and probes dial at once."""


def raise_descriptor_limit() -> int:
    """Raise RLIMIT_NOFILE to its hard limit and return it; a proxy holds two descriptors a connection."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
    return soft


class DescriptorReserve:
    """Tells whether a client may still be taken in."""

    def __init__(self, limit: int | None = None) -> None:
        if limit is None:
            limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._first_reserved = limit - min(limit // RESERVED_SHARE, RESERVED_MOST)

    def is_touched_by(self, descriptor: int) -> bool:
        """Whether a descriptor just opened is one of those kept back."""
        return descriptor >= self._first_reserved

    def is_touched(self) -> bool:
        """Whether the next descriptor would be one of those kept back; costs two system calls."""
        try:
            descriptor = os.open(os.devnull, os.O_RDONLY)
        except OSError:
            return True
        os.close(descriptor)
        return self.is_touched_by(descriptor)
