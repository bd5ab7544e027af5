"""The demo's two WebSockets, on the sans-I/O core of websockets: an echo and a clock."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Final

import anyio
from anyio.abc import SocketStream
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request as Handshake
from websockets.protocol import OPEN
from websockets.server import ServerProtocol

READ_BYTES: Final = 64 * 1024  # as much as one socket read usually brings
MESSAGE_BYTES: Final = 16 * 1024 * 1024  # one message is held in memory whole
LINGER_S: Final = 2.0  # for a client to see our last words before the connection goes


class WebSocket:
    """One WebSocket: an echo of all that comes in, or a clock that ticks once a second."""

    def __init__(self, stopping: anyio.Event, stream: SocketStream) -> None:
        self.stopping = stopping
        self.stream = stream
        self.protocol = ServerProtocol(
            extensions=[ServerPerMessageDeflateFactory()],
            max_size=MESSAGE_BYTES,
            logger=logging.getLogger("wsproxy.demo.websocket"),
        )
        self.sending = anyio.Lock()

    async def run(self, head: bytes, early: bytes, is_clock: bool) -> None:
        """Shake hands over the request `head`, then serve; `early` is what the client sent right behind it."""
        self.protocol.receive_data(head)
        for handshake in self.protocol.events_received():
            if isinstance(handshake, Handshake):
                self.protocol.send_response(self.protocol.accept(handshake))
        await self.flush()
        if self.protocol.state is not OPEN:
            return
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.say_goodbye)
            if is_clock:
                tasks.start_soon(self.tick)
            self.protocol.receive_data(early)
            await self.receive(is_clock)
            tasks.cancel_scope.cancel()

    async def receive(self, is_clock: bool) -> None:
        """Read until the client's last byte, and send its messages back by the fragment, unless it is a clock."""
        answer = {
            Opcode.TEXT: self.protocol.send_text,
            Opcode.BINARY: self.protocol.send_binary,
            Opcode.CONT: self.protocol.send_continuation,
        }
        while True:
            for frame in self.protocol.events_received():
                if isinstance(frame, Frame) and frame.opcode in answer and not is_clock and self.protocol.state is OPEN:
                    answer[frame.opcode](frame.data, frame.fin)
            await self.flush()
            with anyio.move_on_after(LINGER_S if self.protocol.close_expected() else None) as scope:
                try:
                    self.protocol.receive_data(await self.stream.receive(READ_BYTES))
                except anyio.EndOfStream:
                    self.protocol.receive_eof()
                    return
            if scope.cancelled_caught:
                return

    async def tick(self) -> None:
        """Send the time once a second."""
        while self.protocol.state is OPEN:
            self.protocol.send_text(f"{datetime.now().astimezone():%H:%M:%S}".encode())
            await self.flush()
            await anyio.sleep(1)

    async def say_goodbye(self) -> None:
        """Close with 1001 when the server stops."""
        await self.stopping.wait()
        if self.protocol.state is OPEN:
            self.protocol.send_close(CloseCode.GOING_AWAY, "the server is stopping")
            await self.flush()

    async def flush(self) -> None:
        """Write what the protocol has ready: one task at a time, so that frames keep their order."""
        async with self.sending:
            for data in self.protocol.data_to_send():
                await (self.stream.send(data) if data else self.stream.send_eof())
