"""The demo's HTTP half, on anyio and h11: its connections, one request after the other, and its pages."""

from __future__ import annotations

import html
import json
import logging
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime
from http import HTTPStatus
from importlib.resources import files
from typing import Final
from urllib.parse import parse_qs

import anyio
import h11
from anyio.abc import Listener, SocketStream

from wsproxy.demo.websocket import WebSocket

log = logging.getLogger("wsproxy.demo")

READ_BYTES: Final = 64 * 1024  # as much as one socket read usually brings
ECHO_PIECES: Final = 2048  # what /echo keeps for a client that reads only when it has sent all; one read at most each
IDLE_TIMEOUT_S: Final = 75.0  # longer than the proxy keeps an idle connection, so that it is never we who close first
LINGER_S: Final = 2.0  # for a client to see our last words before the connection goes
STOP_TIMEOUT_S: Final = 3.0  # what a SIGTERM leaves to the exchanges in flight and to closing handshakes
SLOWEST_S: Final = 300.0  # /slow never holds a connection for longer
BLOCK: Final = bytes(range(256)) * 256  # what /big sends over and over
RUDENESS: Final = (
    anyio.BrokenResourceError,
    anyio.ClosedResourceError,
    anyio.EndOfStream,
    h11.RemoteProtocolError,
    OSError,
)
"""What a client does by leaving, breaking HTTP or never sending; none of it is a fault of this server."""
REASONS: Final = {status.value: status.phrase for status in HTTPStatus}

Query = dict[str, list[str]]


class BadQueryError(ValueError):
    """A query parameter that is no number, or out of range."""


def number(query: Query, name: str, default: float, most: float) -> float:
    """The number a query gives to `name`, from 0 to `most`. Raises BadQueryError."""
    text = query.get(name, [str(default)])[0]
    with suppress(ValueError):
        if 0 <= float(text) <= most:
            return float(text)
    raise BadQueryError(f"{name} must be a number from 0 to {most:.0f}")


class Demo:
    """What all connections share: the name to show, and how many have something to finish before we stop."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.stopping = anyio.Event()
        self._busy = 0
        self._all_idle = anyio.Event()

    def __enter__(self) -> None:
        """Count an exchange or a WebSocket as under way: `with demo: ...`."""
        self._busy += 1

    def __exit__(self, *_: object) -> None:
        self._busy -= 1
        if self.stopping.is_set() and not self._busy:
            self._all_idle.set()

    async def serve(self, stream: SocketStream) -> None:
        """One client's connection, from its first byte to its last."""
        async with stream:
            try:
                await Connection(self, stream).run()
            except* RUDENESS as gone:
                log.debug("connection ended: %s", gone.exceptions[0])

    async def run(self, listener: Listener[SocketStream]) -> None:
        """Serve until SIGTERM or SIGINT, then stop listening, let all that is under way end, and return."""
        async with anyio.create_task_group() as connections:
            async with listener, anyio.create_task_group() as accepting:
                with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
                    accepting.start_soon(listener.serve, self.serve, connections)
                    await anext(signals)
                accepting.cancel_scope.cancel()
            self.stopping.set()
            with anyio.move_on_after(STOP_TIMEOUT_S):
                if self._busy:
                    await self._all_idle.wait()
            connections.cancel_scope.cancel()


class Connection:
    """One HTTP/1.1 connection: requests one after the other, until it closes or becomes a WebSocket."""

    def __init__(self, demo: Demo, stream: SocketStream) -> None:
        self.demo = demo
        self.stream = stream
        self.http = h11.Connection(h11.SERVER)
        self.head_only = False
        self.pages: dict[str, Callable[[h11.Request, Query], Awaitable[None]]] = {
            "/": self.index,
            "/hello": self.hello,
            "/healthCheck": self.health_check,
            "/slow": self.slow,
            "/big": self.big,
            "/echo": self.echo,
            "/headers": self.headers,
            "/events": self.events,
        }

    async def run(self) -> None:
        """Answer requests until either side has had enough. Raises what RUDENESS lists."""
        while self.http.our_state is h11.IDLE:
            try:
                with anyio.fail_after(IDLE_TIMEOUT_S):
                    request = await self.next_event()
            except h11.RemoteProtocolError as error:
                await self.reply(error.error_status_hint, f"{error}\n")
                break
            if not isinstance(request, h11.Request):  # the client has closed
                return
            with self.demo:
                if await self.answer(request):
                    return
                await self.discard_rest()
        # A close with input unread would reset the connection and could take the answer with it (RFC 9112 section 9.6).
        await self.stream.send_eof()
        with anyio.move_on_after(LINGER_S):
            while True:
                await self.stream.receive(READ_BYTES)

    async def answer(self, request: h11.Request) -> bool:
        """Answer one request; True when it made the connection a WebSocket, which has ended by now."""
        self.head_only = request.method == b"HEAD"
        path, _, query = request.target.decode("latin-1").partition("?")
        upgrade = any(name == b"upgrade" and value.lower() == b"websocket" for name, value in request.headers)
        if request.method == b"GET" and (path in ("/ws", "/clock") or (upgrade and "echo" in path)):
            head = b"".join(b"%b: %b\r\n" % field for field in request.headers.raw_items())
            head = b"GET %b HTTP/1.1\r\n%b\r\n" % (request.target, head)
            await WebSocket(self.demo.stopping, self.stream).run(head, self.http.trailing_data[0], path == "/clock")
            return True
        try:
            if path.startswith("/status/"):
                await self.status(path.removeprefix("/status/"))
            elif page := self.pages.get(path):
                await page(request, parse_qs(query, max_num_fields=20))
            else:
                await self.reply(404, "not found\n")
        except ValueError as error:  # BadQueryError, or what parse_qs has against a query
            if self.http.our_state is not h11.SEND_RESPONSE:
                raise
            await self.reply(400, f"{error}\n")
        return False

    async def discard_rest(self) -> None:
        """Read away what is left of the request's body, up to READ_BYTES, and get ready for the next request."""
        left = READ_BYTES
        with anyio.move_on_after(LINGER_S):
            while left > 0 and self.http.their_state is h11.SEND_BODY:
                event = await self.next_event()
                left -= len(event.data) if isinstance(event, h11.Data) else 0
        if self.http.our_state is h11.DONE and self.http.their_state is h11.DONE:
            self.http.start_next_cycle()

    async def next_event(self) -> h11.Event | type[h11.PAUSED]:
        """The next event of the client's, read from the socket as far as needed."""
        while True:
            event = self.http.next_event()
            if event is not h11.NEED_DATA:
                return event  # type: ignore[return-value]  # h11's sentinels are types of their own
            try:
                self.http.receive_data(await self.stream.receive(READ_BYTES))
            except anyio.EndOfStream:
                self.http.receive_data(b"")

    async def send(self, event: h11.Event) -> None:
        """Write an event, and wait for the client to take it."""
        if data := self.http.send(event):
            await self.stream.send(data)

    async def start(self, status: int, content_type: str, length_bytes: int | None = None) -> None:
        """Send a response's head; without a length the body is chunked, or ends with the connection."""
        fields = [("Content-Type", content_type), ("Cache-Control", "no-store"), ("X-Backend", self.demo.name)]
        if length_bytes is not None:
            fields.append(("Content-Length", str(length_bytes)))
        if self.demo.stopping.is_set():
            fields.append(("Connection", "close"))
        reason = REASONS.get(status, "")
        await self.send(h11.Response(status_code=status, headers=fields, reason=reason.encode()))

    async def reply(self, status: int, text: str, content_type: str = "text/plain; charset=utf-8") -> None:
        """Send a whole response; to HEAD, and with a 204 or 304, without its body."""
        body = text.encode()
        await self.start(status, content_type, None if status in (204, 304) else len(body))
        if status not in (204, 304):
            await self.send_body(body)
        await self.send(h11.EndOfMessage())

    async def send_body(self, data: bytes) -> None:
        """Send a part of a body, unless the request was a HEAD."""
        if not self.head_only:
            await self.send(h11.Data(data=data))

    async def index(self, _request: h11.Request, _query: Query) -> None:
        """A page that shows who serves it, and both WebSockets at work."""
        page = files("wsproxy.demo").joinpath("page.html").read_text("utf-8")
        await self.reply(200, page.replace("NAME", html.escape(self.demo.name)), "text/html; charset=utf-8")

    async def hello(self, _request: h11.Request, _query: Query) -> None:
        """The smallest useful answer, for load runs."""
        await self.reply(200, f"Hello from {self.demo.name}\n")

    async def health_check(self, _request: h11.Request, _query: Query) -> None:
        """What the proxy's probe asks for."""
        await self.reply(200, '{"status": 200}\n', "application/json")

    async def slow(self, _request: h11.Request, query: Query) -> None:
        """Answer after `seconds` (1), or when the server stops."""
        seconds = number(query, "seconds", 1, SLOWEST_S)
        with anyio.move_on_after(seconds):
            await self.demo.stopping.wait()
        await self.reply(200, f"Hello from {self.demo.name}, up to {seconds:g} seconds later\n")

    async def big(self, _request: h11.Request, query: Query) -> None:
        """Answer with so many `bytes` (1 000 000), never holding more than one block of them."""
        left = int(number(query, "bytes", 1_000_000, 1e12))
        await self.start(200, "application/octet-stream", left)
        while left and not self.head_only:
            await self.send_body(BLOCK[:left])
            left -= min(left, len(BLOCK))
        await self.send(h11.EndOfMessage())

    async def echo(self, request: h11.Request, _query: Query) -> None:
        """Answer with the request's body, from its first byte on, while the rest is still coming in."""
        if self.http.they_are_waiting_for_100_continue:
            await self.send(h11.InformationalResponse(status_code=100, headers=[]))
        fields = dict(request.headers)
        length = fields.get(b"content-length")
        kind = fields.get(b"content-type", b"application/octet-stream").decode("latin-1")
        await self.start(200, kind, int(length) if length else None)
        pieces, arrived = anyio.create_memory_object_stream[bytes](ECHO_PIECES)

        async def read() -> None:
            with pieces:
                while isinstance(event := await self.next_event(), h11.Data):
                    await pieces.send(bytes(event.data))

        async with anyio.create_task_group() as reading:
            reading.start_soon(read)
            with arrived:
                async for piece in arrived:
                    await self.send_body(piece)
        await self.send(h11.EndOfMessage())

    async def headers(self, request: h11.Request, _query: Query) -> None:
        """The request as it arrived here: fields in their order, names in their case."""
        fields = [[name.decode("latin-1"), value.decode("latin-1")] for name, value in request.headers.raw_items()]
        seen = {"method": request.method.decode(), "target": request.target.decode("latin-1"), "fields": fields}
        await self.reply(200, json.dumps(seen, indent=1) + "\n", "application/json")

    async def events(self, _request: h11.Request, _query: Query) -> None:
        """An event stream (text/event-stream) with one event a second, until the client leaves or the server stops."""
        await self.start(200, "text/event-stream")
        count = 0
        while not (self.demo.stopping.is_set() or self.head_only):
            await self.send_body(f"id: {count}\ndata: {datetime.now().astimezone():%H:%M:%S}\n\n".encode())
            count += 1
            with anyio.move_on_after(1):
                await self.demo.stopping.wait()
        await self.send(h11.EndOfMessage())

    async def status(self, code: str) -> None:
        """Answer with a status of the client's choice."""
        if code.isascii() and code.isdigit() and 200 <= int(code) <= 599:
            await self.reply(int(code), f"{int(code)} from {self.demo.name}\n")
        else:
            await self.reply(404, "a status is a number from 200 to 599\n")
