"""One direction of a relayed WebSocket, followed frame header by frame header; payload bytes pass untouched.

Pure: bytes in, bytes out. The scanner knows at every moment whether a frame or a message is open (RFC 6455 section 5),
counts what passes, takes out the pongs that answer our own pings, and can end its direction with a Close of ours at the
next place where one may stand. It judges nothing that it can still follow: reserved bits, reserved opcodes or a missing
mask pass, so that each side gives the verdict it would give without a proxy between.
"""

from __future__ import annotations

from typing import Final

from wsproxy.ws.control import (
    CLOSE,
    MAX_CONTROL_PAYLOAD_BYTES,
    NO_STATUS,
    PING,
    PONG,
    ControlLedger,
    Side,
    control_payload,
)

_MAX_HEAD_BYTES: Final = 14 + MAX_CONTROL_PAYLOAD_BYTES  # longest header, and the payload a control frame is judged by
_NO_LIMIT: Final = (1 << 63) - 1  # the longest frame there can be (section 5.2)
_SLOW: Final = -1  # in place of the bytes needed: something special is going on, `_left` holds the number
SIZE_CLASSES: Final = 66
"""Of messages, by powers of two: the last is for lengths that only a peer who breaks the rules can announce."""

_PASS, _SWALLOW, _STOP = 0, 1, 2  # what becomes of one frame


def read_head(data: bytes | bytearray, at: int) -> tuple[int, int, int] | None:
    """Of the frame at `at`: bytes of its header, of its payload, and of it that must be here to judge it.

    The last is the header, and for a control frame its payload too. None while that is not whole.
    """
    size = len(data) - at
    if size < 2:
        return None
    second = data[at + 1]
    length = second & 0x7F
    header = 6 if second & 0x80 else 2
    if length > 125:
        extended = 2 if length == 126 else 8
        header += extended
        if size < header:
            return None
        length = int.from_bytes(data[at + 2 : at + 2 + extended], "big")
    judged = header + min(length, MAX_CONTROL_PAYLOAD_BYTES) if data[at] & 8 else header
    return (header, length, judged) if size >= judged else None


class FrameScanner:
    """Follows the frames that one side sends; `feed` says what of them passes on.

    side: whose frames these are. messages, pings, pongs, frames: how many passed. texts: how many of the messages were
    text, counted as they begin. data_bytes: payload of data frames, added when a frame's header passes.
    sizes: how many messages had a payload of more than 2 to the power of k-1 bytes, and of 2 to that of k at most, at
    each k (empty ones at 1); scanners of one route share the list, so that a session's memory has no part in it.
    pongs_swallowed: answers to our own pings that were taken out. close_seen, close_code: whether a Close came from
    this side, and the code it had (None: empty). close_passed: whether this direction has carried a Close, theirs or
    ours. too_big: a message over the limit was announced: nothing passes from the start of that frame. ending: one of
    these three is so, for who looks after every chunk. opaque: a length nobody can have meant (section 5.2, top bit
    set) came by: bytes still pass, but where frames begin is no longer known. expected_pong: the payload of our own
    pings, None before the first. parting_codes: a Close with one of these is kept from the other side, to which
    somebody else will go on talking; parted: that has happened.
    """

    __slots__ = (
        "_cut",
        "_drop",
        "_forced",
        "_ledger",
        "_left",
        "_limit",
        "_message_bytes",
        "_need",
        "_open",
        "_other_frames",
        "_part",
        "_part_held",
        "close_code",
        "close_passed",
        "close_seen",
        "data_bytes",
        "ending",
        "expected_pong",
        "messages",
        "opaque",
        "parted",
        "parting_codes",
        "pings",
        "pongs",
        "pongs_swallowed",
        "side",
        "sizes",
        "texts",
        "too_big",
    )

    def __init__(
        self,
        max_message_bytes: int | None = None,
        side: Side = "client",
        ledger: ControlLedger | None = None,
        sizes: list[int] | None = None,
    ) -> None:
        self._limit = _NO_LIMIT if max_message_bytes is None else max_message_bytes
        self.side: Side = side
        self._ledger = ledger or ControlLedger()
        self.sizes = [0] * SIZE_CLASSES if sizes is None else sizes
        self.messages = self.texts = self.data_bytes = 0
        self.pings = self.pongs = self.pongs_swallowed = self._other_frames = 0
        self.close_seen = self.close_passed = self.too_big = self.ending = self.opaque = False
        self.close_code: int | None = None
        self.parting_codes: frozenset[int] | range = frozenset()
        self.parted = False
        self.expected_pong: bytes | None = None
        self._need = 0  # payload bytes until the frame that is open ends, or _SLOW
        self._left = 0  # the same while `_need` is _SLOW
        self._part = b""  # of a header (13 bytes at most), or of a control frame, that is not whole yet
        self._part_held = False  # those bytes have not been passed on
        self._open = False  # a fragmented message
        self._message_bytes = 0  # its payload so far
        self._cut: bytes | None = None  # our Close, waiting for a boundary
        self._forced = False  # any frame boundary will do for it
        self._drop = False  # this direction has ended: frames are followed, to see the Close, but none passes

    @property
    def frames(self) -> int:
        """Frames that passed, by their headers."""
        return self.messages + self.pings + self.pongs + self._other_frames

    @property
    def activity(self) -> int:
        """A number that changes whenever a data frame, or more of one, has passed."""
        return self.messages + self.data_bytes + self._other_frames - (self._left if self._need < 0 else self._need)

    @property
    def progress(self) -> int:
        """A number that changes whenever bytes of this side, of any kind, have been followed: the sign of life."""
        return self.activity + self.pings + self.pongs + self.pongs_swallowed

    @property
    def at_frame_boundary(self) -> bool:
        """Whether what has passed ends with a whole frame, so that a control frame of ours may follow."""
        if self._need >= 0:
            return not self._need
        return self._drop or not (self._left or self.opaque or (self._part and not self._part_held))

    @property
    def at_message_boundary(self) -> bool:
        """Whether what has passed ends with a whole message."""
        return self.at_frame_boundary and (self._drop or not self._open)

    def successor(self) -> FrameScanner:
        """A scanner for whoever talks on in this side's place, with the counters of this one."""
        heir = FrameScanner(self._limit, self.side, self._ledger, self.sizes)
        heir.messages, heir.texts, heir.data_bytes = self.messages, self.texts, self.data_bytes
        heir.pings, heir.pongs, heir.pongs_swallowed = self.pings, self.pongs, self.pongs_swallowed
        heir._other_frames = self._other_frames
        heir.parting_codes = self.parting_codes
        return heir

    def feed(self, data: bytes) -> bytes:
        """What of `data` passes on: nearly always the object itself; b"" is possible."""
        need = self._need
        size = len(data)
        if need > size:
            self._need = need - size
            return data
        if not need and size > 3:
            second = data[1]
            length = second & 0x7F
            if length < 126:
                whole = length + 6 if second > 127 else length + 2
            else:
                length = data[2] << 8 | data[3] if length == 126 else _NO_LIMIT
                whole = length + 8 if second > 127 else length + 4
            # Exactly one unfragmented text or binary frame: nothing else can be going on in this buffer.
            if whole == size and length <= self._limit and data[0] & 0x8F in (0x81, 0x82):
                self.messages += 1
                self.texts += data[0] & 1
                self.data_bytes += length
                self.sizes[(length - 1).bit_length()] += 1
                return data
        return self._follow(data)

    def close(self, frame: bytes, forced: bool = False) -> bytes:
        """End this direction with `frame` (a Close), at the next message boundary, or frame boundary when forced.

        Returns what can be written at once; otherwise `feed` adds it. Whatever comes behind it is dropped. The first
        frame asked for stays; b"" for ever when a Close has passed already or the scanner is opaque.
        """
        if self.close_passed or self.opaque:
            return b""
        if self._cut is None:
            self._cut = frame
        self._forced = forced or self._forced
        written = self._end() if self.at_message_boundary or (forced and self.at_frame_boundary) else b""
        if self._need >= 0:
            self._left, self._need = self._need, _SLOW
        return written

    def force(self) -> bytes:
        """Let the Close that is waiting stand inside a fragmented message; what can be written at once."""
        return b"" if self._cut is None else self.close(self._cut, forced=True)

    def _end(self) -> bytes:
        """Nothing more passes, but our Close if one is waiting: it is returned."""
        self._drop = True
        self._part_held = False
        if self._cut is None:
            return b""
        frame, self._cut = self._cut, None
        self.close_passed = self.ending = True
        return frame

    def _follow(self, data: bytes) -> bytes:
        """`feed` for everything but the two usual cases: any mix of frames, headers in pieces, something going on."""
        left = self._left if self._need < 0 else self._need
        part, held = self._part, self._part_held  # only ever before the first frame of the loop
        passed: list[bytes] = []
        start = at = 0  # data[start:at] has been followed and is still to be passed on
        while left <= len(data) - at:
            at += left
            if self._cut is not None and not part and (self._forced or not self._open):
                passed += (data[start:at], self._end())
            if not part and not self._drop:
                at = self._skip_messages(data, at)
                if at > len(data):
                    return self._leave(at - len(data), passed, data[start:])
            window, begin = (part + data[:_MAX_HEAD_BYTES], 0) if part else (data, at)
            head = read_head(window, begin)
            if head is None:
                self._part = window[begin:]
                if self._part:
                    self._part_held = held = held if part else self._holds()
                return self._leave(0, passed, data[start : at if held else len(data)])
            header, length, judged = head
            verdict = self._judge(window[begin : begin + judged], header, length, held or not part)
            end = at + judged - len(part)
            if verdict == _PASS:
                if held:
                    passed.append(part)
            else:
                passed.append(data[start:at])
                if verdict == _STOP:
                    passed.append(self._end())
                start = end
            at = end
            left = length - (judged - header)
            self._part = part = b""
            held = False
        return self._leave(left - (len(data) - at), passed, data[start:])

    def _leave(self, left: int, passed: list[bytes], rest: bytes) -> bytes:
        """Note where the frames stand, `left` bytes before the end of one, and join what passes."""
        if self._part or self._drop or self.opaque or self._cut is not None:
            self._left, self._need = left, _SLOW
        else:
            self._left, self._need = 0, left
        if not passed:
            return b"" if self._drop else rest
        if not self._drop:
            passed.append(rest)
        return b"".join(passed)

    def _skip_messages(self, data: bytes, at: int) -> int:
        """Count the unfragmented text and binary frames that begin at `at`; where they end, beyond `data` perhaps."""
        size = len(data)
        messages = texts = payload = 0
        while size - at > 3 and data[at] & 0x8F in (0x81, 0x82):
            second = data[at + 1]
            length = second & 0x7F
            header = 6 if second > 127 else 2
            if length > 125:
                if length == 126:
                    header += 2
                    length = data[at + 2] << 8 | data[at + 3]
                else:
                    header += 8
                    length = int.from_bytes(data[at + 2 : at + 10], "big")
            if length > self._limit or size - at < header:
                break
            messages += 1
            texts += data[at] & 1
            payload += length
            self.sizes[(length - 1).bit_length()] += 1
            at += header + length
        self.messages += messages
        self.texts += texts
        self.data_bytes += payload
        return at

    def _judge(self, frame: bytes, header: int, length: int, may_stop: bool) -> int:
        """Count one frame, of which `frame` is here, and say what becomes of it.

        may_stop: none of its bytes has passed yet.
        """
        opcode = frame[0] & 0xF
        if opcode == CLOSE:
            payload = control_payload(frame, header)
            if self.parting_codes and may_stop and self._parts(payload):
                self.parted = self.ending = True
                return _STOP
            self._see_close(payload)
        if self._drop:
            return _PASS
        if opcode < CLOSE:
            message_bytes = length if opcode else length + self._message_bytes
            if message_bytes > self._limit != _NO_LIMIT and may_stop:
                self.too_big = self.ending = True
                return _STOP
        beyond_following = length > _NO_LIMIT
        if self._cut is not None and may_stop and (opcode == CLOSE or beyond_following):
            return _STOP
        if beyond_following:
            self.opaque = True  # a payload without an end: all that comes passes as part of it
        if opcode >= CLOSE:
            return self._judge_control(opcode, frame, header, may_stop and length <= MAX_CONTROL_PAYLOAD_BYTES)
        self.data_bytes += length
        self.texts += opcode == 1
        if frame[0] & 0x80:
            self.messages += 1
            self.sizes[(message_bytes - 1).bit_length()] += 1
            if not opcode:
                self._open = False
                self._message_bytes = 0
        else:
            self._other_frames += 1
            self._open = True
            self._message_bytes = message_bytes
        return _PASS

    def _judge_control(self, opcode: int, frame: bytes, header: int, may_swallow: bool) -> int:
        if opcode == PONG:
            if may_swallow and frame[0] == 0x80 | PONG and control_payload(frame, header) == self.expected_pong:
                self.pongs_swallowed += 1
                return _SWALLOW
            self.pongs += 1
            self._ledger.pong_from(self.side)
        elif opcode == PING:
            self.pings += 1
            self._ledger.ping_from(self.side)
        else:
            self._other_frames += 1
            if opcode == CLOSE:
                self.close_passed = self.ending = True
                self._cut = None
        return _PASS

    def _parts(self, payload: bytes) -> bool:
        """Whether a Close with this payload is one that nobody else is to see: never behind one that has passed."""
        code = int.from_bytes(payload[:2], "big")
        return code in self.parting_codes and not self._drop and not self._open and self._cut is None

    def _see_close(self, payload: bytes) -> None:
        """Note the first Close of this side, whether or not it passes (RFC 6455 section 7.1.5)."""
        if not self.close_seen:
            self.close_seen = self.ending = True
            self.close_code = int.from_bytes(payload[:2], "big") if len(payload) > 1 else None
            self._ledger.closing(self.side, NO_STATUS if self.close_code is None else self.close_code)

    def _holds(self) -> bool:
        """Whether a frame must be judged before any of it passes: a header in pieces then waits for its rest."""
        if self._drop:
            return False
        waiting = self.expected_pong is not None or self._cut is not None or bool(self.parting_codes)
        return waiting or self._limit != _NO_LIMIT
