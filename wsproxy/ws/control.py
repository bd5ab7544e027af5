"""Control frames (RFC 6455 sections 5.5 and 7.4): the close codes, the frames we send ourselves, who said what first.

Pure: bytes in, bytes out; masking keys are arguments. Knows single control frames, not the stream they stand in.
"""

from __future__ import annotations

from typing import Final, Literal

Side = Literal["client", "upstream"]

CLOSE: Final = 0x8
PING: Final = 0x9
PONG: Final = 0xA

# Close codes (RFC 6455 section 7.4.1 and the IANA registry): those we send, and those we only record.
NORMAL: Final = 1000
GOING_AWAY: Final = 1001  # this side leaves: the proxy stops, or the peer of whoever reads it is gone
PROTOCOL_ERROR: Final = 1002
INVALID_DATA: Final = 1007  # text that is not UTF-8
POLICY: Final = 1008  # a rule or a rate limit
TOO_BIG: Final = 1009
INTERNAL_ERROR: Final = 1011  # the upstream was lost
SERVICE_RESTART: Final = 1012  # come back: the next connection finds another backend
TRY_LATER: Final = 1013  # overload
NO_STATUS: Final = 1005  # recorded for a Close without a code; never on the wire
ABNORMAL: Final = 1006  # recorded for a TCP connection that ended without a Close; never on the wire

MAX_CONTROL_PAYLOAD_BYTES: Final = 125  # RFC 6455 section 5.5
_MAX_REASON_BYTES: Final = MAX_CONTROL_PAYLOAD_BYTES - 2  # a Close payload begins with the code


def is_sendable(code: int) -> bool:
    """Whether a Close frame may carry this code (RFC 6455 section 7.4: 1004, 1005, 1006 and 1015 never travel)."""
    return 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999


def close_frame(code: int | None, reason: str = "", mask: bytes | None = None) -> bytes:
    """A Close frame (RFC 6455 section 5.5.1), masked when `mask` (4 bytes) is given; None makes an empty one.

    The reason is cut to the 123 bytes there is room for, at a character's border. Raises ValueError for a code that
    must not travel, or a reason without a code.
    """
    if code is None:
        if reason:
            raise ValueError("a reason needs a code")
        return _control_frame(CLOSE, b"", mask)
    if not is_sendable(code):
        raise ValueError(f"close code {code} must not be sent")
    text = reason.encode()[:_MAX_REASON_BYTES].decode(errors="ignore").encode()
    return _control_frame(CLOSE, code.to_bytes(2, "big") + text, mask)


def ping_frame(payload: bytes, mask: bytes | None = None) -> bytes:
    """A Ping frame (RFC 6455 section 5.5.2), masked when `mask` (4 bytes) is given.

    Raises ValueError for a payload over 125 bytes.
    """
    return _control_frame(PING, payload, mask)


def _control_frame(opcode: int, payload: bytes, mask: bytes | None) -> bytes:
    if len(payload) > MAX_CONTROL_PAYLOAD_BYTES:
        raise ValueError("the payload of a control frame is at most 125 bytes")
    if mask is None:
        return bytes((0x80 | opcode, len(payload))) + payload
    return bytes((0x80 | opcode, 0x80 | len(payload))) + mask + unmask(payload, mask)


def unmask(payload: bytes, mask: bytes) -> bytes:
    """XOR with the repeated key (section 5.3), as two whole numbers: only ever for a control frame's payload."""
    size = len(payload)
    key = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")).to_bytes(size, "big")


def control_payload(frame: bytes, header: int) -> bytes:
    """What a control frame says, whether masked or not."""
    return unmask(frame[header:], frame[header - 4 : header]) if frame[1] > 127 else frame[header:]


class ControlLedger:
    """What the two directions of a pair must know of each other's control frames: the order in which they came.

    closed_by, close_code: who began to close, and with which code (None while nobody has).
    unanswered_pings: the sides whose latest relayed Ping has had no Pong yet from the other side.
    """

    __slots__ = ("_client_waits", "_upstream_waits", "close_code", "closed_by")

    def __init__(self) -> None:
        self.closed_by: Literal["client", "upstream", "proxy"] | None = None
        self.close_code: int | None = None
        self._client_waits = self._upstream_waits = False

    def closing(self, by: Literal["client", "upstream", "proxy"], code: int) -> None:
        """Record who closes, unless somebody has begun before."""
        if self.closed_by is None:
            self.closed_by = by
            self.close_code = code

    def ping_from(self, side: Side) -> None:
        """A Ping of `side` was passed on."""
        self._mark(side, True)

    def pong_from(self, side: Side) -> None:
        """A Pong of `side` was passed on: the other one's latest Ping is answered."""
        self._mark("upstream" if side == "client" else "client", False)

    def forget_pings(self) -> None:
        """One side has changed: what was asked of it, or by it, is nobody's business any more."""
        self._client_waits = self._upstream_waits = False

    def owes_pong(self, side: Side) -> bool:
        """Whether `side` has not answered the latest Ping relayed to it."""
        return self._upstream_waits if side == "client" else self._client_waits

    def _mark(self, side: Side, waits: bool) -> None:
        if side == "client":
            self._client_waits = waits
        else:
            self._upstream_waits = waits
