"""The buckets of one limit in memory that several processes share: a table of fixed size, in sets of eight places.

Pure: knows a stretch of memory, and somebody who keeps the others out of one set of it. `now` is the clock of the whole
machine in seconds, the same in every process. A client is known by a hash of his key, whose secret nobody outside has,
so that nobody can aim at a place; the moment at which his bucket will be full stands beside it. A bucket that is full
needs no place. Where all eight are taken by others the one goes that would be full first.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from math import inf
from struct import Struct
from typing import TYPE_CHECKING, Final, Protocol

from wsproxy.protection.rate_limit import Key, Rate, RefillState

if TYPE_CHECKING:
    from mmap import mmap

PLACES: Final = 8
"""Places in a set: their hashes fill one cache line, their times the next."""

SET_BYTES: Final = PLACES * 16
"""A hash and a time for each."""

_SPARE: Final = 1.5
"""Places for each client that is to be remembered: clients fall on sets by chance, and with as many places as clients
one in seven would find his set full; so it is one in thirty."""

MOST_OWE: Final = 1000
"""Clients whose tokens are remembered until they can be taken; when there are more, which is many sets held at once by
somebody who was stopped, that is forgiven them."""

LATE_S: Final = 1.0
"""By how much a process may be behind one that has written, having been stopped since it looked at its clock: what a
bucket lacks beyond the most that it can lack is no sign of a slower rate then."""

_HASHES_BYTES: Final = PLACES * 8
_SET: Final = Struct(f"={_HASHES_BYTES}x{PLACES}d")


class SetLocks(Protocol):
    """Keeps the other processes out of the set that begins at some byte; one that has died holds nothing."""

    def try_lock(self, at: int) -> bool:
        """Whether it is ours now; never waits."""
        ...

    def unlock(self, at: int) -> None:
        """Let others in again."""
        ...


def sets_for(entries: int) -> int:
    """How many sets remember so many clients."""
    return -(-int(entries * _SPARE) // PLACES)


def count_busy(memory: bytes, now: float) -> int:
    """How many buckets in some whole sets are not full."""
    return sum(full_at > now for times in _SET.iter_unpack(memory) for full_at in times)


class BucketTableState(RefillState):
    """One limit; see `fill` for its rate, which is to be set before anybody asks.

    memory: whole sets, all zero at first. secret: at most 64 bytes. remembered: says how many clients there are.
    evicted: clients that this process had to forget though their buckets were not full.

    A set is looked at without its lock, so that who is refused costs no more than that, and written to under it only,
    so that no token that was taken is lost. A lock that cannot be had, as its holder was stopped inside, is done
    without: what is taken then is owed, and taken from the bucket with the next token.
    """

    def __init__(self, memory: mmap, locks: SetLocks, secret: bytes, remembered: Callable[[], int]) -> None:
        self._memory = memory
        self._times = memoryview(memory).cast("d")
        self._sets = len(memory) // SET_BYTES
        self._locks = locks
        self._remembered = remembered
        self._of_text = blake2b(key=secret, digest_size=8, person=b"text")
        self._of_bytes = blake2b(key=secret, digest_size=8, person=b"bytes")
        self._owed: dict[bytes, tuple[float, float]] = {}  # what is owed, and when the bucket would be full then
        self.evicted = 0

    def fill(self, rate: Rate, burst: int, changed_at: float) -> None:
        """Take over another rate. changed_at: since when it holds; 0.0 for one that has never been another."""
        super().fill(rate, burst, changed_at)
        self.most_ever_s = self.most_ever_s + LATE_S if changed_at else inf

    def __len__(self) -> int:
        """How many clients are remembered now."""
        return self._remembered()

    def try_take(self, key: Key, now: float) -> float:
        """Take a token; what is returned is told at `RateLimitState.try_take`."""
        hashed = self._hashed(key)
        start = int.from_bytes(hashed, "little") % self._sets * SET_BYTES
        place, full_at = self._known(hashed, start)
        if place:
            lacks_s = self.lacks_s(full_at, now)
            if lacks_s > self.most_s and now + lacks_s >= full_at:
                return self.full_s - lacks_s
        if not self._locks.try_lock(start):
            return self._take_on_credit(hashed, full_at, now)
        try:
            if not place or self._times[place] != full_at or hashed in self._owed:
                return self._take(hashed, start, now)
            return self._write(place, full_at, lacks_s, now)
        finally:
            self._locks.unlock(start)

    def give_back(self, key: Key) -> None:
        """Put the token back that was just taken, if the client is remembered still and nobody holds his set."""
        hashed = self._hashed(key)
        start = int.from_bytes(hashed, "little") % self._sets * SET_BYTES
        if self._locks.try_lock(start):
            try:
                place, full_at = self._known(hashed, start)
                if place:
                    self._times[place] = full_at - self.token_s
            finally:
                self._locks.unlock(start)

    def _take(self, hashed: bytes, start: int, now: float) -> float:
        """The same for a client who was not known, or owes something, or whose bucket has changed since."""
        owed_s = self._owed_s(hashed, now)
        self._owed.pop(hashed, None)
        place, full_at = self._known(hashed, start)
        if not place:
            place = self._make_place(hashed, start, now)
        if owed_s:
            full_at = min(max(full_at, now) + owed_s, now + self.full_s)
            self._times[place] = full_at
        return self._write(place, full_at, self.lacks_s(full_at, now), now)

    def _make_place(self, hashed: bytes, start: int, now: float) -> int:
        """For a client who has none: that whose bucket is full, or will be first."""
        times = _SET.unpack_from(self._memory, start)
        first = min(times)
        self.evicted += first > now
        index = times.index(first)
        place = start // 8 + PLACES + index
        self._times[place] = 0.0
        self._memory[start + 8 * index : start + 8 * index + 8] = hashed
        return place

    def _write(self, place: int, full_at: float, lacks_s: float, now: float) -> float:
        """Have a bucket lack that much, unless that is too much."""
        if lacks_s > self.most_s:
            if now + lacks_s < full_at:  # of a slower rate
                self._times[place] = now + lacks_s - self.token_s
            return self.full_s - lacks_s
        self._times[place] = now + lacks_s
        return max(self.full_s - lacks_s, 0.0)

    def _take_on_credit(self, hashed: bytes, full_at: float, now: float) -> float:
        """The same without the set: what others take meanwhile is not seen."""
        owed_s = self._owed_s(hashed, now)
        lacks_s = self.lacks_s(max(full_at, now) + owed_s, now)
        if lacks_s > self.most_s:
            return self.full_s - lacks_s
        if len(self._owed) >= MOST_OWE:
            self._owed.clear()
        self._owed[hashed] = owed_s + self.token_s, now + lacks_s
        return max(self.full_s - lacks_s, 0.0)

    def _owed_s(self, hashed: bytes, now: float) -> float:
        """What a client owes, in seconds of filling; nothing once his bucket would be full again in spite of it."""
        owed_s, full_at = self._owed.get(hashed, (0.0, 0.0))
        return max(min(owed_s, full_at - now), 0.0)

    def _known(self, hashed: bytes, start: int) -> tuple[int, float]:
        """Which of all times is a client's, and what it is; 0, as it is that of no one, where he has none."""
        found = self._memory.find(hashed, start, start + _HASHES_BYTES)
        if found < 0 or found % 8:
            return 0, 0.0
        place = found // 8 + PLACES
        return place, self._times[place]

    def _hashed(self, key: Key) -> bytes:
        """What a client is known by, 8 bytes."""
        if isinstance(key, str):
            hashing = self._of_text.copy()
            hashing.update(key.encode("latin-1", "replace"))
        else:
            hashing = self._of_bytes.copy()
            hashing.update(key)
        return hashing.digest()
