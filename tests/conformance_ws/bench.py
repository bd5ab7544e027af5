"""The bench a case is played on: a client's end and an upstream's end of connections, the proxy between them.

A case is written in one line of time: the client sends, the upstream end of the same request is taken by its path, both
are read and written in the case's own thread.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import itertools
import queue
import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.conformance_ws.peers import Running
from tests.conformance_ws.wire import LIMIT_S, Head, Wire, WireError

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
"""The pair of RFC 6455's own example (section 1.3)."""

UPGRADE = ("Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Key: {KEY}", "Sec-WebSocket-Version: 13")


def accept_of(key: str) -> str:
    """What a server answers to a key (RFC 6455 section 4.2.2)."""
    return base64.b64encode(hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()).decode()


def request(path: str, lines: Sequence[str] = UPGRADE, method: str = "GET", version: str = "HTTP/1.1") -> bytes:
    """A request's head with those field lines behind Host."""
    return "\r\n".join((f"{method} {path} {version}", "Host: service.example", *lines, "", "")).encode("latin-1")


def answer(status: str, lines: Sequence[str] = (), body: bytes = b"") -> bytes:
    """An answer with those field lines."""
    return "\r\n".join((f"HTTP/1.1 {status}", *lines, "", "")).encode("latin-1") + body


SWITCHING = ("Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Accept: {ACCEPT}")
SWITCH = answer("101 Switching Protocols", SWITCHING)
OK = answer("200 OK", ["Content-Length: 2"], b"ok")


class Upstream:
    """The server behind the proxy: reads the head of each request, and hands the connection to whom it concerns."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = int(self._listener.getsockname()[1])
        self._taken: dict[str, queue.Queue[Wire]] = {}
        self._lock = threading.Lock()
        self._reflexes: dict[str, Callable[[Wire], None]] = {}
        self._open: list[Wire] = []
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # the listener is closed: the end
            while True:
                wire = Wire(self._listener.accept()[0])
                self._open.append(wire)
                self.serve(wire)

    def serve(self, wire: Wire) -> None:
        """Read the next request of this connection, to be taken by its path."""
        wire.socket.settimeout(None)
        threading.Thread(target=self._read_request, args=(wire,), daemon=True).start()

    def _read_request(self, wire: Wire) -> None:
        try:
            wire.request = wire.read_head()
        except (WireError, OSError):
            wire.close()  # a connection that was opened ahead, and not used
            return
        wire.socket.settimeout(LIMIT_S)
        path = wire.request.target.partition("?")[0]
        if (reflex := self._reflexes.get(path)) is not None:
            reflex(wire)
        else:
            self._at(path).put(wire)

    def _at(self, path: str) -> queue.Queue[Wire]:
        with self._lock:
            return self._taken.setdefault(path, queue.Queue())

    def on_each(self, path: str, reflex: Callable[[Wire], None]) -> None:
        """Do this with each request to that path, be it sent again by the proxy or not."""
        self._reflexes[path] = reflex

    def take(self, path: str) -> Wire:
        """The connection that brought a request to that path."""
        try:
            return self._at(path).get(timeout=LIMIT_S)
        except queue.Empty:
            raise WireError(f"no request for {path} came") from None

    def has_seen(self, path: str) -> bool:
        """Whether a request to that path has come and was not taken."""
        return not self._at(path).empty()

    def close(self) -> None:
        """Stop listening and end every connection."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join()
        for wire in self._open:
            with contextlib.suppress(OSError):
                wire.socket.shutdown(socket.SHUT_RDWR)
            wire.close()


@dataclass(frozen=True)
class Pair:
    """Both ends of a WebSocket through the proxy, after its 101."""

    client: Wire
    upstream: Wire

    def sides(self, from_client: bool) -> tuple[Wire, Wire]:
        """The sending and the receiving end."""
        return (self.client, self.upstream) if from_client else (self.upstream, self.client)


class Bench:
    """One case's connections through one proxy; close() ends them."""

    _numbers = itertools.count(1)

    def __init__(self, proxy: Running, upstream: Upstream) -> None:
        self.proxy = proxy
        self.upstream = upstream
        self._open: list[Wire] = []

    def path(self, prefix: str = "/ws") -> str:
        """A path below the prefix that no other case has."""
        return f"{prefix}/{next(self._numbers)}"

    def connect(self) -> Wire:
        """A client's connection to the proxy."""
        return self.connect_to(self.proxy.port)

    def connect_to(self, port: int) -> Wire:
        """A client's connection to any server here."""
        wire = Wire(socket.create_connection(("127.0.0.1", port), LIMIT_S))
        self._open.append(wire)
        return wire

    def take(self, path: str) -> Wire:
        """The upstream's end of the request to that path."""
        wire = self.upstream.take(path)
        self._open.append(wire)
        return wire

    def hand_back(self, wire: Wire) -> None:
        """Leave the upstream's end of a connection to the requests that follow on it."""
        self._open.remove(wire)
        self.upstream.serve(wire)

    def switched(self, client: Wire, path: str, lines: Sequence[str] = SWITCHING) -> tuple[Wire, Head]:
        """Answer 101 at the upstream's end; that end, and the head of the 101 that the client gets."""
        upstream = self.take(path)
        upstream.send(answer("101 Switching Protocols", lines))
        head = client.read_final_head()
        assert head.status == 101, head
        return upstream, head

    def open(self, prefix: str = "/ws", lines: Sequence[str] = (), answer_lines: Sequence[str] = ()) -> Pair:
        """A WebSocket through the proxy, with more field lines in the request and in the answer."""
        client, path = self.connect(), self.path(prefix)
        client.send(request(path, (*UPGRADE, *lines)))
        upstream, _ = self.switched(client, path, (*SWITCHING, *answer_lines))
        return Pair(client, upstream)

    def is_served(self, client: Wire, path: str = "") -> bool:
        """Whether an ordinary request on this connection gets its answer."""
        path = path or self.path("/after")
        client.send(request(path, ()))
        upstream = self.take(path)
        upstream.send(OK)
        self.hand_back(upstream)
        head = client.read_final_head()
        return head.status == 200 and client.read_body(head) == b"ok"

    def close(self) -> None:
        """End this case's connections."""
        for wire in self._open:
            wire.close()
