"""An upstream server that misbehaves as its standard input says: `python -m tests.system.moody_server PORT NAME`.

Lines: `well`; `slow SECONDS` before each answer; `reset` each request; `oops SHARE` of answers are 500. It answers
every request with its name, health checks included, and says `ready` once it listens.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
from contextlib import suppress
from random import Random


class Mood:
    """How it answers now."""

    def __init__(self, name: str) -> None:
        self.name = name.encode()
        self.word, self.amount = "well", 0.0
        self.rng = Random(name)

    def hear(self) -> None:
        """A line of standard input; its end is ours."""
        line = sys.stdin.readline()
        if not line:
            asyncio.get_running_loop().stop()
            return
        self.word, _, amount = line.strip().partition(" ")
        self.amount = float(amount or 0)

    def answer(self, is_probe: bool) -> bytes:
        if self.word == "oops" and not is_probe and self.rng.random() < self.amount:
            return b"HTTP/1.1 500 Oops\r\nContent-Length: 4\r\n\r\noops"
        return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(self.name), self.name)


class Connection(asyncio.Protocol):
    """One connection, whose requests have no bodies."""

    def __init__(self, mood: Mood) -> None:
        self._mood = mood
        self._received = b""
        self._transport = asyncio.Transport()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while b"\r\n\r\n" in self._received:
            head, _, self._received = self._received.partition(b"\r\n\r\n")
            answer = self._mood.answer(is_probe=b" /healthCheck " in head)
            if self._mood.word == "reset":
                raw = self._transport.get_extra_info("socket")
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self._transport.abort()
            elif self._mood.word == "slow":
                asyncio.get_running_loop().call_later(self._mood.amount, self._send, answer)
            else:
                self._send(answer)

    def _send(self, answer: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(answer)


async def main(port: int, name: str) -> None:
    loop = asyncio.get_running_loop()
    mood = Mood(name)
    server = await loop.create_server(lambda: Connection(mood), "127.0.0.1", port)
    loop.add_reader(sys.stdin, mood.hear)
    print("ready", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    with suppress(RuntimeError):  # stopped by the end of its input
        asyncio.run(main(int(sys.argv[1]), sys.argv[2]))
