"""The control channel: requests of one process to another and their answers, with listening sockets beside them.

Knows a pair of unix stream sockets. A message is a length of 4 bytes and JSON; descriptors travel with its first bytes
(SCM_RIGHTS). One side asks and the other answers, in order. Everything is bounded: the size of a message, what waits to
be sent (one request at a time, the next one waits) and how long an answer may take.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final, TypeVar

import anyio

MAX_MESSAGE_BYTES: Final = 64 * 1024 * 1024
"""Beyond 100,000 sessions listed, or a snapshot of 10,000 backends."""

MAX_SOCKETS: Final = 10_000
"""In one message: more listeners than anybody has."""

DESCRIPTORS_AT_ONCE: Final = 250
"""Sent with one piece of a message; the kernel's limit is 253 (SCM_MAX_FD)."""

READ_BYTES: Final = 64 * 1024
"""Read at once: most messages come whole."""

ANSWER_S: Final = 5.0
"""How long an answer may take unless the question says otherwise: all of them are a matter of milliseconds."""

_LENGTH: Final = struct.Struct(">I")

Body = dict[str, Any]
T = TypeVar("T", int, str, Body)
Handler = Callable[[str, Body, list[socket.socket]], Awaitable[Body]]
"""Answers a request of some kind. What it raises as RefusedError goes back as such."""


class ChannelError(Exception):
    """The other side is gone, or did not answer in time; str() says which."""


class GoneError(ChannelError):
    """The other side is gone: its process has ended, or does so now."""


class RefusedError(Exception):
    """The other side has answered that it cannot or will not; str() has its reasons, a line each."""


class Channel:
    """One end: `ask` on the one side, `answer` on the other."""

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(False)
        self._end = end
        self._loop = asyncio.get_running_loop()
        self._turn = anyio.Lock()
        self._received = bytearray()
        self._descriptors: deque[int] = deque()
        self._is_gone = False  # as the last request has found
        self._is_cut = False  # a request was given up half-way: what came after it could not be read
        self._expected = 0  # answers that have not come yet, those among them that nobody waits for any more

    async def ask(
        self, kind: str, body: Body | None = None, sockets: Sequence[socket.socket] = (), timeout_s: float = ANSWER_S
    ) -> Body:
        """Send a request and wait for its answer. Raises ChannelError, RefusedError."""
        answer: Body = {}
        data = _encoded({"kind": kind, "body": body or {}}, sockets)
        with _within(timeout_s, kind):
            async with self._turn:
                if self._is_gone:
                    raise GoneError("it is gone")
                if self._is_cut:
                    raise ChannelError("it does not read what it is told")
                self._is_cut = True
                await self._send(data, sockets)
                self._is_cut = False
                self._expected += 1
                while self._expected:  # all but the last answer requests that were given up
                    answer, _ = await self._receive()
                    self._expected -= 1
        if "refused" in answer:
            raise RefusedError(str(answer["refused"]))
        return _member(answer, "body", dict)

    async def answer(self, handler: Handler) -> None:
        """Have requests answered, one after another, until the other side is gone."""
        with suppress(ChannelError):
            while True:
                request, sockets = await self._receive()
                content: Body
                try:
                    kind, body = _member(request, "kind", str), _member(request, "body", dict)
                    content = {"body": await handler(kind, body, sockets)}
                except RefusedError as error:
                    content = {"refused": str(error)}
                await self._send(_encoded(content))

    def close(self) -> None:
        """Close this end, and descriptors that nobody took."""
        self._end.close()
        while self._descriptors:
            os.close(self._descriptors.popleft())

    async def _send(self, data: bytes, sockets: Sequence[socket.socket] = ()) -> None:
        view = memoryview(data)
        descriptors = [each.fileno() for each in sockets]
        while view:
            first, more = descriptors[:DESCRIPTORS_AT_ONCE], descriptors[DESCRIPTORS_AT_ONCE:]
            piece = view[:1] if more else view  # each of them needs a byte to travel with
            try:
                sent = socket.send_fds(self._end, [piece], first) if first else self._end.send(piece)
            except (BlockingIOError, InterruptedError):
                await self._wait(self._loop.add_writer, self._loop.remove_writer)
                continue
            except ConnectionError as error:
                self._is_gone = True
                raise GoneError(f"it is gone ({error.strerror or error})") from None
            except OSError as error:
                raise ChannelError(f"it cannot be reached ({error.strerror or error})") from None
            descriptors = more
            view = view[sent:]

    async def _receive(self) -> tuple[Body, list[socket.socket]]:
        await self._fill(_LENGTH.size)
        (size,) = _LENGTH.unpack_from(self._received)
        if size > MAX_MESSAGE_BYTES:
            raise ChannelError(f"a message of {size} bytes is too large")
        await self._fill(_LENGTH.size + size)
        content = _decoded(bytes(self._received[_LENGTH.size : _LENGTH.size + size]))
        del self._received[: _LENGTH.size + size]
        count = _member(content, "sockets", int)
        if not 0 <= count <= len(self._descriptors):
            raise ChannelError(f"{len(self._descriptors)} of {count} sockets came")
        return content, [socket.socket(fileno=self._descriptors.popleft()) for _ in range(count)]

    async def _fill(self, size: int) -> None:
        """Read until so much is there. Raises ChannelError."""
        while len(self._received) < size:
            try:
                data, descriptors, flags, _ = socket.recv_fds(self._end, READ_BYTES, DESCRIPTORS_AT_ONCE)
            except (BlockingIOError, InterruptedError):
                await self._wait(self._loop.add_reader, self._loop.remove_reader)
                continue
            except ConnectionError as error:
                raise GoneError(f"it is gone ({error.strerror or error})") from None
            except OSError as error:
                raise ChannelError(f"it cannot be reached ({error.strerror or error})") from None
            for descriptor in descriptors:
                os.set_inheritable(descriptor, False)
            self._descriptors.extend(descriptors)
            if flags & socket.MSG_CTRUNC:
                raise ChannelError("sockets were lost on the way (ulimit -n)")
            if not data:
                raise GoneError("it is gone")
            self._received += data

    async def _wait(
        self,
        add: Callable[[int, Callable[[asyncio.Future[None]], None], asyncio.Future[None]], None],
        remove: Callable[[int], bool],
    ) -> None:
        """Until the socket can be read, or written."""
        descriptor = self._end.fileno()
        if descriptor < 0:
            raise ChannelError("it is closed")
        ready: asyncio.Future[None] = self._loop.create_future()
        add(descriptor, _wake, ready)
        try:
            await ready
        finally:
            remove(descriptor)


def _encoded(content: Body, sockets: Sequence[socket.socket] = ()) -> bytes:
    """The message, which says how many sockets travel with it. Raises ChannelError for one beyond the limits."""
    data = json.dumps(content | {"sockets": len(sockets)}, separators=(",", ":")).encode()
    if len(data) > MAX_MESSAGE_BYTES or len(sockets) > MAX_SOCKETS:
        raise ChannelError(f"a message of {len(data)} bytes and {len(sockets)} sockets is too large")
    return _LENGTH.pack(len(data)) + data


def _decoded(data: bytes) -> Body:
    """The message. Raises ChannelError for what none of us writes."""
    try:
        content = json.loads(data)
    except ValueError:  # and the UnicodeDecodeError that is one
        content = None
    if not isinstance(content, dict):
        raise ChannelError("what it says cannot be understood")
    return content


def _member(content: Body, name: str, kind: type[T]) -> T:
    """One of the parts of a message. Raises ChannelError where it is not there, or is something else."""
    value = content.get(name)
    if not isinstance(value, kind):
        raise ChannelError("what it says cannot be understood")
    return value


def _wake(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


@contextmanager
def _within(timeout_s: float, kind: str) -> Iterator[None]:
    try:
        with anyio.fail_after(timeout_s):
            yield
    except TimeoutError:
        raise ChannelError(f"no answer to '{kind}' within {timeout_s:g} s") from None
