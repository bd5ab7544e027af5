"""A thousand WebSockets of which one side takes nothing: the other is held up, and the proxy's memory stays flat."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import cast

import anyio
import anyio.lowlevel
import pytest

from tests.descriptors import needs_descriptors
from tests.integration.harness import eventually, http_route, in_loop
from tests.integration.websocket_wire import BINARY, acceptance, frame, handshake
from tests.system.harness import spawned

SESSIONS = 1000
MESSAGE_BYTES = 16 * 1024
SESSION_BYTES = 600 * 1024
"""What a stalled session may hold in the proxy: what one read has brought (256 KiB at most), on each side of it."""
GROWTH_BYTES = 1024 * 1024
"""By which a process may grow while nothing moves: by nothing, but the allocator has its whims."""
TRICKLE_BYTES = 16 * 1024 * 1024
"""What the kernels' buffers may still take in that second; a side that is not held up sends hundreds of MiB."""
KERNEL_BYTES = 4096
"""A socket's own buffer: the test's kernel memory is not to be what is filled, and takes time."""
QUIET_LOOKS = 160  # 0.8 s: a busy machine may keep the proxy waiting for a while

linux = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc (Linux)")


class Flood(asyncio.Protocol):
    """Sends as fast as it may, once its handshake is done. sent: the bytes of all of them."""

    sent = 0
    is_client = False

    def __init__(self, made: list[asyncio.Transport]) -> None:
        self._made = made
        self._head = b""
        self._may_write = True
        self._data = frame(BINARY, bytes(MESSAGE_BYTES), masked=self.is_client)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._made.append(self.transport)
        self.transport.set_write_buffer_limits(high=MESSAGE_BYTES)
        raw = self.transport.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, KERNEL_BYTES)
        if self.is_client:
            self.transport.write(handshake())

    def data_received(self, data: bytes) -> None:
        self._head += data
        if self._head.endswith(b"\r\n\r\n"):
            if not self.is_client:
                self.transport.write(acceptance(self._head))
            self.resume_writing()

    def pause_writing(self) -> None:
        self._may_write = False

    def resume_writing(self) -> None:
        self._may_write = True
        while self._may_write and not self.transport.is_closing():
            self.transport.write(self._data)
            type(self).sent += len(self._data)


class FloodingServer(Flood):
    sent = 0


class FloodingClient(Flood):
    sent = 0
    is_client = True


class Deaf(asyncio.Protocol):
    """Shakes hands and then reads nothing any more."""

    is_client = False

    def __init__(self, made: list[asyncio.Transport]) -> None:
        self._made = made

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._made.append(self.transport)
        raw = self.transport.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, KERNEL_BYTES)
        if self.is_client:
            self.transport.write(handshake())

    def data_received(self, data: bytes) -> None:
        if not self.is_client:
            self.transport.write(acceptance(data))
        self.transport.pause_reading()


class DeafClient(Deaf):
    is_client = True


@linux
@pytest.mark.parametrize(
    ("server", "client", "flood"),
    [(FloodingServer, DeafClient, FloodingServer), (Deaf, FloodingClient, FloodingClient)],
)
@in_loop
async def test_a_thousand_stalled_sessions_hold_what_they_held(
    server: type[Flood | Deaf], client: type[Flood | Deaf], flood: type[Flood], tmp_path: Path
) -> None:
    needs_descriptors(2 * SESSIONS + 500)
    made: list[asyncio.Transport] = []
    flood.sent = 0
    loop = asyncio.get_running_loop()
    looks: list[int] = []

    def has_stalled() -> bool:
        looks.append(flood.sent)
        return len(looks) > QUIET_LOOKS and flood.sent > 0 and len(set(looks[-QUIET_LOOKS:])) == 1

    listener = await loop.create_server(lambda: server(made), "127.0.0.1", 0, backlog=4096)
    async with listener:
        route = http_route(
            listener.sockets[0].getsockname()[1],
            lines="max_workers = 50\nbuffer_size = 2000\nping_interval = none",
            section="websocket",
        )
        async with spawned(tmp_path, route) as running:
            try:
                before = running.resident_bytes
                for _ in range(SESSIONS):
                    await loop.create_connection(lambda: client(made), "127.0.0.1", running.port)
                await eventually(has_stalled)
                stalled = running.resident_bytes
                assert stalled - before < SESSIONS * SESSION_BYTES
                await anyio.sleep(1)  # they push on all the time
                assert running.resident_bytes - stalled < GROWTH_BYTES
                assert flood.sent - looks[-1] < TRICKLE_BYTES, "who sends is held up"
            finally:
                for transport in made:
                    transport.abort()
                await anyio.lowlevel.checkpoint()  # their ends are told in the loop's next round
