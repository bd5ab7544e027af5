"""Answers in Redis, where several proxies share them and they outlive a restart.

Knows the Redis client and how answers are packed. A Redis that fails or is slow costs a hit, never a request: each
question has a deadline, and after a fault none is asked for a while. Writes go one after another through one task, so
that what was kept and then changed does not come back.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import deque
from collections.abc import Awaitable, Callable
from hashlib import blake2b
from itertools import zip_longest
from typing import Any, Final, TypeVar

import anyio
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from wsproxy.cache.asked import Asked
from wsproxy.cache.eviction import BoundedMap
from wsproxy.cache.flights import Landed
from wsproxy.cache.packed import pack, unpack
from wsproxy.cache.store import Pointer, StoreFaultError
from wsproxy.cache.stored import OVERHEAD_BYTES, StoredAnswer

T = TypeVar("T")

CONNECTIONS: Final = 16
"""At a time: at 0.2 ms a question that is 80 000 questions a second."""
FIRST_PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 30.0
"""How long nothing is asked after a fault, doubled with each that follows."""
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
LAST_WORDS_S: Final = 1.0
"""How long connections may take to close at the end."""

_PREFIX: Final = b"wsproxy:"
_FAULTS: Final = (RedisError, OSError, TimeoutError, ValueError)

_logger = logging.getLogger("wsproxy.cache")

Batch = list[tuple[bytes, "asyncio.Future[StoredAnswer | Pointer | None]"]]
"""Keys that are asked for together, and who waits for each."""

Write = Callable[[], Awaitable[object]]


class RedisStore:
    """Answers by key in one Redis. faults: questions it did not answer in time, or not well."""

    def __init__(self, url: str, timeout_s: float) -> None:
        self.faults = 0
        self._timeout_s = timeout_s
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=CONNECTIONS,
            timeout=timeout_s,
            socket_timeout=None,  # the deadline of each question is ours
            socket_connect_timeout=timeout_s,
            retry=Retry(NoBackoff(), 0),
        )
        self._redis: Redis = Redis(connection_pool=pool)
        self._batch: Batch | None = None
        self._known: BoundedMap[tuple[bytes, StoredAnswer | Pointer]] = BoundedMap(KNOWN_BYTES)
        self._pause_s = FIRST_PAUSE_S
        self._closed_until = 0.0
        self._unwritten: deque[tuple[int, bytes, Write]] = deque()
        self._unwritten_bytes = 0
        self._pending: dict[bytes, list[Landed | None]] = {}
        self._wake = asyncio.Event()

    entries = used_bytes = evicted = 0
    """Redis knows, and has commands that tell."""

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

        async def write() -> None:
            await self._put(key, names, selected, data, lasts_ms, answer.tags)

        self._later(key, Landed(answer, names, asked), len(data), write)

    def forget(self, key: bytes) -> None:
        """Let all answers under a key go, a little later; they are not found from now on."""
        self._later(key, None, 0, lambda: self._drop(key))

    async def drop(self, key: bytes) -> int:
        """Let all answers under a key go; how many they were. Raises StoreFaultError."""
        return await self._patiently(self._drop(key))

    async def drop_tag(self, tag: bytes) -> int:
        """Let all answers with a tag go; how many they were. Raises StoreFaultError."""
        return await self._patiently(self._drop_group(_name(b"t", tag)))

    async def clear(self) -> int:
        """Let all go; how many they were. Raises StoreFaultError."""
        return await self._patiently(self._clear())

    async def run(self) -> None:
        """Write what is to be written until cancelled."""
        try:
            while True:
                while self._unwritten:
                    size, key, write = self._unwritten.popleft()
                    await self._ask(write)
                    self._unwritten_bytes -= size
                    self._written(key)
                self._wake.clear()
                await self._wake.wait()
        finally:
            with anyio.move_on_after(LAST_WORDS_S, shield=True):
                await self._redis.aclose(close_connection_pool=True)

    # Asking.

    async def _ask(self, question: Callable[[], Awaitable[T]]) -> T | None:
        """The answer to a question, None where there is none in time."""
        loop = asyncio.get_running_loop()
        if loop.time() < self._closed_until:
            return None
        try:
            async with asyncio.timeout(self._timeout_s):
                answer = await question()
        except _FAULTS as error:
            self._failed(loop.time(), error)
            return None
        if self._pause_s > FIRST_PAUSE_S:
            self._pause_s = FIRST_PAUSE_S
            _logger.info("Redis answers again")
        return answer

    def _failed(self, now: float, error: Exception) -> None:
        self.faults += 1
        if now < self._closed_until:  # others asked at the same time
            return
        reason = str(error).strip() or type(error).__name__
        _logger.warning("Redis does not answer (%s): nothing is asked of it for %g s", reason, self._pause_s)
        self._closed_until = now + self._pause_s
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)

    async def _patiently(self, work: Awaitable[int]) -> int:
        try:
            async with asyncio.timeout(PATIENCE_S):
                return await work
        except _FAULTS as error:
            self.faults += 1
            raise StoreFaultError(f"Redis does not answer ({str(error).strip() or type(error).__name__})") from None

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
            values = await self._ask(lambda: self._get_many(names)) or [None] * len(names)
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
        found = zip(names, await self._redis.mget(names), strict=True)
        return [None if data is None else self._unpacked(name, _raw(data)) for name, data in found]

    def _unpacked(self, name: bytes, data: bytes) -> StoredAnswer | Pointer | None:
        """What the bytes mean; looked up where they are the same as the last time, as mostly they are."""
        known = self._known.get(name)
        if known is not None and known[0] == data:
            return known[1]
        try:
            value = unpack(data)
        except ValueError:  # one that is damaged is no reason to do without the others
            self.faults += 1
            return None
        self._known.put(name, (data, value), 2 * len(data) + OVERHEAD_BYTES)
        return value

    async def _get(self, name: bytes) -> StoredAnswer | Pointer | None:
        data = await self._redis.get(name)
        return None if data is None else unpack(_raw(data))

    # Writing.

    def _later(self, key: bytes, landed: Landed | None, size: int, write: Write) -> None:
        """Have it written in turn, and known here until then; given up where too much is waiting already."""
        if len(self._unwritten) >= MOST_UNWRITTEN or self._unwritten_bytes + size > MOST_UNWRITTEN_BYTES:
            self.faults += 1
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

    async def _put(
        self,
        key: bytes,
        names: tuple[bytes, ...],
        selected: bytes,
        data: bytes,
        lasts_ms: int,
        tags: tuple[bytes, ...],
    ) -> None:
        name = _name(b"a", key)
        groups = [_name(b"t", tag) for tag in tags]
        if not names and not groups:
            await self._redis.set(name, data, px=lasts_ms)
            return
        pipeline = self._redis.pipeline(transaction=False)
        if names:
            pointer = await self._pointer(name, names)
            pipeline.set(name, pack(pointer), px=lasts_ms)
            name = _name(b"v", pointer.prefix + selected)
            groups.append(_name(b"k", pointer.prefix))
        pipeline.set(name, data, px=lasts_ms)
        seconds, microseconds = await self._redis.time()
        now_ms = seconds * 1000 + microseconds // 1000
        for group in groups:  # its members leave it when they end: it never holds more than there is
            pipeline.zremrangebyscore(group, "-inf", now_ms)
            pipeline.zadd(group, {name: now_ms + lasts_ms})
            pipeline.pexpire(group, lasts_ms, nx=True)
            pipeline.pexpire(group, lasts_ms, gt=True)
        await pipeline.execute()

    async def _pointer(self, name: bytes, names: tuple[bytes, ...]) -> Pointer:
        """The one that is there if it says the same, else a new one, through which nothing older is found."""
        found = await self._get(name)
        if isinstance(found, Pointer) and found.names == names:
            return found
        return Pointer(names, secrets.token_hex(8).encode() + b"\n")

    async def _drop(self, key: bytes) -> int:
        name = _name(b"a", key)
        found = await self._get(name)
        if found is None:
            return 0
        await self._redis.unlink(name)
        return await self._drop_group(_name(b"k", found.prefix)) if isinstance(found, Pointer) else 1

    async def _drop_group(self, group: bytes) -> int:
        members = [_raw(name) for name in await self._redis.zrange(group, 0, -1)]
        await self._redis.unlink(group)
        gone = 0
        for start in range(0, len(members), SCANNED):
            gone += await self._redis.unlink(*members[start : start + SCANNED])
        return gone

    async def _clear(self) -> int:
        gone = 0
        cursor: Any = 0
        while True:
            cursor, names = await self._redis.scan(cursor, match=_PREFIX + b"*", count=SCANNED)
            if names:
                await self._redis.unlink(*names)
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
