"""What the kernel knows of a connection, which no event loop tells. Only Linux does, of TCP."""

from __future__ import annotations

import asyncio
import socket
import struct
from math import inf
from typing import Final, NamedTuple

_TCP_INFO: Final = struct.Struct("=B51xII")
"""Of struct tcp_info: tcpi_state, and behind seven bytes and eleven numbers tcpi_last_data_recv, tcpi_last_ack_recv."""

CLOSED: Final = 7
"""TCP_CLOSE, which a connection whose end was sent and received reaches early only by a reset."""


class TcpInfo(NamedTuple):
    """state: of the connection. since_data_ms, since_packet_ms: since its last byte, and its last packet, came."""

    state: int
    since_data_ms: float
    since_packet_ms: float


UNKNOWN: Final = TcpInfo(0, inf, 0.0)


def tcp_info(transport: asyncio.BaseTransport) -> TcpInfo:
    """What it knows now; UNKNOWN on another kernel or kind of socket, and of one that has been closed just now."""
    try:
        raw = transport.get_extra_info("socket")  # uvloop: RuntimeError once the handle is closed
        known = raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
        return TcpInfo(*_TCP_INFO.unpack(known))
    except (AttributeError, OSError, RuntimeError, ValueError, struct.error):
        return UNKNOWN
