"""An accepted socket before it becomes a stream: exact reads ahead of whoever speaks next, and the TLS handshake.

Knows sockets and how to wait for them; not what is read. What comes before TLS (a PROXY header) has to be taken from
the socket to the byte: a transport that has begun to read cannot give back what belongs to the handshake.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

from wsproxy.net.stream import FLUSH_TIMEOUT_S, Stream

if TYPE_CHECKING:
    from ssl import SSLContext

LAST_LOOK_BYTES = 64 * 1024
"""What is read of a client that is refused in its own words: closing over unread bytes would take the answer back."""


async def receive(accepted: socket.socket, size: int) -> bytes:
    """The next bytes, at most `size`. Raises OSError, ConnectionAbortedError at the end."""
    return await _read(accepted, size, 0)


async def peek(accepted: socket.socket) -> bytes:
    """The next byte, left where it is. Raises OSError, ConnectionAbortedError at the end."""
    return await _read(accepted, 1, socket.MSG_PEEK)


async def _read(accepted: socket.socket, size: int, flags: int) -> bytes:
    while True:
        try:
            data = accepted.recv(size, flags)
        except (BlockingIOError, InterruptedError):
            await _readable(accepted)
            continue
        if not data:
            raise ConnectionAbortedError("the client left")
        return data


async def _readable(accepted: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    woken: asyncio.Future[None] = loop.create_future()
    loop.add_reader(accepted.fileno(), _wake, woken)
    try:
        await woken
    finally:
        loop.remove_reader(accepted.fileno())


def _wake(woken: asyncio.Future[None]) -> None:
    if not woken.done():
        woken.set_result(None)


async def connect(accepted: socket.socket, stream: Stream) -> None:
    """Let the stream have the socket. Raises OSError, and has closed the socket then."""
    try:
        await stream.loop.connect_accepted_socket(lambda: stream, accepted)
    except OSError:
        accepted.close()
        raise


async def connect_tls(accepted: socket.socket, stream: Stream, context: SSLContext, timeout_s: float) -> None:
    """The same behind a TLS handshake, which may take so long. Raises OSError for one that fails, too."""
    try:
        await stream.loop.connect_accepted_socket(
            lambda: stream,
            accepted,
            ssl=context,
            ssl_handshake_timeout=timeout_s,
            ssl_shutdown_timeout=FLUSH_TIMEOUT_S,  # it flushes first: the same limit as without TLS
        )
    except OSError:
        accepted.close()
        raise


def answer_and_close(accepted: socket.socket, answer: bytes) -> None:
    """Send a last word as far as it goes without waiting, and close."""
    with suppress(OSError):
        accepted.recv(LAST_LOOK_BYTES)
        accepted.send(answer)
        accepted.shutdown(socket.SHUT_WR)
    accepted.close()


def peer_of(accepted: socket.socket) -> str:
    """The other side's address. Raises OSError when it is gone already."""
    return str(accepted.getpeername()[0])
