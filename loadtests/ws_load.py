"""WebSocket load: an echo on every connection, as fast as it comes back, or many connections that only stay open.

    python -m loadtests.ws_load echo --port P --watch-pid PID --size 128     a LoadReport as JSON
    python -m loadtests.ws_load idle --port P --watch-pid PID --connections 4000

Idle measures the proxy's memory before and after, with a few
connections open in both: what the first WebSocket loads once is not the price of the next.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import json
import os
import selectors
import socket
from time import perf_counter

from loadtests.closed_loop import AnswerError, Progress, add_load_arguments, connect, load_settings, run_and_print
from loadtests.frames import BINARY, PING, PONG, accept_key, encode_frame, scan_frame
from loadtests.measure import process_tree, pss_bytes

TARGET = "/ws"
FIRST_CONNECTIONS = 16  # open before the first look at memory
SETTLE_S = 1.5  # for garbage and idle pools to go, before each look at memory
IDLE_PAYLOAD = b"x" * 128  # each idle connection has carried one message: a relay that never ran is not one


def open_websocket(connection: socket.socket) -> None:
    """Shake hands on a blocking socket (RFC 6455 section 4.1); raises AnswerError."""
    key = base64.b64encode(os.urandom(16))
    connection.sendall(
        f"GET {TARGET} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key.decode()}\r\n\r\n".encode()
    )
    head = b""
    while not head.endswith(b"\r\n\r\n"):  # nothing can follow the head: an echo speaks only when spoken to
        data = connection.recv(4096)
        if not data:
            raise AnswerError("closed inside the handshake")
        head += data
    if not head.startswith(b"HTTP/1.1 101 "):
        raise AnswerError(f"handshake: status {head[9:12].decode('ascii', 'replace')}")
    if accept_key(key) not in head:
        raise AnswerError("handshake: wrong Sec-WebSocket-Accept")


class EchoConversation:
    """One message of `size` bytes under way, which must come back as it went."""

    def __init__(self, size: int) -> None:
        payload = os.urandom(size)
        self.request = encode_frame(BINARY, payload, masked=True)
        self._answer = encode_frame(BINARY, payload)
        self._taken = 0

    def open(self, connection: socket.socket) -> None:
        """See Conversation."""
        open_websocket(connection)

    def received(self, buffer: bytearray, count: int) -> Progress:
        """See Conversation."""
        end = self._taken + count
        if buffer[:count] != self._answer[self._taken : end]:
            raise AnswerError("not the echo")
        if end < len(self._answer):
            self._taken = end
            return Progress.MORE
        self._taken = 0
        return Progress.COMPLETE


class IdleConnections:
    """Open WebSockets that say nothing after their first message, but answer pings."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._selector = selectors.DefaultSelector()

    def open(self, count: int) -> None:
        """Open so many more, each with one message there and back."""
        request, answer = encode_frame(BINARY, IDLE_PAYLOAD, masked=True), encode_frame(BINARY, IDLE_PAYLOAD)
        for _ in range(count):
            connection = connect(self._port)
            open_websocket(connection)
            connection.sendall(request)
            if connection.recv(len(answer), socket.MSG_WAITALL) != answer:
                raise AnswerError("not the echo")
            self._selector.register(connection, selectors.EVENT_READ)

    def close(self) -> None:
        """End all of them, without a Close: the proxy's price for that is nobody's question here."""
        for key in list(self._selector.get_map().values()):
            assert isinstance(key.fileobj, socket.socket)
            key.fileobj.close()
        self._selector.close()

    def rest(self, seconds: float) -> None:
        """Let so much time pass; raises AnswerError if a connection is lost or says something."""
        until = perf_counter() + seconds
        while (left := until - perf_counter()) > 0:
            for ready, _ in self._selector.select(left):
                assert isinstance(ready.fileobj, socket.socket)
                self._answer_ping(ready.fileobj)

    def _answer_ping(self, connection: socket.socket) -> None:
        frame = scan_frame(connection.recv(4096))  # a ping is at most 131 bytes and comes at once on the loopback
        if frame is None or frame[0] != PING:
            raise AnswerError("an idle connection was lost")
        connection.sendall(encode_frame(PONG, frame[1], masked=True))


def measure_idle(port: int, watch_pid: int, connections: int) -> dict[str, float]:
    """Bytes of the proxy's memory before and after, and how many connections lie between."""
    watched = process_tree(watch_pid)
    with contextlib.closing(IdleConnections(port)) as idle:
        idle.open(FIRST_CONNECTIONS)
        idle.rest(SETTLE_S)
        before = pss_bytes(watched)
        idle.open(connections)
        idle.rest(SETTLE_S)
        after = pss_bytes(watched)
    return {"connections": connections, "before_bytes": before, "after_bytes": after}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("kind", choices=["echo", "idle"])
    add_load_arguments(parser)
    parser.add_argument("--size", type=int, default=128, help="bytes of an echo's payload")
    arguments = parser.parse_args()
    if arguments.kind == "idle":
        print(json.dumps(measure_idle(arguments.port, arguments.watch_pid, arguments.connections)), flush=True)
    else:
        run_and_print(load_settings(arguments), lambda: EchoConversation(arguments.size))


if __name__ == "__main__":
    main()
