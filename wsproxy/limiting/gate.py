"""The gate of a route with rate limits: who a request counts for, whether it may pass, and what its answer says.

Knows heads, addresses and the clock; not sessions. What is counted in memory is answered at once, what is counted in
Redis later. The fields are those of draft-ietf-httpapi-ratelimit-headers-10, with Retry-After of RFC 9110.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from hashlib import blake2b
from math import ceil
from time import monotonic
from typing import TYPE_CHECKING, Final, Protocol

from wsproxy.balancing.request_key import key_of
from wsproxy.config.model import RateLimit, RateLimitSettings
from wsproxy.http.codec import with_line
from wsproxy.limiting.places import bucket_names
from wsproxy.limiting.together import CommonCounts
from wsproxy.protection.bucket_table import BucketTableState
from wsproxy.protection.rate_limit import Key, RateLimitState, address_key

if TYPE_CHECKING:
    from wsproxy.exchange import Exchange
    from wsproxy.http.messages import RequestHead, ResponseHead

_LONGEST_KEY: Final = 32
"""Bytes of a key that are kept as they are; of a longer one only a hash is: clients choose how long theirs is."""
_ROUNDED: Final = 0.001
"""The part of a token, or of a second, by which sums of binary fractions may be wrong."""


class Verdict:
    """What a request is told. wait_s: seconds until one may pass, 0.0 where this one does. lines: for its answer."""

    __slots__ = ("lines", "wait_s")

    def __init__(self, wait_s: float, lines: bytes) -> None:
        self.wait_s = wait_s
        self.lines = lines

    def edit(self, response: ResponseHead, _: Exchange) -> ResponseHead:
        """Have the answer of a request that passed say what is left."""
        return with_line(response, self.lines)

    @property
    def refusal_lines(self) -> bytes:
        """What the answer to one that did not pass says besides its status."""
        return b"Retry-After: %d\r\n%b" % (max(1, ceil(self.wait_s - _ROUNDED)), self.lines)


class SharedCounts(Protocol):
    """Buckets that several instances share."""

    @property
    def is_open(self) -> bool:
        """Whether it is worth asking."""
        ...

    def take(self, keys: list[bytes], limits: list[tuple[float, float]]) -> Awaitable[list[float] | None]:
        """Take a token from each bucket, or from none. limits: of each, seconds for a token and for a full bucket.

        Returns what each still holds, in seconds of filling, up to the first that has none, whose figure is negative
        and says how long that lasts; None when nobody could say.
        """
        ...


Counted = Callable[["RequestHead", str], Key]
State = RateLimitState | BucketTableState


class RouteGate:
    """Lets the requests of one route pass, or not.

    refused: requests that did not pass. unchecked: those that passed because the shared counts could not be asked.
    """

    def __init__(
        self,
        name: str,
        settings: RateLimitSettings,
        shared: SharedCounts | None,
        common: CommonCounts | None = None,
    ) -> None:
        self._name = name.encode()
        self.settings = RateLimitSettings()
        self._states: list[State] = []
        self._counted: list[Counted] = []
        self._names: list[bytes] = []
        self._policy = b""
        self._shared: SharedCounts | None = None
        self.refused = 0
        self.unchecked = 0
        self.use(settings, shared, common)

    def use(self, settings: RateLimitSettings, shared: SharedCounts | None, common: CommonCounts | None = None) -> None:
        """Take over other limits; buckets that count by the same key stay as full as they are.

        common: where several processes count together in memory.
        """
        old = dict(zip((limit.key for limit in reversed(self.settings.limits)), reversed(self._states), strict=True))
        names = bucket_names(self._name.decode(), settings)
        self._states = []
        for name, limit in zip(names, settings.limits, strict=True):
            state: State | None = None if common is None else common.state(name, limit)
            if state is None:
                state = old.pop(limit.key, None)
                if isinstance(state, RateLimitState):
                    state.use(limit.rate, limit.burst, settings.entries, monotonic())
                else:
                    state = RateLimitState(limit.rate, limit.burst, settings.entries)
            self._states.append(state)
        self._counted = [_counted(limit) for limit in settings.limits]
        self._names = [b'"%b"' % limit.name.encode() for limit in settings.limits]  # RFC 9651 section 3.3.3
        items = (
            b"%b;q=%d;w=%d" % (name, limit.burst, max(1, round(limit.burst * limit.rate.period_s / limit.rate.amount)))
            for name, limit in zip(self._names, settings.limits, strict=True)
        )
        self._policy = b"RateLimit-Policy: %b\r\n" % b", ".join(items)
        self._shared = shared
        self.settings = settings

    def ask(self, head: RequestHead, client: str) -> Verdict | Awaitable[Verdict]:
        """Take a token for a request of the client at this address; the verdict, or what to await for it."""
        if self._shared is not None:
            if self._shared.is_open:
                return self._ask_shared(self._shared, head, client)
            self.unchecked += 1
            return _UNKNOWN
        now = monotonic()
        states = self._states
        spare: list[float] = []
        for state, counted in zip(states, self._counted, strict=True):
            spare_s = state.try_take(counted(head, client), now)
            spare.append(spare_s)
            if spare_s < 0.0:
                for before, its in zip(states, self._counted[: len(spare) - 1], strict=False):
                    before.give_back(its(head, client))
                break
        return self._verdict(spare)

    async def _ask_shared(self, shared: SharedCounts, head: RequestHead, client: str) -> Verdict:
        keys = [
            b"wsproxy:limit:%b:%d:%b" % (self._name, place, _as_bytes(counted(head, client)))
            for place, counted in enumerate(self._counted)
        ]
        spare = await shared.take(keys, [(state.token_s, state.full_s) for state in self._states])
        if spare is None:
            self.unchecked += 1
            return _UNKNOWN
        return self._verdict(spare)

    def _verdict(self, spare: list[float]) -> Verdict:
        """What follows from what the buckets still hold; the last of them is the one that refuses, if one does."""
        wait_s = 0.0
        if spare[-1] < 0.0:
            wait_s = -spare[-1]
            self.refused += 1
        if len(spare) == 1:
            return Verdict(wait_s, b"%bRateLimit: %b\r\n" % (self._policy, self._item(0, spare[0])))
        items = [self._item(place, spare_s) for place, spare_s in enumerate(spare)]
        return Verdict(wait_s, b"%bRateLimit: %b\r\n" % (self._policy, b", ".join(items)))

    def _item(self, place: int, spare_s: float) -> bytes:
        """How many requests one bucket still has, and in how many seconds it is full, or has one again."""
        state = self._states[place]
        if spare_s < 0.0:
            return b"%b;r=0;t=%d" % (self._names[place], max(1, ceil(-spare_s - _ROUNDED)))
        left = int(spare_s / state.token_s + _ROUNDED)
        return b"%b;r=%d;t=%d" % (self._names[place], left, ceil(state.full_s - spare_s - _ROUNDED))

    # What there is to tell.

    @property
    def entries(self) -> int:
        """Clients remembered now."""
        return sum(map(len, self._states))

    @property
    def evicted(self) -> int:
        """Clients forgotten too early, because there were too many."""
        return sum(state.evicted for state in self._states)


_UNKNOWN: Final = Verdict(0.0, b"")


def _counted(limit: RateLimit) -> Counted:
    """What a limit counts by: a request without its field, cookie or parameter counts for its address."""
    source = limit.key.source
    if source == "ip":
        return lambda _, client: address_key(client)
    if source == "route":
        return lambda *_: b""
    find = key_of(limit.key)

    def counted(head: RequestHead, client: str) -> Key:
        value = find(head, client)
        if not value:
            return address_key(client)  # text, so that nobody can send it as a value of his own
        return value if len(value) <= _LONGEST_KEY else blake2b(value, digest_size=_LONGEST_KEY).digest()

    return counted


def _as_bytes(key: Key) -> bytes:
    """A key that no other one becomes."""
    return b"ip:" + key.encode("latin-1", "replace") if isinstance(key, str) else b"key:" + key
