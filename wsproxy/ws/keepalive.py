"""When to ping a silent peer, when to give it up, and when a session has been idle for too long.

Pure: every `now` is the caller's monotonic clock in seconds, looked at in coarse sweeps. Two clocks: liveness,
which any byte of a leg winds, and idleness, which only data frames do (nobody's pings keep an unused session
alive).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto


@dataclass(frozen=True, slots=True)
class KeepaliveSettings:
    """How the liveness of one leg is looked after."""

    ping_interval_s: float = 20.0  # silence before a ping; 0: none is ever sent
    ping_timeout_s: float = 20.0  # silence after it before the peer counts as gone


class Verdict(Enum):
    """What a sweep has to do for one leg."""

    NOTHING = auto()
    PING = auto()
    DEAD = auto()


class KeepaliveState:
    """The liveness clock of one leg.

    payload: what our pings of this leg carry, the same each time, so that a late pong is known as well: at most 125
    bytes that nobody else uses (a few random ones and a counter). round_trip_s: of the last ping that was answered.
    """

    __slots__ = ("_heard", "_heard_at", "_pinged_at", "_pongs", "_settings", "_yielded_at", "payload", "round_trip_s")

    def __init__(self, settings: KeepaliveSettings, payload: bytes, now: float) -> None:
        self._settings = settings
        self.payload = payload
        self.round_trip_s: float | None = None
        self._heard = 0
        self._heard_at = now  # the silence is counted from here
        self._pinged_at: float | None = None
        self._pongs = 0
        self._yielded_at: float | None = None  # since when our ping waits for the pong of another's

    def due(self, now: float, heard: int, reading: bool = True, owes_pong: bool = False) -> Verdict:
        """Judge the leg at a sweep.

        heard: any number that changes whenever bytes have come, so life is seen to the precision of the sweeps.
        reading: False while backpressure keeps us from reading it: the clock stands still. owes_pong: a relayed Ping is
        unanswered; ours waits for its pong, since a peer may answer only the latest (RFC 6455 section 5.5.3), but no
        longer than the ping timeout. After PING, call `ping_sent` if one went out; otherwise the next sweep says PING
        again.
        """
        if heard != self._heard:
            self._heard = heard
            self._heard_at = now
            self._pinged_at = self._yielded_at = None
            return Verdict.NOTHING
        if not reading:
            self._heard_at = now
            return Verdict.NOTHING
        silent_s = now - self._heard_at
        if self._pinged_at is not None:
            silent_s = min(silent_s, now - self._pinged_at)
            return Verdict.DEAD if silent_s >= self._settings.ping_timeout_s else Verdict.NOTHING
        if not self._settings.ping_interval_s or silent_s < self._settings.ping_interval_s:
            self._yielded_at = None
            return Verdict.NOTHING
        return Verdict.NOTHING if owes_pong and self._yields(now) else Verdict.PING

    def ping_sent(self, now: float) -> None:
        """A ping went out."""
        self._pinged_at = now
        self._yielded_at = None

    def answered(self, pongs: int, now: float) -> float | None:
        """The round-trip time, if a pong of ours has come: `pongs` is how many were swallowed so far."""
        if pongs == self._pongs:
            return None
        self._pongs = pongs
        if self._pinged_at is None:
            return None
        self.round_trip_s = now - self._pinged_at
        self._pinged_at = None
        return self.round_trip_s

    def _yields(self, now: float) -> bool:
        if self._yielded_at is None:
            self._yielded_at = now
        return now - self._yielded_at < self._settings.ping_timeout_s


class IdleState:
    """The idle clock of a session: since when no data has passed.

    since: when data was last seen to pass, to the precision of the sweeps.
    """

    __slots__ = ("_activity", "since")

    def __init__(self, now: float) -> None:
        self._activity = 0
        self.since = now

    def idle_s(self, now: float, activity: int) -> float:
        """For how long no data frame has passed; `activity` is any number that changes when one does."""
        if activity != self._activity:
            self._activity = activity
            self.since = now
        return now - self.since
