"""Socket options by which the kernel notices that the other end of a silent connection is gone.

For connections on which silence is the rule; 30 seconds of it, then three questions ten seconds apart.
"""

from __future__ import annotations

import socket
from typing import Final

ASKED_WHEN_SILENT: Final = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    *(
        (socket.IPPROTO_TCP, int(getattr(socket, name)), value)
        for name, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3))
        if hasattr(socket, name)  # macOS names the first one otherwise
    ),
)
"""Triples of level, option and value."""
