"""The product on loopback inside a test's own event loop, with raw connections on both sides of it.

Knows the Application and sockets. What goes over the wire is spelled out by the tests, byte for byte; the few parsers
here are the tests' own, so that a mistake in the product's cannot hide itself.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import ParamSpec, Self

import anyio

from tests.ports import free_port
from wsproxy.app import Application
from wsproxy.backend.pool import WorkerPool
from wsproxy.config.build import load

TEST_LIMIT_S = 270.0
"""A test that hangs fails with its own traceback, well before pytest-timeout ends the whole run; none takes 20 seconds
on a machine of its own."""

PATIENCE_S = 90.0
"""What comes at once comes by then on the busiest machine."""

BUFFER_BYTES = 64 * 1024 * 1024
"""What a reader may look ahead: more than the largest message of any test."""

LOST = (ConnectionError, asyncio.IncompleteReadError)
"""How the other end's leaving shows."""

P = ParamSpec("P")


def in_loop(test: Callable[P, Awaitable[None]]) -> Callable[P, None]:
    """Make an async test one that pytest can call: on uvloop, as the product runs, and bounded in time."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        async def bounded() -> None:
            with anyio.fail_after(TEST_LIMIT_S):
                await test(*args, **kwargs)

        anyio.run(bounded, backend_options={"use_uvloop": True})

    return run


async def eventually(condition: Callable[[], bool]) -> None:
    """Return once `condition` holds. Only for what nothing announces, such as the state inside a pool."""
    with anyio.fail_after(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - there is no event to wait for
            await anyio.sleep(0.005)


class Message:
    """One HTTP message.

    start: its first line. fields: (lower-case name, value) in order. body: without chunk framing.
    """

    def __init__(self, head: bytes) -> None:
        self.start, *lines = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
        pairs = (line.split(b":", 1) for line in lines)
        self.fields = [(name.lower(), value.strip()) for name, value in pairs]
        self.head = head
        self.body = b""

    @property
    def status(self) -> int:
        return int(self.start.split(b" ")[1])

    @property
    def target(self) -> bytes:
        return self.start.split(b" ")[1]

    def values(self, name: bytes) -> list[bytes]:
        return [value for other, value in self.fields if other == name]

    def field(self, name: bytes) -> bytes | None:
        """The value of the only field of this name; None when there is none."""
        values = self.values(name)
        assert len(values) < 2, f"{name!r} came {len(values)} times"
        return values[0] if values else None


class Wire:
    """One raw connection, as seen from the end that the test holds. received: all bytes that were taken from it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.received = bytearray()

    async def send(self, *pieces: bytes) -> None:
        """Send each piece in a write of its own."""
        for piece in pieces:
            self._writer.write(piece)
            await self._writer.drain()

    def send_now(self, data: bytes) -> None:
        """Have the kernel send it before the loop has another turn."""
        os.write(self._writer.get_extra_info("socket").fileno(), data)

    async def until(self, mark: bytes) -> bytes:
        """What comes up to `mark`, with it. Raises IncompleteReadError, ConnectionError."""
        return self._took(await self._reader.readuntil(mark))

    async def exactly(self, size: int) -> bytes:
        """So many bytes. Raises IncompleteReadError, ConnectionError."""
        return self._took(await self._reader.readexactly(size))

    async def some(self) -> bytes:
        """What comes next, b"" at the end."""
        return self._took(await self._reader.read(BUFFER_BYTES))

    async def rest(self) -> bytes:
        """All that comes until the end of the connection, orderly or not."""
        data = b""
        with suppress(*LOST):
            while piece := await self.some():
                data += piece
        return data

    def _took(self, data: bytes) -> bytes:
        self.received += data
        return data

    async def request(self) -> Message:
        """The next request, whole."""
        message = Message(await self.until(b"\r\n\r\n"))
        await self._read_body(message, default=0)
        return message

    async def response(self, method: bytes = b"GET") -> Message:
        """The next response, whole, interim ones included."""
        message = Message(await self.until(b"\r\n\r\n"))
        if method != b"HEAD" and message.status >= 200 and message.status not in (204, 304):
            await self._read_body(message, default=None)
        return message

    async def _read_body(self, message: Message, default: int | None) -> None:
        length = message.field(b"content-length")
        if message.field(b"transfer-encoding") == b"chunked":
            assert length is None
            while size := int(await self.until(b"\r\n"), 16):
                message.body += (await self.exactly(size + 2))[:-2]
            while await self.until(b"\r\n") != b"\r\n":  # trailers
                pass
        elif length is not None:
            message.body = await self.exactly(int(length))
        elif default is None:
            message.body = await self.rest()

    def end(self) -> None:
        """Send the end of our side."""
        self._writer.write_eof()

    def reset(self) -> None:
        """Drop the connection with a TCP reset."""
        raw = self._writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    async def close(self) -> None:
        """Close; twice is once."""
        self._writer.close()
        with suppress(ConnectionError):
            await self._writer.wait_closed()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


async def connect(port: int, ahead_bytes: int = BUFFER_BYTES) -> Wire:
    """A client's connection, which reads about so much ahead: `async with await connect(port) as client`."""
    return Wire(*await asyncio.open_connection("127.0.0.1", port, limit=ahead_bytes))


async def raw_request(port: int, data: bytes) -> bytes:
    """Send bytes over a connection of their own and return all that comes until the proxy ends it."""
    async with await connect(port) as client:
        await client.send(data)
        return await client.rest()


async def fetch(port: int, target: bytes = b"/") -> Message:
    """One GET over a connection of its own."""
    async with await connect(port) as client:
        await client.send(get(target))
        return await client.response()


def get(target: bytes = b"/", *lines: bytes) -> bytes:
    """A GET request with more field lines."""
    return b"GET %b HTTP/1.1\r\nHost: site.example\r\n%b\r\n" % (target, b"".join(line + b"\r\n" for line in lines))


def ok(body: bytes = b"fine", *lines: bytes) -> bytes:
    """A 200 with a body and more field lines."""
    fields = b"".join(line + b"\r\n" for line in lines)
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%b\r\n%b" % (len(body), fields, body)


Script = Callable[[Wire], Awaitable[None]]


def answer(data: bytes) -> Script:
    """A server that answers every request with the same bytes."""

    async def script(wire: Wire) -> None:
        while True:
            await wire.request()
            await wire.send(data)

    return script


def answer_once(*pieces: bytes) -> Script:
    """A server that sends these pieces, each in a write of its own, to one request and ends the connection."""

    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.send(*pieces)

    return script


class RawServer:
    """An upstream server whose every connection runs a script; one that never says a byte is a probe and runs none.

    opened: connections that spoke, ever. open: those now. most: how many at a time at most. wires: all, in order.
    """

    def __init__(self, script: Script | bytes) -> None:
        self._script = answer(script) if isinstance(script, bytes) else script
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.ahead_bytes = BUFFER_BYTES
        self.errors: list[Exception] = []
        self.wires: list[Wire] = []
        self.open = self.most = 0
        self.port = 0

    @property
    def opened(self) -> int:
        return len(self.wires)

    @property
    def requests(self) -> list[bytes]:
        """The first lines of all requests, connection by connection."""
        lines = b"".join(bytes(wire.received) for wire in self.wires).split(b"\r\n")
        return [line for line in lines if line.endswith(b" HTTP/1.1")]

    async def start(self) -> None:
        """Listen; at the same port again after `stop`."""
        self._server = await asyncio.start_server(
            self._accept, "127.0.0.1", self.port, limit=self.ahead_bytes, backlog=4096
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Listen no more, and drop every connection."""
        self.refuse()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def refuse(self) -> None:
        """Listen no more; connections go on."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._serve(reader, writer)
        except LOST:
            pass
        except asyncio.CancelledError:  # by stop: an asyncio server logs what its callbacks let through
            pass
        except Exception as error:  # noqa: BLE001 - shown when the server leaves its context
            self.errors.append(error)
        finally:
            self._tasks.discard(task)
            writer.transport.abort() if task.cancelling() else writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = await reader.read(1)
        if not first:
            return
        reader._buffer[:0] = first  # type: ignore[attr-defined]
        wire = Wire(reader, writer)
        self.wires.append(wire)
        self.open += 1
        self.most = max(self.most, self.open)
        try:
            await self._script(wire)
        finally:
            self.open -= 1

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, kind: object, *_: object) -> None:
        await self.stop()
        if self.errors and kind is None:
            raise self.errors[0]


async def refused_port() -> int:
    """A port of loopback where nobody listens."""
    return free_port()


class Proxy:
    """A running product."""

    def __init__(self, application: Application, port: int) -> None:
        self.application = application
        self.port = port

    def pool(self, group: str = "http", index: int = 0) -> WorkerPool:
        """The pool of a group's backend."""
        return list(self.application.groups[group].group.backends.values())[index].pool

    @property
    def sessions(self) -> int:
        return sum(len(frontend.service.sessions) for frontend in self.application.listeners.frontends)

    @property
    def relays(self) -> int:
        return sum(len(frontend.relays) for frontend in self.application.listeners.frontends)


@asynccontextmanager
async def proxy(routes: str, frontend: str = "", log: str = "access = off") -> AsyncIterator[Proxy]:
    """Run the product with these sections, and these lines of its [frontend] and [log], until the block ends."""
    text = f"[frontend]\nhost = 127.0.0.1\nport = 0\n{frontend}\n[log]\n{log}\n{routes}"
    application = Application(load(text, "test.ini", {}, "/"))
    async with anyio.create_task_group() as tasks:
        (address,) = await tasks.start(application.run)
        try:
            yield Proxy(application, int(address.rpartition(":")[2]))
        finally:
            tasks.cancel_scope.cancel()


async def reload(running: Proxy, routes: str, log: str = "access = off") -> None:
    """Take over other routes."""
    text = f"[frontend]\nhost = 127.0.0.1\nport = 0\n[log]\n{log}\n{routes}"
    running.application._read = lambda: load(text, "test.ini", {}, "/")
    await running.application.reload()


def http_route(*ports: int, lines: str = "", section: str = "http") -> str:
    """A route to servers on loopback, with more lines; its health checks come late unless a line says otherwise."""
    servers = "".join(f"server{number} = 127.0.0.1:{port}\n" for number, port in enumerate(ports, 1))
    interval = "" if "health_check_interval" in lines else "health_check_interval = 1h\n"
    return f"[{section}]\n{servers}{interval}{lines}\n"


@asynccontextmanager
async def proxied(
    script: Script | bytes, lines: str = "", frontend: str = ""
) -> AsyncIterator[tuple[RawServer, Proxy]]:
    """The product with one raw server behind `[http]`, which has these lines more."""
    async with RawServer(script) as server, proxy(http_route(server.port, lines=lines), frontend) as running:
        yield server, running


class LogLines(logging.Handler):
    """What the product logged, as (level, text)."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[tuple[str, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append((record.levelname, record.getMessage()))

    def of(self, level: str) -> list[str]:
        return [text for name, text in self.lines if name == level]


@contextmanager
def logged() -> Iterator[LogLines]:
    """Collect the product's log lines."""
    logger = logging.getLogger("wsproxy")
    handler = LogLines()
    level = logger.level
    logger.setLevel(logging.INFO)  # not by assignment: children keep what they once found enabled
    logger.addHandler(handler)
    try:
        yield handler
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
