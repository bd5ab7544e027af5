"""One relayed WebSocket pair after the 101: what passes each way, and which Close each side gets when.

Pure: bytes in, bytes out; masking keys come from a callable, time is the caller's. It holds the table of closing codes'
mechanics: every side sees exactly one Close, never inside a frame, and inside a fragmented message only when forced.

Who ends TCP: a lost side is answered with `client_lost` or `upstream_lost`, then both connections end at once. After an
orderly close, once `finished`, the client's connection is ours to end (RFC 6455 section 7.1.1: the server goes first)
and the upstream, the server of its own leg, is given a moment to end its own; the caller holds that limit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from wsproxy.ws.control import (
    ABNORMAL,
    GOING_AWAY,
    INTERNAL_ERROR,
    SERVICE_RESTART,
    ControlLedger,
    close_frame,
    is_sendable,
    ping_frame,
)
from wsproxy.ws.frames import FrameScanner


class RelayState:
    """The two directions of one pair.

    client, upstream: the scanners of what each side sends, with the counters. mask: returns a fresh masking key (4
    unpredictable bytes, RFC 6455 section 5.3) for each frame of ours that goes to the upstream. `from_client` and
    `from_upstream` do nothing but `client.feed` and `upstream.feed`, so a hot loop may bind those once, for the whole
    life of the pair; after a chunk it looks at `too_big`, and at the end of input at `finished`.
    """

    __slots__ = ("_ledger", "_mask", "client", "upstream")

    def __init__(
        self,
        mask: Callable[[], bytes],
        max_message_bytes: int | None = None,
        client_sizes: list[int] | None = None,
        upstream_sizes: list[int] | None = None,
    ) -> None:
        self._mask = mask
        self._ledger = ControlLedger()
        self.client = FrameScanner(max_message_bytes, "client", self._ledger, client_sizes)
        self.upstream = FrameScanner(max_message_bytes, "upstream", self._ledger, upstream_sizes)

    def from_client(self, data: bytes) -> bytes:
        """What to write to the upstream for these bytes of the client; b"" is possible."""
        return self.client.feed(data)

    def from_upstream(self, data: bytes) -> bytes:
        """What to write to the client for these bytes of the upstream; b"" is possible."""
        return self.upstream.feed(data)

    @property
    def closed_by(self) -> Literal["client", "upstream", "proxy"] | None:
        """Who closed, or was lost, first."""
        return self._ledger.closed_by

    @property
    def close_code(self) -> int | None:
        """The code it closed with: 1005 for an empty Close, 1006 for a lost connection (section 7.1.5)."""
        return self._ledger.close_code

    @property
    def too_big(self) -> bool:
        """Whether a message over the limit was stopped: `begin_close(TOO_BIG, GOING_AWAY)` is due."""
        return self.client.too_big or self.upstream.too_big

    @property
    def activity(self) -> int:
        """A number that changes whenever data has passed either way: what the idle clock watches."""
        return self.client.activity + self.upstream.activity

    @property
    def client_finished(self) -> bool:
        """Whether a Close has gone to the client and one has come from it."""
        return self.upstream.close_passed and self.client.close_seen

    @property
    def upstream_finished(self) -> bool:
        """Whether a Close has gone to the upstream and one has come from it."""
        return self.client.close_passed and self.upstream.close_seen

    @property
    def finished(self) -> bool:
        """Whether the closing handshakes of both sides are done: TCP may end once what was written is flushed."""
        return self.client_finished and self.upstream_finished

    def begin_close(self, client_code: int, upstream_code: int, reason: str = "") -> tuple[bytes, bytes]:
        """Close both sides: what can be written at once, (to the client, to the upstream).

        Where a message is open its rest passes first, then the Close, from a later `from_…` call; what stands behind is
        dropped. The echoes are swallowed. A side that has sent a Close of its own gets its own code back, as from the
        peer it was meant for (section 5.5.1); one that has had a Close gets nothing. Only the first call counts.
        """
        self._ledger.closing("proxy", client_code)
        to_client = self.upstream.close(close_frame(*self._answer(self.client, client_code, reason)))
        to_upstream = self.client.close(close_frame(*self._answer(self.upstream, upstream_code, reason), self._mask()))
        return to_client, to_upstream

    def force_close(self) -> tuple[bytes, bytes]:
        """The deadline is over: a waiting Close need not wait for the end of a message, only of a frame."""
        return self.upstream.force(), self.client.force()

    def may_resume(self) -> bool:
        """Whether another upstream could go on in this one's place: nobody closes, and no message is cut in two."""
        if self._ledger.closed_by is not None:
            return False
        return self.upstream.at_message_boundary and self.client.at_message_boundary and not self.client.ending

    def resume(self) -> None:
        """Another upstream goes on: its frames are followed from their beginning."""
        self.upstream = self.upstream.successor()
        self._ledger.forget_pings()

    def parting_close(self) -> bytes:
        """The Close for an upstream that is left, or the echo of its own."""
        return close_frame(GOING_AWAY, "", self._mask())

    def client_lost(self) -> bytes:
        """The client's connection ended: what the upstream gets before its own ends too.

        A Close with 1001, or with the upstream's own code if that one is closing; b"" after an orderly end, or when the
        client was lost inside a frame.
        """
        return self._lost(self.client, self.upstream, GOING_AWAY, self._mask())

    def upstream_lost(self, leaving: bool = False) -> bytes:
        """The upstream's connection ended: what the client gets before its own ends too.

        As `client_lost`, with 1011, or 1012 when the backend is known to be leaving.
        """
        return self._lost(self.upstream, self.client, SERVICE_RESTART if leaving else INTERNAL_ERROR, None)

    def ping_client(self, payload: bytes) -> bytes:
        """A Ping to write to the client, whose Pong will be swallowed; b"" while none may be sent."""
        return self._ping(self.upstream, self.client, payload, None)

    def ping_upstream(self, payload: bytes) -> bytes:
        """A Ping to write to the upstream, whose Pong will be swallowed; b"" while none may be sent."""
        return self._ping(self.client, self.upstream, payload, self._mask())

    def client_owes_pong(self) -> bool:
        """Whether the latest Ping of the upstream is unanswered: a Ping of ours would hide it."""
        return self._ledger.owes_pong("client")

    def upstream_owes_pong(self) -> bool:
        """Whether the latest Ping of the client is unanswered: a Ping of ours would hide it."""
        return self._ledger.owes_pong("upstream")

    def _lost(self, lost: FrameScanner, other: FrameScanner, code: int, mask: bytes | None) -> bytes:
        if lost.close_seen:
            return b""
        self._ledger.closing(lost.side, ABNORMAL)
        if not lost.at_frame_boundary:
            return b""
        answer, _ = self._answer(other, code, "")
        return lost.close(close_frame(answer, "", mask), forced=True)

    @staticmethod
    def _ping(carrier: FrameScanner, answerer: FrameScanner, payload: bytes, mask: bytes | None) -> bytes:
        if carrier.close_passed or carrier.too_big or not carrier.at_frame_boundary:
            return b""
        answerer.expected_pong = payload
        return ping_frame(payload, mask)

    @staticmethod
    def _answer(receiver: FrameScanner, code: int, reason: str) -> tuple[int | None, str]:
        """The code and reason for a side: its own code if it is closing already."""
        if not receiver.close_seen:
            return code, reason
        own = receiver.close_code
        return (own if own is not None and is_sendable(own) else None), ""
