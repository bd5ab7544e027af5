"""The cache of a process: its store, what is under way, and what it has done; the routes that use it share it.

Knows how answers are kept, not how a request comes to one. `run` holds what nobody waits for.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from typing import Final

from wsproxy.cache.asked import AskedReader
from wsproxy.cache.eviction import BoundedMap
from wsproxy.cache.flights import Flights
from wsproxy.cache.freshness import Defaults
from wsproxy.cache.selecting import key_of
from wsproxy.cache.store import MemoryStore, Store
from wsproxy.cache.stored import OVERHEAD_BYTES, StoredAnswer
from wsproxy.cache.totals import CacheTotals
from wsproxy.config.cache_settings import CacheSettings
from wsproxy.exchange import ResponseFilter
from wsproxy.http.codec import with_line
from wsproxy.http.messages import ResponseHead, field_values

MOST_BACKGROUND: Final = 64
"""Fetches that nobody waits for, at a time: a stale answer goes on being used when there are more."""

FILLING_PART: Final = 4
"""The copies in the making may take a quarter of the room: a thousand slow downloads must not take what one may."""


CODED_PART: Final = 8
"""Compressed copies of answers may take an eighth more."""


MOST_TOLD: Final = 2000
"""Changes that other processes may learn of late; of more the oldest are not told."""


MOST_PASSES: Final = 512
"""Heads of answers that are remembered as not to be kept; with the next one two megabytes at most."""
LONGEST_PASS_BYTES: Final = 4096


class Passes:
    """Fields of answers that are not kept: servers repeat them, at least within a second."""

    def __init__(self) -> None:
        self._known: set[bytes] = set()

    def knows(self, fields: bytes) -> bool:
        """Whether answers with just these fields are not kept."""
        return fields in self._known

    def add(self, fields: bytes) -> None:
        """They are not, whoever asks."""
        if len(fields) <= LONGEST_PASS_BYTES:
            if len(self._known) >= MOST_PASSES:
                self._known.clear()
            self._known.add(fields)


class Cache:
    """What is kept and what is being fetched. memory: the store where that is this process's memory, else None.

    route_names: of the routes that use it. defaults: for answers that do not say. passes: which answers are not kept.
    """

    def __init__(self, settings: CacheSettings, store: Store, clock: Callable[[], float] = time.time) -> None:
        self.clock = clock
        self.store = store
        self.flights = Flights()
        self.totals = CacheTotals()
        self.route_names: set[str] = set()
        self._coded: BoundedMap[tuple[StoredAnswer, bytes]] = BoundedMap(settings.max_size_bytes // CODED_PART)
        self._told: deque[bytes] | None = None  # nobody has asked yet
        self._filling_bytes = 0
        self._background: asyncio.TaskGroup | None = None
        self._running = 0
        self.use(settings)

    def use(self, settings: CacheSettings) -> None:
        """Take over other settings; another kind of store, or another place of it, needs another cache."""
        self.settings = settings
        self.asked = AskedReader(settings.obey_clients)
        self.passes = Passes()
        self.defaults = Defaults(
            ttl_s=settings.default_ttl_s,
            heuristic=settings.heuristic,
            stale_while_revalidate_s=settings.stale_while_revalidate_s or 0.0,
            stale_if_error_s=settings.stale_if_error_s or 0.0,
        )
        self.methods = frozenset(method.encode("ascii") for method in settings.methods) - _methods(settings)
        self.ignored_paths = tuple(path.encode("ascii") for path in settings.cache_ignore if path.startswith("/"))
        if self.memory is not None:
            self.memory.resize(settings.max_size_bytes)
        self._coded.resize(settings.max_size_bytes // CODED_PART)

    @property
    def memory(self) -> MemoryStore | None:
        """The store, where it can be asked without a wait."""
        return self.store if isinstance(self.store, MemoryStore) else None

    # What is under way.

    def fill(self, size: int) -> bool:
        """Take room for a copy in the making; False when there is none."""
        if self._filling_bytes + size > max(self.settings.max_size_bytes // FILLING_PART, MIN_FILLING_BYTES):
            return False
        self._filling_bytes += size
        return True

    def empty(self, size: int) -> None:
        """Give it back."""
        self._filling_bytes -= size

    async def run(self) -> None:
        """Fetch what nobody waits for, until cancelled."""
        try:
            async with asyncio.TaskGroup() as self._background:
                self._background.create_task(self.store.run())
                await asyncio.get_running_loop().create_future()
        finally:
            self._background = None

    def start(self, fetch: Coroutine[None, None, None]) -> bool:
        """Have it done by nobody's request; False when there is too much of that already, or no end in sight."""
        if self._background is None or self._running >= MOST_BACKGROUND:
            fetch.close()
            return False
        self._running += 1
        self.totals.background += 1
        self._background.create_task(fetch).add_done_callback(self._one_less)
        return True

    def _one_less(self, _: asyncio.Task[None]) -> None:
        self._running -= 1

    # What a route's filters make of it.

    def coded(
        self, answer: StoredAnswer, response: ResponseHead, body: bytes, through: ResponseFilter
    ) -> tuple[ResponseHead, bytes]:
        """A reply as it comes out of a filter; what a compression makes of a whole body is kept for the next time."""
        shown = through.begin(response)
        if shown is None or not body:
            through.abort()
            return shown or response, b""
        coding = b"".join(field_values(shown.fields, b"content-encoding"))
        key = b"%d %b" % (id(answer), coding)
        known = self._coded.get(key) if body is answer.body else None
        if known is not None and known[0] is answer:
            through.abort()
            out = known[1]
        else:
            out = through.feed(body) + through.end()
            if body is answer.body:
                self._coded.put(key, (answer, out), len(out) + OVERHEAD_BYTES)
        told = with_line(shown, b"Content-Length: %d\r\n" % len(out))
        told.length = len(out)
        return told, out

    # What changes.

    def changed(self, scheme: bytes, authority: bytes, targets: Iterable[bytes]) -> None:
        """A request has changed what these URLs stand for: no answer of theirs is used any more."""
        for target in targets:
            for name in self.route_names:
                key = key_of(name, scheme, authority, target)
                self.store.forget(key)
                if self._told is not None:
                    self._told.append(key)

    def keep_only(self, route_names: set[str]) -> None:
        """No other routes use the cache any more: let what they keep in memory go, as nobody sees it change."""
        for name in self.route_names - route_names:
            self.route_names.discard(name)
            if self.memory is not None:
                self.memory.drop_route(name)

    def take_changes(self) -> list[bytes]:
        """The keys of what has changed since this was last asked, for other processes that keep answers too."""
        told, self._told = self._told or (), deque(maxlen=MOST_TOLD)
        return list(told)

    # What an operator asks.

    async def purge(self, url: str | None = None, tag: str | None = None) -> int:
        """Let the answers of a URL and those with a tag go, without either all; how many they were.

        Raises ValueError for what is no URL, StoreFaultError.
        """
        purged = 0
        for key in self._keys_of(url) if url is not None else ():
            purged += await self.store.drop(key)
        if tag is not None:
            purged += await self.store.drop_tag(tag.encode())
        if url is None and tag is None:
            purged = await self.store.clear()
        self.totals.purged += purged
        return purged

    def _keys_of(self, url: str) -> list[bytes]:
        scheme, separator, rest = url.partition("://")
        authority, slash, target = rest.partition("/")
        if scheme not in ("http", "https") or not separator or not authority or not rest.isascii():
            raise ValueError("write http://host/path or https://host/path")
        path = (slash + target or "/").partition("#")[0].encode()
        return [key_of(name, scheme.encode(), authority.encode(), path) for name in self.route_names]


def _methods(settings: CacheSettings) -> set[bytes]:
    return {word.encode("ascii") for word in settings.cache_ignore if not word.startswith("/")}


MIN_FILLING_BYTES: Final = 64 * 1024
"""Even the smallest cache can take a usual answer."""
