"""The first messages of a client, kept so that another server can be told them.

Pure: bytes in, bytes out. What is kept are the frames themselves, masked and compressed as they came; pings and pongs
are not, for they were answered or were answers.
"""

from __future__ import annotations

from wsproxy.ws.control import MAX_CONTROL_PAYLOAD_BYTES
from wsproxy.ws.frames import read_head


class ReplayState:
    """Keeps what passes from the first byte on, until it has so many messages.

    messages: how many whole ones are kept. full: no more will be: there are enough, or the next one did not fit.
    """

    __slots__ = ("_bytes_left", "_kept", "_open", "_part", "_wanted", "full", "messages")

    def __init__(self, messages: int, size_bytes: int) -> None:
        self._wanted = messages
        self._bytes_left = size_bytes
        self._kept = b""  # whole messages
        self._open = b""  # the whole frames of a fragmented one
        self._part = bytearray()  # of a frame
        self.messages = 0
        self.full = not messages

    def feed(self, data: bytes) -> None:
        """Look at what has passed to the server. No-op once full."""
        if self.full:
            return
        part = self._part
        part += data
        at = 0
        while not self.full and (head := read_head(part, at)) is not None:
            header, length, _ = head
            end = at + header + length
            if part[at] & 8:
                fits = length <= MAX_CONTROL_PAYLOAD_BYTES
            else:
                fits = header + length + len(self._open) <= self._bytes_left
            if not fits:
                self._finish()
            elif end > len(part):
                break
            elif not part[at] & 8:
                self._keep(bytes(part[at:end]))
            at = end
        del part[:at]

    def replay(self) -> bytes:
        """The messages, as frames."""
        return self._kept

    def _keep(self, frame: bytes) -> None:
        self._open += frame
        if not frame[0] & 0x80:
            return
        self._kept += self._open
        self._bytes_left -= len(self._open)
        self._open = b""
        self.messages += 1
        if self.messages == self._wanted:
            self._finish()

    def _finish(self) -> None:
        self.full = True
        self._open = b""
        self._part = bytearray()
