"""The server's end of one WebSocket whose handshake is done: bytes in, messages and bytes out.

Pure, over the sans-I/O core of `websockets`. For the few sockets that the proxy itself talks on (the dashboard's); what
it relays never comes through here.
"""

from __future__ import annotations

from typing import Final

from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN, SERVER, Protocol

from wsproxy.ws.control import GOING_AWAY

MESSAGE_BYTES: Final = 16 * 1024
"""A dashboard asks short questions."""


class ServerEnd:
    """One WebSocket in state OPEN. No extensions, messages of up to MESSAGE_BYTES."""

    def __init__(self) -> None:
        self._protocol = Protocol(SERVER, state=OPEN, max_size=MESSAGE_BYTES)
        self._pieces: list[bytes] = []

    @property
    def is_over(self) -> bool:
        """Whether TCP is to end once what `to_send` returned has been flushed."""
        return self._protocol.close_expected()

    def receive(self, data: bytes) -> list[str]:
        """The text messages that are whole now; binary ones are ignored. Pings are answered by the next `to_send`."""
        self._protocol.receive_data(data)
        messages = []
        for event in self._protocol.events_received():
            if isinstance(event, Frame) and event.opcode in (Opcode.TEXT, Opcode.CONT):
                self._pieces.append(bytes(event.data))
                if event.fin:
                    messages.append(b"".join(self._pieces).decode("utf-8", "replace"))
                    self._pieces.clear()
        return messages

    def send(self, text: str) -> None:
        """Add a message to what is to be sent; nothing once a Close has passed either way."""
        if self._protocol.state is OPEN:
            self._protocol.send_text(text.encode())

    def close(self, code: int = GOING_AWAY) -> None:
        """Begin the closing handshake."""
        if self._protocol.state is OPEN:
            self._protocol.send_close(code)

    def to_send(self) -> bytes:
        """What has to be written now."""
        return b"".join(self._protocol.data_to_send())
