"""Answers in Redis, where several proxies share them and they outlive a restart.

Knows the commands of Redis and how answers are packed; `net.redis_link` knows how to ask. A Redis that fails or is
slow costs a hit, never a request: each question has a deadline, and after a fault none is asked until it is back.
Writes go one after another through one task, so that what was kept and then changed does not come back.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Final

import anyio

from wsproxy.cache.asked import Asked
from wsproxy.cache.eviction import BoundedMap
from wsproxy.cache.flights import Landed
from wsproxy.cache.packed import pack, unpack
from wsproxy.cache.store import Pointer, StoreFaultError
from wsproxy.cache.stored import OVERHEAD_BYTES, StoredAnswer
from wsproxy.net.redis_link import RedisFaultError, RedisLink, RedisLinkSettings

if TYPE_CHECKING:
    from redis.asyncio import Redis

CONNECTIONS: Final = 16
"""At a time: at 0.2 ms a question that is 80 000 questions a second."""
PATIENCE_S: Final = 10.0
"""What an operator who purges waits for; he is told when it was not enough."""
MOST_UNWRITTEN: Final = 10_000
MOST_UNWRITTEN_BYTES: Final = 16 * 1024 * 1024
"""What may wait to be written; more is not kept."""
SCANNED: Final = 1000
"""Keys looked at in one step where all are let go: other users of the Redis are not to notice."""

MOST_AT_ONCE: Final = 64
"""Keys in one question."""
KNOWN_BYTES: Final = 4 * 1024 * 1024
"""Values that are remembered with what they mean, so that reading them again is a comparison."""

_PREFIX: Final = b"wsproxy:"

Batch = list[tuple[bytes, "asyncio.Future[StoredAnswer | Pointer | None]"]]
"""Keys that are asked for together, and who waits for each."""

Write = Callable[["Redis"], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class _Written:
    """What is kept of an answer. names: that it varies by, and selected: what the request says in them."""

    names: tuple[bytes, ...]
    selected: bytes
    data: bytes
    lasts_ms: int
    tags: tuple[bytes, ...]


class RedisStore:
    """Answers by key in one Redis, to which `link` leads."""

    def __init__(self, url: str, timeout_s: float) -> None:
        without_it = "answers come from the servers"
        self.link = RedisLink(RedisLinkSettings(url, "[cache]", without_it, timeout_s, CONNECTIONS))
        self._losses = 0
        self._batch: Batch | None = None
        self._known: BoundedMap[tuple[bytes, StoredAnswer | Pointer]] = BoundedMap(KNOWN_BYTES)
        self._unwritten: deque[tuple[int, bytes, Write]] = deque()
        self._unwritten_bytes = 0
        self._pending: dict[bytes, list[Landed | None]] = {}
        self._wake = asyncio.Event()

    entries = used_bytes = evicted = 0
    """Redis knows, and has commands that tell."""

    @property
    def faults(self) -> int:
        """Questions that were not answered in time, or not well; answers that were damaged, or could not be kept."""
        return self.link.faults + self._losses

    async def find(self, key: bytes, asked: Asked) -> StoredAnswer | None:
        """The answer that fits the request, be it stale."""
        if (unwritten := self._pending.get(key)) is not None:
            for landed in reversed(unwritten):
                if landed is None:  # forgotten: what Redis still has is not to be used
                    return None
                if landed.fits(asked):
                    return landed.answer
        found = await self._read(_name(b"a", key))
        if isinstance(found, Pointer):
            found = await self._read(_name(b"v", found.prefix + asked.selected(found.names)))
        return found if isinstance(found, StoredAnswer) else None

    def keep(self, key: bytes, names: tuple[bytes, ...], asked: Asked, answer: StoredAnswer) -> None:
        """Keep an answer to `asked`, a little later."""
        lasts_ms = max(int((answer.keeps_until() - answer.received_at) * 1000), 1)
        data = pack(answer)
        selected = asked.selected(names)

        async def write(redis: Redis) -> None:
            await self._put(redis, key, _Written(names, selected, data, lasts_ms, answer.tags))

        self._later(key, Landed(answer, names, asked), len(data), write)

    def forget(self, key: bytes) -> None:
        """Let all answers under a key go, a little later; they are not found from now on."""
        self._later(key, None, 0, partial(self._drop, key))

    async def drop(self, key: bytes) -> int:
        """Let all answers under a key go; how many they were. Raises StoreFaultError."""
        return await self._patiently(partial(self._drop, key))

    async def drop_tag(self, tag: bytes) -> int:
        """Let all answers with a tag go; how many they were. Raises StoreFaultError."""
        return await self._patiently(partial(_drop_group, _name(b"t", tag)))

    async def clear(self) -> int:
        """Let all go; how many they were. Raises StoreFaultError."""
        return await self._patiently(_clear)

    async def run(self) -> None:
        """Write what is to be written until cancelled."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.link.run)
            while True:
                while self._unwritten:
                    size, key, write = self._unwritten.popleft()
                    with suppress(RedisFaultError):
                        await self.link.ask(write)
                    self._unwritten_bytes -= size
                    self._written(key)
                self._wake.clear()
                await self._wake.wait()

    # Asking.

    async def _patiently(self, work: Callable[[Redis], Awaitable[int]]) -> int:
        try:
            return await self.link.insist(work, PATIENCE_S)
        except RedisFaultError as error:
            raise StoreFaultError(str(error)) from None

    async def _read(self, name: bytes) -> StoredAnswer | Pointer | None:
        """The value of a key; all who ask in the same turn of the event loop ask Redis once, which costs as much."""
        if (batch := self._batch) is not None and len(batch) < MOST_AT_ONCE:
            future: asyncio.Future[StoredAnswer | Pointer | None] = asyncio.get_running_loop().create_future()
            batch.append((name, future))
            return await future
        self._batch = batch = []
        values: list[StoredAnswer | Pointer | None] = []
        try:
            await asyncio.sleep(0)
            self._close_batch(batch)
            names = [name, *(other for other, _ in batch)]
            values = await self._get_many(names)
        finally:
            self._close_batch(batch)
            for (_, future), value in zip_longest(batch, values[1 : len(batch) + 1]):
                if not future.done():
                    future.set_result(value)
        return values[0]

    def _close_batch(self, batch: Batch) -> None:
        """Nobody joins it any more."""
        if self._batch is batch:
            self._batch = None

    async def _get_many(self, names: list[bytes]) -> list[StoredAnswer | Pointer | None]:
        """The values of keys, None for what Redis has not, or does not tell."""
        if not self.link.is_open:
            return [None] * len(names)
        try:
            found = zip(names, await self.link.ask(lambda redis: redis.mget(names)), strict=True)
        except RedisFaultError:
            return [None] * len(names)
        return [self._unpacked(name, data) for name, data in found]

    def _unpacked(self, name: bytes, data: object) -> StoredAnswer | Pointer | None:
        """What the bytes mean; looked up where they are the same as the last time, as mostly they are."""
        if not isinstance(data, bytes):  # no such key
            return None
        known = self._known.get(name)
        if known is not None and known[0] == data:
            return known[1]
        try:
            value = unpack(data)
        except ValueError:  # one that is damaged is no reason to do without the others
            self._losses += 1
            return None
        self._known.put(name, (data, value), 2 * len(data) + OVERHEAD_BYTES)
        return value

    # Writing.

    def _later(self, key: bytes, landed: Landed | None, size: int, write: Write) -> None:
        """Have it written in turn, and known here until then; given up where too much is waiting already."""
        if len(self._unwritten) >= MOST_UNWRITTEN or self._unwritten_bytes + size > MOST_UNWRITTEN_BYTES:
            self._losses += 1
            return
        self._unwritten.append((size, key, write))
        self._unwritten_bytes += size
        self._pending.setdefault(key, []).append(landed)
        self._wake.set()

    def _written(self, key: bytes) -> None:
        waiting = self._pending[key]
        del waiting[0]
        if not waiting:
            del self._pending[key]

    async def _put(self, redis: Redis, key: bytes, written: _Written) -> None:
        name = _name(b"a", key)
        groups = [_name(b"t", tag) for tag in written.tags]
        if not written.names and not groups:
            await redis.set(name, written.data, px=written.lasts_ms)
            return
        pipeline = redis.pipeline(transaction=False)
        if written.names:
            pointer = await self._pointer(redis, name, written.names)
            pipeline.set(name, pack(pointer), px=written.lasts_ms)
            name = _name(b"v", pointer.prefix + written.selected)
            groups.append(_name(b"k", pointer.prefix))
        pipeline.set(name, written.data, px=written.lasts_ms)
        seconds, microseconds = await redis.time()
        now_ms = seconds * 1000 + microseconds // 1000
        for group in groups:  # its members leave it when they end: it never holds more than there is
            pipeline.zremrangebyscore(group, "-inf", now_ms)
            pipeline.zadd(group, {name: now_ms + written.lasts_ms})
            pipeline.pexpire(group, written.lasts_ms, nx=True)
            pipeline.pexpire(group, written.lasts_ms, gt=True)
        await pipeline.execute()

    async def _pointer(self, redis: Redis, name: bytes, names: tuple[bytes, ...]) -> Pointer:
        """The one that is there if it says the same, else a new one, through which nothing older is found."""
        found = self._unpacked(name, await redis.get(name))
        if isinstance(found, Pointer) and found.names == names:
            return found
        return Pointer(names, secrets.token_hex(8).encode() + b"\n")

    async def _drop(self, key: bytes, redis: Redis) -> int:
        name = _name(b"a", key)
        data = await redis.get(name)
        if data is None:
            return 0
        found = self._unpacked(name, data)
        await redis.unlink(name)
        return await _drop_group(_name(b"k", found.prefix), redis) if isinstance(found, Pointer) else 1


async def _drop_group(group: bytes, redis: Redis) -> int:
    members = [_raw(name) for name in await redis.zrange(group, 0, -1)]
    await redis.unlink(group)
    gone = 0
    for start in range(0, len(members), SCANNED):
        gone += await redis.unlink(*members[start : start + SCANNED])
    return gone


async def _clear(redis: Redis) -> int:
    gone = 0
    cursor: Any = 0
    while True:
        cursor, names = await redis.scan(cursor, match=_PREFIX + b"*", count=SCANNED)
        if names:
            await redis.unlink(*names)
            gone += sum(_raw(name).startswith((_PREFIX + b"a:", _PREFIX + b"v:")) for name in names)
        if not cursor:
            return gone


def _name(kind: bytes, of: bytes) -> bytes:
    """A key of bounded length, whatever a client has asked for."""
    return b"%b%b:%b" % (_PREFIX, kind, blake2b(of, digest_size=16).hexdigest().encode())


def _raw(value: object) -> bytes:
    """What the client hands over, which is not told to decode anything. Raises ValueError for what is no bytes."""
    if not isinstance(value, bytes):
        raise ValueError(f"bytes expected, not {type(value).__name__}")
    return value
