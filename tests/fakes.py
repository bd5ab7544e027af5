"""Stand-ins shared by the tests: transports without sockets, a scripted upstream server, exchanges, and how to run.

A fake keeps the contract of what it stands for (a transport calls its protocol back from the loop, never from inside
`write`), so that the code under test cannot tell.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import socket
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import anyio

from wsproxy.config.group_settings import Address, ServerSettings
from wsproxy.config.model import RouteSettings
from wsproxy.exchange import Exchange, RequestBody
from wsproxy.http.messages import RequestHead
from wsproxy.net.deadlines import Deadlines
from wsproxy.net.dial import Dialer, DialError
from wsproxy.net.stream import Stream

T = TypeVar("T")

RUN_TIMEOUT_S: Final = 90.0
"""No test comes near; one that hangs ends with a traceback of where."""

ANSWER: Final = b"HTTP/1.1 200 OK\r\nDate: Tue, 15 Nov 1994 08:12:31 GMT\r\nContent-Length: 2\r\n\r\nok"
"""It has a Date, or it would get one."""


def run(main: Callable[[], Awaitable[T]], uvloop: bool = True) -> T:
    """Run `main` on the loop that the proxy uses (or on asyncio's own), within RUN_TIMEOUT_S."""

    async def bounded() -> T:
        with anyio.fail_after(RUN_TIMEOUT_S):
            return await main()

    return anyio.run(bounded, backend_options={"use_uvloop": uvloop})


def in_loop(test: Callable[[], Awaitable[None]]) -> Callable[[], None]:
    """Make an async test one that pytest can call: see `run`."""

    @functools.wraps(test)
    def wrapper() -> None:
        run(test)

    return wrapper


async def until(condition: Callable[[], object]) -> None:
    """Let everything else run until `condition` holds, for what has no event of its own; `run` bounds the wait."""
    while not condition():  # noqa: ASYNC110 - there is no event
        await asyncio.sleep(0)


async def settle(rounds: int = 10) -> None:
    """Let every task that can run do so: for what must not have happened."""
    for _ in range(rounds):
        await asyncio.sleep(0)


@contextmanager
def without_collector() -> Iterator[None]:
    """What is gone by the end was held by nobody, not even by itself."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


class FakeTransport(asyncio.Transport):
    """A transport without a socket: keeps what is written, and delivers what the test says has come.

    sent: what was written. unsent_bytes: what `get_write_buffer_size` says. on_write: told of each write.
    raw: a socket that is looked at as if it were its own.
    """

    def __init__(self, protocol: asyncio.Protocol, on_write: Callable[[bytes], None] | None = None) -> None:
        super().__init__()
        self._protocol = protocol
        self._on_write = on_write
        self._lost = False
        self.sent = b""
        self.raw: socket.socket | None = None
        self.unsent_bytes = 0
        self.reading = True
        self.eof_written = False
        self.closing = False
        self.aborted = False
        protocol.connection_made(self)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.closing
        assert not self.eof_written
        self.sent += bytes(data)
        if self._on_write is not None:
            self._on_write(bytes(data))

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.eof_written = True

    def get_write_buffer_size(self) -> int:
        return self.unsent_bytes

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        known = {"peername": ("192.0.2.1", 4711), "socket": self.raw}
        return known.get(name, default)

    def is_reading(self) -> bool:
        return self.reading

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True
        self.lose()

    def abort(self) -> None:
        self.closing = self.aborted = True
        self.lose()

    # What the test says has happened on the other side.

    def feed(self, data: bytes) -> None:
        """Bytes have come."""
        if not self.closing:
            self._protocol.data_received(data)

    def end(self) -> None:
        """The peer has ended its side."""
        if not self.closing:
            self._protocol.eof_received()

    def lose(self) -> None:
        """The connection is gone; the protocol hears of it from the loop."""
        if not self._lost:
            self._lost = self.closing = True
            asyncio.get_running_loop().call_soon(self._protocol.connection_lost, None)


def make_stream(on_write: Callable[[bytes], None] | None = None) -> tuple[Stream, FakeTransport]:
    """A stream on a fake transport."""
    stream = Stream(asyncio.get_running_loop())
    return stream, FakeTransport(stream, on_write)


class UpstreamDialer(Dialer):
    """The list-of-bytes server: each connection it opens answers its requests from a script, or when the test says so.

    script: answers still to be given, in order; with an empty one, requests wait for `answer`. An answer of b"" ends
    the connection instead. requests: what was sent, and over which connection. opened, connections: ever, and open now.
    gate: while it is clear, dialling takes its time. refusing: dialling fails.
    """

    def __init__(self, *script: bytes, always: bytes | None = None) -> None:
        super().__init__(Address("192.0.2.9", 80))
        self.script: deque[bytes] = deque(script)
        self.always = always
        self.requests: list[tuple[bytes, FakeTransport]] = []
        self.pending: deque[FakeTransport] = deque()
        self.transports: list[FakeTransport] = []
        self.most_open = 0
        self.dialling = 0
        self.refusing = False
        self.gate = asyncio.Event()
        self.gate.set()

    @property
    def open(self) -> list[FakeTransport]:
        return [transport for transport in self.transports if not transport.closing]

    async def dial(self, timeout_s: float) -> Stream:
        self.dialling += 1
        try:
            await self.gate.wait()
        finally:
            self.dialling -= 1
        await asyncio.sleep(0)
        if self.refusing:
            raise DialError("192.0.2.9:80: connection refused")
        stream, transport = make_stream(lambda data: self._received(transport, data))
        self.transports.append(transport)
        self.most_open = max(self.most_open, len(self.open))
        return stream

    def _received(self, transport: FakeTransport, data: bytes) -> None:
        if not data.startswith((b"GET ", b"POST ", b"PUT ")):
            return
        self.requests.append((data, transport))
        answer = self.script.popleft() if self.script else self.always
        if answer is None:
            self.pending.append(transport)
        else:
            asyncio.get_running_loop().call_soon(_give, transport, answer)

    def answer(self, data: bytes = ANSWER) -> None:
        """Answer the request that has waited longest."""
        _give(self.pending.popleft(), data)


def _give(transport: FakeTransport, data: bytes) -> None:
    if data:
        transport.feed(data)
    else:
        transport.end()


ROUTE: Final = RouteSettings(name="http", kind="http", group="http")


def make_head(
    method: bytes = b"GET", target: bytes = b"/", length: int = 0, minor_version: int = 1, upgrade: bytes = b""
) -> RequestHead:
    fields = b"Host: example.test\r\n" + (b"Content-Length: %d\r\n" % length if length > 0 else b"")
    keep_alive = minor_version > 0
    return RequestHead(method, target, minor_version, b"example.test", fields, length, keep_alive, upgrade=upgrade)


class Client:
    """The client's side of an exchange: its stream, what it was sent, and the exchange itself."""

    def __init__(
        self,
        target: bytes = b"/",
        route: RouteSettings = ROUTE,
        method: bytes = b"GET",
        body: RequestBody | None = None,
    ) -> None:
        self.stream, self.transport = make_stream()
        head = make_head(method, target, 0 if body is None else 4)
        self.exchange = CountedExchange(head, body, self.stream, route, b"")

    def leave(self) -> None:
        """As a session does when its client hangs up."""
        self.stream.abort()
        self.exchange.abandon()

    @property
    def status(self) -> int:
        """What the client was answered or, without an answer, the status of the failure; 0 for neither."""
        if self.exchange.answered and self.exchange.response is not None:
            return self.exchange.response.status
        return self.exchange.failure.status if self.exchange.failure is not None else 0


class CountedExchange(Exchange):
    """An exchange that knows how often an end of it woke the one who waits."""

    __slots__ = ("times_finished",)

    def begin(self) -> asyncio.Future[None]:
        self.times_finished = 0
        done = super().begin()
        done.add_done_callback(self._count)
        return done

    def _count(self, done: asyncio.Future[None]) -> None:
        self.times_finished += 1


def make_server(name: str = "server1", **options: Any) -> ServerSettings:
    """A server's settings, with pool limits by their names."""
    return ServerSettings(name=name, address=Address("192.0.2.9", 80), **options)


def sweep(deadlines: Deadlines, later_s: float = 0.0) -> None:
    """Sweep as if `later_s` seconds had passed."""
    deadlines.sweep(asyncio.get_running_loop().time() + later_s)
