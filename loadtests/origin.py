"""The server behind every proxy under test: fixed HTTP answers and a WebSocket echo, from the cheapest Python there is.

Run `python -m loadtests.origin PORT`. It shares its core with the load and must never be what a measurement waits for,
so it knows only what the load sends: GET without a body, and whole masked data frames.

    /70 /16k /1m   200 with that many bytes; with a query, which comes back in a field, so that no two heads are alike
    /cached/70 /cached/16k   the same, good for an hour
    /balanced/70   as /70, of any of eight servers: 127.0.0.1 to 127.0.0.8
    /ws            WebSocket echo
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Callable
from typing import cast

import uvloop

from loadtests.frames import CLOSE, PING, PONG, accept_key, encode_frame, scan_frame

SIZES = {b"/70": 70, b"/16k": 16 * 1024, b"/1m": 1024 * 1024}
BACKLOG = 4096  # 4,000 WebSockets may come at once


def answer(size: int, more: str = "") -> bytes:
    """A whole 200 with a body of `size` bytes, and the few fields that a real service sends."""
    head = f"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nServer: origin\r\nContent-Length: {size}\r\n{more}\r\n"
    return head.encode() + b"x" * size


FRESH = "Cache-Control: max-age=3600\r\n"
ANSWERS = {target: answer(size) for target, size in SIZES.items()} | {
    b"/balanced/70": answer(70),
    b"/cached/70": answer(70, FRESH),
    b"/cached/16k": answer(16 * 1024, FRESH),
}
HOSTS = [f"127.0.0.{number}" for number in range(1, 9)]
WEBSOCKET_KEY = re.compile(rb"(?i)\r\nsec-websocket-key:[ \t]*([^\r\n \t]+)")
NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"


class Origin(asyncio.Protocol):
    """One connection from a proxy: keep-alive requests, until one of them becomes a WebSocket."""

    def __init__(self) -> None:
        self._pending = b""
        self._receive: Callable[[bytes], None] = self._requests

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._pending:
            data, self._pending = self._pending + data, b""
        self._receive(data)

    def _requests(self, data: bytes) -> None:
        while data:
            head, end, rest = data.partition(b"\r\n\r\n")
            if not end:
                self._pending = data
                return
            target = head[4 : head.find(b" ", 4)]
            if target == b"/ws":
                self._upgrade(head, rest)
                return
            path, _, query = target.partition(b"?")
            found = ANSWERS.get(path, NOT_FOUND)
            self._transport.write(found.replace(b"\r\n", b"\r\nX-Query: %b\r\n" % query, 1) if query else found)
            data = rest

    def _upgrade(self, head: bytes, rest: bytes) -> None:
        key = WEBSOCKET_KEY.search(head)
        if key is None:
            self._transport.write(NOT_FOUND)
            return
        self._transport.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept_key(key[1]) + b"\r\n\r\n"
        )
        self._receive = self._frames
        self._frames(rest)

    def _frames(self, data: bytes) -> None:
        while (frame := scan_frame(data)) is not None:
            opcode, payload, used = frame
            self._transport.write(encode_frame(PONG if opcode == PING else opcode, payload))
            if opcode == CLOSE:
                self._transport.close()
                return
            data = data[used:]
        self._pending = data


async def serve(port: int) -> None:
    """Answer on `port` of all HOSTS until the process is ended."""
    server = await asyncio.get_running_loop().create_server(Origin, HOSTS, port, backlog=BACKLOG)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
