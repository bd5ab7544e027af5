"""How often each of many clients may come: a token bucket for each key, in one number (the GCRA of ATM networks).

Pure: `now` is the caller's clock in seconds. What is kept of a client is the moment at which its bucket will be full
again; one whose bucket is full need not be remembered. So keys live in two generations: who comes moves into the young
one, and when a bucket's whole filling time has passed, or the young one holds half of all that may be held, the old one
goes and the young one takes its place. No entry is ever searched for, and those that are idle are forgotten first.
"""

from __future__ import annotations

from ipaddress import IPv6Address
from typing import Final, Protocol

Key = str | bytes

_SLACK: Final = 0.001
"""The part of a token that is forgiven: ten times a tenth is less than one in binary."""

FORGOTTEN_AT_ONCE: Final = 8
"""Old entries let go with each call: half a million in one go would hold the event loop for 30 ms. More than one, so
that they are gone well before the next generation is full."""


class Rate(Protocol):
    """So many in so many seconds."""

    @property
    def amount(self) -> int: ...

    @property
    def period_s(self) -> float: ...


class RefillState:
    """How a bucket of `burst` tokens fills at a rate, and what taking one makes of it.

    token_s: the time in which one token comes. full_s: that in which an empty bucket is full. most_s: what a bucket may
    lack when somebody has taken from it, else nothing was taken. most_ever_s: what it can lack at this rate.
    """

    def fill(self, rate: Rate, burst: int, changed_at: float) -> None:
        """Take over another rate: what a bucket lacks of being full it lacks in time, and is no more than all."""
        self._changed_at = changed_at
        self.token_s = rate.period_s / rate.amount
        self.full_s = self.token_s * burst
        self.most_s = self.full_s + self.token_s * _SLACK
        self.most_ever_s = self.most_s + self.token_s

    def lacks_s(self, full_at: float, now: float) -> float:
        """What a bucket that would be full at that moment lacks once a token is taken, in seconds of filling."""
        if full_at < now:
            return self.token_s
        lacks_s = full_at - now + self.token_s
        if lacks_s > self.most_ever_s:  # it was filled more slowly when it was emptied
            return max(self._changed_at + self.full_s - now, 0.0) + self.token_s
        return lacks_s


class RateLimitState(RefillState):
    """The buckets of one limit: `burst` tokens each, refilled at `rate`.

    entries: how many keys are held at most.
    evicted: keys forgotten though their buckets were not full, because there were too many.
    """

    def __init__(self, rate: Rate, burst: int, entries: int) -> None:
        self._young: dict[Key, float] = {}
        self._old: dict[Key, float] = {}
        self._leaving: dict[Key, float] = {}
        self._turned_at = 0.0
        self.evicted = 0
        self.use(rate, burst, entries, 0.0)

    def use(self, rate: Rate, burst: int, entries: int, now: float) -> None:
        """Take over another rate and size; buckets stay as empty as they are."""
        self.fill(rate, burst, now)
        self._young_most = max(1, entries // 2)  # by the time it is full, of three generations one is gone

    def __len__(self) -> int:
        """How many keys are held now."""
        return len(self._young) + len(self._old) + len(self._leaving)

    def try_take(self, key: Key, now: float) -> float:
        """Take a token. Returns what the bucket still holds, in seconds of filling; when negative, nothing was taken
        and that long it takes until there is a token."""
        young = self._young
        full_at = young.get(key)
        if full_at is None:
            full_at = self._old.get(key, 0.0) if self._old else 0.0
            self._make_room(now)
            young = self._young
        lacks_s = self.lacks_s(full_at, now)
        if lacks_s > self.most_s:
            young[key] = now + lacks_s - self.token_s
            return self.full_s - lacks_s
        young[key] = now + lacks_s
        return max(self.full_s - lacks_s, 0.0)

    def give_back(self, key: Key) -> None:
        """Put the token back that was just taken."""
        self._young[key] -= self.token_s

    def _make_room(self, now: float) -> None:
        """Before a key comes in: begin another generation where it is time, and let old entries go."""
        is_over = now - self._turned_at >= self.full_s
        if is_over or len(self._young) >= self._young_most:
            if not is_over:
                self.evicted += len(self._old)
            self._leaving, self._old, self._young = self._old, self._young, {}
            self._turned_at = now
        leaving = self._leaving
        for _ in range(min(FORGOTTEN_AT_ONCE, len(leaving))):
            leaving.popitem()


def address_key(address: str) -> str:
    """What a client's address counts as: an IPv6 one as its /64, which is the least that one subscriber has."""
    if ":" not in address:
        return address
    try:
        parsed = IPv6Address(address.partition("%")[0])
    except ValueError:  # a unix socket
        return address
    mapped = parsed.ipv4_mapped
    return str(mapped) if mapped is not None else f"{int(parsed) >> 64:016x}::"
