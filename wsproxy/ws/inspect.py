"""Payloads looked at: what the `websockets` core has to say of one direction's frames before they pass.

Pure, and the one door to the `websockets` library. A frame is held until it is whole and judged, then its own bytes
pass on, still masked and compressed as they came; so the relay behind it follows exactly what it would have followed.
Checked are the rules of RFC 6455 section 5 (1002), text (section 8.1, 1007) also inside permessage-deflate (RFC 7692),
and the size of a message after it was inflated (1009).
"""

from __future__ import annotations

import codecs
from typing import Final, cast

from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Frame, Opcode
from websockets.protocol import CLIENT, SERVER, Protocol

from wsproxy.http.messages import ResponseHead
from wsproxy.ws.control import INVALID_DATA, MAX_CONTROL_PAYLOAD_BYTES, PROTOCOL_ERROR, TOO_BIG, Side
from wsproxy.ws.deflate import Deflate, agreed_deflate
from wsproxy.ws.tap import TAP_PREVIEW_BYTES, Tap, TapEntry

LARGEST_FRAME_BYTES: Final = 64 * 1024 * 1024
"""What is held of a frame where the route has no limit for messages: who inspects must hold something."""


class InspectState:
    """One direction under inspection.

    fault, reason: the close code and the words for what was wrong, None while all is well; nothing passes after it.
    tap: who is shown the frames; None for nobody.
    """

    __slots__ = ("_buffer", "_core", "_limit", "_side", "_text", "fault", "reason", "tap")

    def __init__(self, side: Side, deflate: Deflate | None, max_message_bytes: int | None) -> None:
        self._side: Side = side
        self._limit = LARGEST_FRAME_BYTES if max_message_bytes is None else max_message_bytes
        self._core = Protocol(SERVER if side == "client" else CLIENT, max_size=self._limit)
        if deflate is not None:
            self._core.extensions = [_extension(deflate, side)]
        self._text: codecs.IncrementalDecoder | None = None  # of the text message that is open
        self._buffer = bytearray()
        self.fault: int | None = None
        self.reason = ""
        self.tap: Tap | None = None

    def feed(self, data: bytes, now: float = 0.0) -> bytes:
        """The whole frames among what has come, with `data`, that are in order."""
        if self.fault is not None:
            return b""
        buffer = self._buffer
        buffer += data
        at = 0
        while (size := self._frame_size(at)) is not None and len(buffer) - at >= size:
            if not self._accept(bytes(buffer[at : at + size]), now):
                break
            at += size
        passed = bytes(buffer[:at])
        del buffer[:at]
        return passed

    def _frame_size(self, at: int) -> int | None:
        """Bytes of the frame at `at`, None while its header is not whole; one over the limit is a fault at once."""
        buffer = self._buffer
        if len(buffer) - at < 2:
            return None
        length = buffer[at + 1] & 0x7F
        header = 2 if length < 126 else 4 if length == 126 else 10
        if len(buffer) - at < header:
            return None
        if header > 2:
            length = int.from_bytes(buffer[at + 2 : at + header], "big")
        if buffer[at] & 8:
            if length > MAX_CONTROL_PAYLOAD_BYTES:
                self._fail(PROTOCOL_ERROR, "control frame too long")
                return None
        elif length > self._limit:
            self._fail(TOO_BIG, "message too big")
            return None
        return header + (4 if buffer[at + 1] & 0x80 else 0) + length

    def _accept(self, raw: bytes, now: float) -> bool:
        core = self._core
        core.receive_data(raw)
        core.data_to_send()  # pongs and echoes are the peers' own business
        for event in core.events_received():
            frame = cast(Frame, event)  # a core in state OPEN makes nothing else
            if self.tap is not None:
                data = bytes(frame.data)
                entry = TapEntry(now, self._side, frame.opcode, len(data), data[:TAP_PREVIEW_BYTES])
                self.tap.note(entry)
            if not self._is_text(frame):
                self._fail(INVALID_DATA, "text that is not UTF-8")
                return False
        if core.parser_exc is not None:
            sent = core.close_sent
            self._fail(PROTOCOL_ERROR if sent is None else sent.code, "" if sent is None else sent.reason)
            return False
        return True

    def _is_text(self, frame: Frame) -> bool:
        """False for text that is no UTF-8; its characters may be cut by the borders of fragments."""
        if frame.opcode is Opcode.TEXT:
            self._text = codecs.getincrementaldecoder("utf-8")()
        elif frame.opcode is not Opcode.CONT:
            return True
        if self._text is None:
            return True
        try:
            self._text.decode(frame.data, frame.fin)
        except UnicodeDecodeError:
            return False
        if frame.fin:
            self._text = None
        return True

    def _fail(self, code: int, reason: str) -> None:
        """Nothing passes any more."""
        self.fault = code
        self.reason = reason


def inspectors(response: ResponseHead, max_message_bytes: int | None) -> tuple[InspectState, InspectState]:
    """Those of the client's and of the upstream's frames. Raises ExtensionError."""
    deflate = agreed_deflate(response.fields)
    return InspectState("client", deflate, max_message_bytes), InspectState("upstream", deflate, max_message_bytes)


def _extension(deflate: Deflate, side: Side) -> PerMessageDeflate:
    """To inflate what `side` sends; nothing is ever deflated here, so the other direction keeps no context."""
    if side == "client":
        no_context, bits = deflate.client_no_context_takeover, deflate.client_max_window_bits
    else:
        no_context, bits = deflate.server_no_context_takeover, deflate.server_max_window_bits
    return PerMessageDeflate(no_context, True, bits, 15)
