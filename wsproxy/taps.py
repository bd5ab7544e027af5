"""Assembly: the taps that operators have set on WebSockets, and what those have seen.

Knows relays and taps. What a tap noted can be read for a while after its time or its WebSocket is over.
"""

from __future__ import annotations

import codecs
import time
from typing import Final

from wsproxy.admin.control import ConflictError, UnknownError
from wsproxy.frontend.relay import Relay
from wsproxy.observe.tapped import Tapped, TappedFrame
from wsproxy.ws.tap import Tap, TapEntry

MOST_TAPS: Final = 100
"""At a time, of 26 KiB at most each: nobody reads more."""

KEPT_S: Final = 600.0
"""For how long after its end what a tap has noted can be read."""

_KINDS: Final = {0: "continuation", 1: "text", 2: "binary", 8: "close", 9: "ping", 10: "pong"}


class Taps:
    """By the ids of the WebSockets; one for each, the latest."""

    def __init__(self) -> None:
        self._taps: dict[str, Tap] = {}

    def begin(self, session: str, relay: Relay, for_s: float, now: float) -> Tapped:
        """Note the frames of a WebSocket from now on, in place of what was noted before. Raises ConflictError."""
        if not relay.is_inspected:
            raise ConflictError(
                f"nobody looks inside {session!r}: its route needs 'inspect = yes', from before it was opened"
            )
        self._forget_the_old(now)
        if len(self._taps) >= MOST_TAPS and session not in self._taps:
            raise ConflictError(f"{MOST_TAPS} WebSockets are tapped already: wait until a tap is over")
        self._taps[session] = relay.tap(for_s, now)
        return self.seen(session, now)

    def seen(self, session: str, now: float) -> Tapped:
        """What has been noted so far. Raises UnknownError."""
        self._forget_the_old(now)
        tap = self._taps.get(session)
        if tap is None:
            raise UnknownError(f"{session!r} is not tapped: POST there first")
        began_at = time.time() - now  # of the loop's clock, as Unix time
        left_s = round(max(0.0, tap.until - now), 3)  # a sum of floats, less one of them: else 600.0000000000018
        return Tapped(session, left_s, tuple(_frame(entry, began_at) for entry in tap.entries))

    def _forget_the_old(self, now: float) -> None:
        for session, tap in tuple(self._taps.items()):
            if now >= tap.until + KEPT_S:
                tap.entries.clear()  # its WebSocket may know it still
                del self._taps[session]


def _frame(entry: TapEntry, began_at: float) -> TappedFrame:
    kind = _KINDS.get(entry.opcode, str(entry.opcode))
    try:
        preview, is_text = codecs.getincrementaldecoder("utf-8")().decode(entry.preview), kind != "close"
    except UnicodeDecodeError:
        is_text = False
    if kind == "close" and len(entry.preview) > 1:
        code, reason = int.from_bytes(entry.preview[:2], "big"), entry.preview[2:].decode("utf-8", "replace")
        preview, is_text = f"{code} {reason}".rstrip(), True
    return TappedFrame(
        began_at + entry.at,
        entry.side,
        kind,
        entry.size_bytes,
        preview if is_text else entry.preview.hex(),
        is_text,
    )
