"""One end of a TCP connection, its bytes in the test's own hands, and the frames and heads that go over it.

Knows sockets, RFC 6455 section 5.2 and just enough of RFC 9112 to read a head and its body. Every wait has a deadline;
nothing here sleeps. It shares no code with the proxy it judges.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

LIMIT_S = 5.0
"""What any single wait may take on a busy machine before the case has failed."""

TEXT, BINARY, CONTINUATION, CLOSE, PING, PONG = 0x1, 0x2, 0x0, 0x8, 0x9, 0xA
MASK = b"\x37\xfa\x21\x3d"
"""The masking key of RFC 6455's own examples (section 5.7)."""


class WireError(AssertionError):
    """The other side did not do what the case expects: it ended early, or stayed silent."""


@dataclass(frozen=True)
class Head:
    """The head of a message: its start line and fields in the order they came."""

    start: str
    fields: tuple[tuple[str, str], ...]

    @classmethod
    def parse(cls, data: bytes) -> Head:
        """Read a head that ends in an empty line."""
        start, *lines = data.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
        pairs = (line.partition(":") for line in lines)
        return cls(start, tuple((name, value.strip(" \t")) for name, _, value in pairs))

    @property
    def status(self) -> int:
        """The status of an answer."""
        return int(self.start.split(" ")[1])

    @property
    def target(self) -> str:
        """The target of a request."""
        return self.start.split(" ")[1]

    def values(self, name: str) -> list[str]:
        """The values of every field of that name, in order."""
        return [value for each, value in self.fields if each.lower() == name.lower()]

    def elements(self, name: str) -> list[str]:
        """The list elements over all fields of that name, in lower case."""
        return [part.strip().lower() for value in self.values(name) for part in value.split(",") if part.strip()]


@dataclass(frozen=True)
class Frame:
    """A frame as it was on the wire. payload is unmasked; raw is what came."""

    opcode: int
    payload: bytes
    fin: bool = True
    rsv: int = 0
    masked: bool = False
    raw: bytes = field(default=b"", compare=False)

    @property
    def close_code(self) -> int | None:
        """The code of a Close, None if it is empty."""
        assert self.opcode == CLOSE, self
        return int.from_bytes(self.payload[:2], "big") if self.payload else None


def masked(payload: bytes, key: bytes) -> bytes:
    """The payload masked, or unmasked, with a four-byte key (RFC 6455 section 5.3)."""
    size = len(payload)
    stream = (key * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(stream, "big")).to_bytes(size, "big")


def frame(
    opcode: int, payload: bytes = b"", mask: bytes | None = None, first: int | None = None, width: int | None = None
) -> bytes:
    """A frame, as legal or not as asked for.

    mask: the masking key, None for none. first: the high four bits, FIN and RSV1 to RSV3, in place of FIN alone.
    width: the length field's width in bits (7, 16, 64) in place of the shortest.
    """
    size = len(payload)
    shortest = 7 if size < 126 else 16 if size < 65536 else 64
    flag = 0x80 if mask is not None else 0
    lead = bytes([(0x8 if first is None else first) << 4 | opcode])
    match width or shortest:
        case 7:
            length = bytes([flag | size])
        case 16:
            length = bytes([flag | 126]) + struct.pack(">H", size)
        case _:
            length = bytes([flag | 127]) + struct.pack(">Q", size)
    return lead + length + (payload if mask is None else mask + masked(payload, mask))


def close(code: int, reason: bytes = b"", mask: bytes | None = None) -> bytes:
    """A Close frame with a code and a reason."""
    return frame(CLOSE, struct.pack(">H", code) + reason, mask)


class Wire:
    """One end of a connection.

    request: the head the peer opened it with, on the upstream side.
    """

    def __init__(self, sock: socket.socket) -> None:
        sock.settimeout(LIMIT_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = sock
        self.request = Head("", ())
        self.was_reset = False
        self._held = bytearray()

    def send(self, data: bytes, at_a_time: int | None = None) -> None:
        """Send all of it, in pieces of so many bytes if asked for."""
        for at in range(0, len(data), at_a_time or max(1, len(data))):
            self.socket.sendall(data[at : at + (at_a_time or len(data))])

    def send_aside(self, data: bytes) -> threading.Thread:
        """Send all of it in a thread, for the test to read at the same time."""
        thread = threading.Thread(target=self.send_as_far_as_it_goes, args=(data,), daemon=True)
        thread.start()
        return thread

    def send_as_far_as_it_goes(self, data: bytes, at_a_time: int | None = None) -> None:
        """Send what the other side takes before it ends; what it makes of it, the test sees by reading."""
        with contextlib.suppress(ConnectionError):
            self.send(data, at_a_time)

    def push_until_blocked(self, data: bytes, at_most_bytes: int, patience_s: float) -> int:
        """Send data again and again until nothing goes for patience_s; the bytes that went."""
        sent = 0
        self.socket.settimeout(patience_s)
        try:
            while sent < at_most_bytes:
                at = sent % len(data)
                sent += self.socket.send(data[at : at + 65536])
        except TimeoutError:
            pass
        finally:
            self.socket.settimeout(LIMIT_S)
        return sent

    def _fill(self) -> bool:
        """Take what comes next; False at the end of the stream, be it orderly or a reset."""
        try:
            data = self.socket.recv(1 << 18)
        except ConnectionError:
            self.was_reset = True
            return False
        except TimeoutError:
            raise WireError(f"silent after {bytes(self._held[:200])!r}") from None
        self._held += data
        return bool(data)

    def read(self, size: int) -> bytes:
        """Exactly so many bytes."""
        while len(self._held) < size:
            if not self._fill():
                raise WireError(f"ended after {bytes(self._held[:200])!r}, {size} bytes expected")
        return self._cut(size)

    def _cut(self, size: int) -> bytes:
        taken = bytes(self._held[:size])
        del self._held[:size]
        return taken

    def read_head(self) -> Head:
        """The next head."""
        while (end := self._held.find(b"\r\n\r\n")) < 0:
            if not self._fill():
                raise WireError(f"ended inside a head: {bytes(self._held[:400])!r}")
        return Head.parse(self._cut(end + 4))

    def read_final_head(self) -> Head:
        """The next head that is not interim; 101 is final here."""
        while 100 <= (head := self.read_head()).status < 200 and head.status != 101:
            pass
        return head

    def read_body(self, head: Head) -> bytes:
        """The body that goes with a head (RFC 9112 section 6.3)."""
        is_answer = head.start.startswith("HTTP/")
        if is_answer and head.status in {204, 304}:
            return b""
        if "chunked" in head.elements("Transfer-Encoding"):
            body = b""
            while size := int(self._read_line().partition(b";")[0], 16):
                body += self.read(size)
                assert self.read(2) == b"\r\n"
            while self._read_line():
                pass
            return body
        if sizes := head.values("Content-Length"):
            return self.read(int(sizes[0]))
        return self.read_to_end() if is_answer else b""

    def _read_line(self) -> bytes:
        while (end := self._held.find(b"\r\n")) < 0:
            if not self._fill():
                raise WireError("ended inside a line")
        return self._cut(end + 2)[:-2]

    def read_frame(self) -> Frame:
        """The next frame; lengths in any width are read."""
        raw = self.read(2)
        size = raw[1] & 0x7F
        if size >= 126:
            raw += self.read(2 if size == 126 else 8)
            size = int.from_bytes(raw[2:], "big")
        key = self.read(4) if raw[1] & 0x80 else b""
        body = self.read(size)
        payload = masked(body, key) if key else body
        return Frame(raw[0] & 0xF, payload, bool(raw[0] & 0x80), raw[0] >> 4 & 7, bool(key), raw + key + body)

    def read_to_end(self, within_s: float = LIMIT_S) -> bytes:
        """All that comes up to the end of the stream, which must come in time; a reset is an end too."""
        give_up_at = time.monotonic() + within_s
        while (left := give_up_at - time.monotonic()) > 0:
            self.socket.settimeout(left)
            if not self._fill():
                self.socket.settimeout(LIMIT_S)
                return self._cut(len(self._held))
        raise WireError(f"still open after {within_s} s, with {bytes(self._held[:200])!r}")

    def read_frames_to_end(self, within_s: float = LIMIT_S) -> list[Frame]:
        """The frames up to the end of the stream; a piece of a frame at the end fails the case."""
        self._held[:0] = self.read_to_end(within_s)
        frames = []
        while self._held:
            frames.append(self.read_frame())
        return frames

    def is_silent(self, for_s: float) -> bool:
        """Whether neither a byte nor the end comes for so long."""
        if self._held:
            return False
        self.socket.settimeout(for_s)
        try:
            self._fill()
        except WireError:
            return True
        finally:
            self.socket.settimeout(LIMIT_S)
        return False

    def fails_to_send(self, data: bytes, within_s: float) -> bool:
        """Whether sending fails for good in time, as it must once the other end is gone."""
        give_up_at = time.monotonic() + within_s
        self.socket.settimeout(0.05)
        while time.monotonic() < give_up_at:
            try:
                self.socket.send(data)
            except TimeoutError:
                continue
            except ConnectionError:
                return True
        return False

    def half_close(self) -> None:
        """End our direction; the other one stays open."""
        self.socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """End both directions with a RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def close(self) -> None:
        """End both directions."""
        self.socket.close()


def wait_until(true: Callable[[], bool], within_s: float = LIMIT_S) -> bool:
    """Whether it comes true in time: for what can only be looked at from outside, such as memory."""
    give_up_at = time.monotonic() + within_s
    pause = threading.Event()
    while not true():
        if time.monotonic() > give_up_at:
            return False
        pause.wait(0.01)
    return True
