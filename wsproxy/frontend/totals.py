"""What a WebSocket route has seen: plain numbers, read when somebody asks.

Knows what relays count, of those that have ended and of those that run; how it is shown is the reader's business.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from typing import Final

from wsproxy.ws.control import ABNORMAL
from wsproxy.ws.frames import SIZE_CLASSES, FrameScanner
from wsproxy.ws.relay import RelayState

_REGISTERED_CODES: Final = range(1000, 1016)
_OTHER_CODES: Final = ((range(3000, 4000), 3000), (range(4000, 5000), 4000))


class Traffic:
    """What one side has sent: messages (texts among them), payload bytes of data frames, pings and pongs."""

    __slots__ = ("data_bytes", "messages", "pings", "pongs", "texts")

    def __init__(self) -> None:
        self.messages = self.texts = self.data_bytes = self.pings = self.pongs = 0

    def add(self, scanner: FrameScanner) -> None:
        """Add what one relay's scanner has counted."""
        self.messages += scanner.messages
        self.texts += scanner.texts
        self.data_bytes += scanner.data_bytes
        self.pings += scanner.pings
        self.pongs += scanner.pongs

    def added(self, scanners: Iterable[FrameScanner]) -> Traffic:
        """A sum of this and what runs; this stays as it is."""
        total = Traffic()
        for name in self.__slots__:
            setattr(total, name, getattr(self, name))
        for scanner in scanners:
            total.add(scanner)
        return total


class RelayTotals:
    """The counters of a route.

    handshakes: by result ("opened", "invalid", "origin", "limit", "refused" by the backend, "failed"). closes: by
    (initiator, code), codes of applications as 3000 and 4000, others as 0. client, upstream: what the relays that have
    ended carried; `traffic` adds those that run. lived_s: of the ended ones. round_trips, round_trip_s: of our pings.
    paused_s: time in which a side was not read because the other one took nothing. drained: told to go by a drain.
    reconnects: times another backend took a session over. replayed: messages that such a backend was told again.
    client_sizes, upstream_sizes: messages by size, as `FrameScanner.sizes` has them; the scanners of all relays add.
    """

    __slots__ = (
        "client",
        "client_sizes",
        "closes",
        "drained",
        "ended",
        "handshakes",
        "lived_s",
        "paused_s",
        "reconnects",
        "replayed",
        "round_trip_s",
        "round_trips",
        "upstream",
        "upstream_sizes",
    )

    def __init__(self) -> None:
        self.handshakes: Counter[str] = Counter()
        self.closes: Counter[tuple[str, int]] = Counter()
        self.client = Traffic()
        self.upstream = Traffic()
        self.client_sizes = [0] * SIZE_CLASSES
        self.upstream_sizes = [0] * SIZE_CLASSES
        self.ended = self.drained = self.reconnects = self.replayed = self.round_trips = 0
        self.lived_s = self.paused_s = self.round_trip_s = 0.0

    def add_round_trip(self, seconds: float) -> None:
        """A ping of ours was answered."""
        self.round_trips += 1
        self.round_trip_s += seconds

    def add_ended(self, state: RelayState, lived_s: float) -> None:
        """A relay has ended: keep what it counted."""
        self.ended += 1
        self.lived_s += lived_s
        self.client.add(state.client)
        self.upstream.add(state.upstream)
        code = state.close_code
        self.closes[(state.closed_by or "proxy", close_class(ABNORMAL if code is None else code))] += 1

    def traffic(self, running: Collection[RelayState]) -> tuple[Traffic, Traffic]:
        """All that clients, and upstreams, have sent until now: on relays that have ended, and on these."""
        return (
            self.client.added(state.client for state in running),
            self.upstream.added(state.upstream for state in running),
        )


def close_class(code: int) -> int:
    """The code, where there are few of its kind: a peer must not make as many counters as there are numbers."""
    if code in _REGISTERED_CODES:
        return code
    return next((shown for codes, shown in _OTHER_CODES if code in codes), 0)
