"""The load's engine: some connections, each with exactly one message under way, and a window in which all is counted.

Knows nothing of HTTP or WebSocket: a `Conversation` says what to send and when the answer is whole. Every message
that was sent is either completed or failed, also those still under way when the window ends: they get `GRACE_S` to come
home. (wrk, else the obvious choice, never counts a request that is not answered at all, and runs no WebSockets.)

A plain epoll loop, not asyncio: the load shares its core with the origin, and whatever it costs is missing there.
Against the origin alone it spends 8.7 us a request where wrk spends 7.1, and 100 us where wrk spends 250 on an answer
of 1 MiB.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import select
import socket
import ssl
from array import array
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from enum import Enum
from time import perf_counter
from typing import Protocol

from loadtests.measure import cpu_seconds, percentile, process_tree

GRACE_S = 10.0  # longer than queue_timeout (5 s): an answer that late is a 503, and one later still is lost
CONNECT_TIMEOUT_S = 5.0
WARM_LIMIT_S = 5.0  # for the first answer on every connection; then the window begins without those that starve
POLL_S = 0.02  # how late the window may end when nothing happens
BUFFER_BYTES = 256 * 1024
MICROSECONDS = 1e6


class Progress(Enum):
    """What the bytes just received mean to the message under way."""

    MORE = 0
    COMPLETE = 1
    LAST = 2  # complete, and the proxy said that it closes the connection: not a failure


class AnswerError(Exception):
    """The answer is not the one that was to come; the text says in what way and is what failures are counted by."""


class Conversation(Protocol):
    """One connection's side of the talk."""

    @property
    def request(self) -> bytes:
        """The next message to send."""
        ...

    def open(self, connection: socket.socket) -> None:
        """Whatever comes before the first request, on a blocking socket; raises AnswerError or OSError."""

    def received(self, buffer: bytearray, count: int) -> Progress:
        """Take the first `count` bytes of `buffer` (at least one); raises AnswerError."""


@dataclass(frozen=True, slots=True)
class LoadSettings:
    """How much load, for how long, and whose CPU time to watch."""

    port: int
    connections: int
    seconds: float
    warm_up_s: float
    watch_pid: int  # the proxy's; the processes below it count too
    tls: bool = False  # 1.3, with whatever certificate there is


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What happened: figures of the window, but failures of the whole run."""

    completed: int
    seconds: float
    cpu_s: float
    p50_us: float
    p99_us: float
    failed: int
    failures: dict[str, int]  # why -> how often


class _Connection:
    """A socket, its conversation, and when the message under way was sent."""

    __slots__ = ("conversation", "is_cold", "sent_at", "socket")

    def __init__(self, connection: socket.socket, conversation: Conversation) -> None:
        self.socket = connection
        self.conversation = conversation
        self.is_cold = True
        self.sent_at = 0.0


class ClosedLoop:
    """Runs one load from the first connection to the report. Used once."""

    def __init__(self, settings: LoadSettings, new_conversation: Callable[[], Conversation]) -> None:
        self._settings = settings
        self._new_conversation = new_conversation
        self._tls = tls_context() if settings.tls else None
        self._poll = select.epoll()
        self._connections: dict[int, _Connection] = {}  # those with a message under way, by descriptor
        self._buffer = bytearray(BUFFER_BYTES)
        self._latencies = array("d")
        self._failures: Counter[str] = Counter()
        self._cold = settings.connections  # connections that never had an answer
        self._is_stopping = False

    def run(self) -> LoadReport:
        """Warm every connection up, measure the window, collect what is still under way.

        Raises OSError if no connection can be made, AnswerError if one cannot be opened (see Conversation).
        """
        settings, watched = self._settings, process_tree(self._settings.watch_pid)
        started = perf_counter()
        for _ in range(settings.connections):
            self._start()
        self._serve(started + settings.warm_up_s)
        while self._cold and perf_counter() < started + WARM_LIMIT_S:
            self._serve(perf_counter() + POLL_S)

        self._latencies = array("d")
        cpu_before, window_start = cpu_seconds(watched), perf_counter()
        self._serve(window_start + settings.seconds)
        cpu_after, window_end = cpu_seconds(watched), perf_counter()
        ordered = sorted(self._latencies)

        self._collect()
        return LoadReport(
            completed=len(ordered),
            seconds=window_end - window_start,
            cpu_s=cpu_after - cpu_before,
            p50_us=percentile(ordered, 0.50) * MICROSECONDS,
            p99_us=percentile(ordered, 0.99) * MICROSECONDS,
            failed=self._failures.total(),
            failures=dict(self._failures),
        )

    def _start(self, *, is_cold: bool = True) -> None:
        """Open a connection and send its first message."""
        connection = connect(self._settings.port)
        if self._tls is not None:
            connection = self._tls.wrap_socket(connection)
        conversation = self._new_conversation()
        conversation.open(connection)
        connection.setblocking(False)
        entry = _Connection(connection, conversation)
        entry.is_cold = is_cold
        self._connections[connection.fileno()] = entry
        self._poll.register(connection.fileno(), select.EPOLLIN)
        entry.sent_at = perf_counter()
        connection.send(conversation.request)

    def _serve(self, until: float) -> None:
        """Take answers, and send the next message behind each, until the clock says `until`."""
        connections, receive = self._connections, self._receive
        while perf_counter() < until:
            for fd, _ in self._poll.poll(POLL_S):
                receive(connections[fd])

    def _receive(self, entry: _Connection) -> None:
        """One read: mostly a whole answer."""
        try:
            count = entry.socket.recv_into(self._buffer)
            if not count:
                raise AnswerError("closed before the answer was whole")
            progress = entry.conversation.received(self._buffer, count)
            if progress is Progress.MORE:
                return
            now = perf_counter()
            self._latencies.append(now - entry.sent_at)
            if entry.is_cold:
                entry.is_cold = False
                self._cold -= 1
            if progress is Progress.COMPLETE and not self._is_stopping:
                entry.sent_at = now
                request = entry.conversation.request
                if entry.socket.send(request) != len(request):
                    raise AnswerError("the proxy does not take the request")
                return
        except ssl.SSLWantReadError:  # what came was no answer, but for TLS itself
            return
        except (AnswerError, OSError) as error:
            self._failures[str(error)] += 1
        self._replace(entry)

    def _replace(self, entry: _Connection) -> None:
        """This connection is over: the next takes its place, except after the window."""
        del self._connections[entry.socket.fileno()]
        entry.socket.close()  # which also takes it from the epoll set
        if not self._is_stopping:
            self._start(is_cold=entry.is_cold)

    def _collect(self) -> None:
        """Take the answers still under way; what is not there after GRACE_S has failed."""
        self._is_stopping = True
        deadline = perf_counter() + GRACE_S
        while self._connections and perf_counter() < deadline:
            self._serve(perf_counter() + POLL_S)
        if self._connections:
            self._failures["no answer"] += len(self._connections)
        self._poll.close()


def connect(port: int) -> socket.socket:
    """A blocking connection to 127.0.0.1:`port`, without Nagle's delay, and room to send a 16 KiB frame at once."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=CONNECT_TIMEOUT_S)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)
    return connection


def tls_context() -> ssl.SSLContext:
    """For a client that measures and believes everybody. A read takes one record; the rest stays in the socket."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context


def add_load_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that are LoadSettings."""
    parser.add_argument("--port", type=int, required=True, help="the proxy's, on 127.0.0.1")
    parser.add_argument("--watch-pid", type=int, required=True, help="the proxy's process; those below it count too")
    parser.add_argument("--tls", action="store_true", help="the port speaks TLS")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=2.0, help="length of the window")
    parser.add_argument("--warm-up", type=float, default=0.7, help="seconds before the window")


def load_settings(arguments: argparse.Namespace) -> LoadSettings:
    """LoadSettings from the options above."""
    return LoadSettings(
        port=arguments.port,
        connections=arguments.connections,
        seconds=arguments.seconds,
        warm_up_s=arguments.warm_up,
        watch_pid=arguments.watch_pid,
        tls=arguments.tls,
    )


def run_and_print(settings: LoadSettings, new_conversation: Callable[[], Conversation]) -> None:
    """Run the load and print its report as one line of JSON."""
    with contextlib.suppress(KeyboardInterrupt):
        print(json.dumps(asdict(ClosedLoop(settings, new_conversation).run())), flush=True)
