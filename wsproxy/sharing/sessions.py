"""Which server named a session, in Redis: so that a client may come to another instance, or process, and still be led
to its server.

Knows the Redis client. What a server names is written down beside the traffic; a session that is not known here is
asked for. A Redis that is slow or gone costs nobody a request: what it would have known counts as unknown, and nobody
asks until it is back.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import anyio

if TYPE_CHECKING:
    from redis.asyncio import Redis

TTL_S: Final = 3600
"""How long a session is remembered after it was named or last asked for: longer than any that polls is away."""
TIMEOUT_S: Final = 0.25
"""The longest that a request waits for Redis: an answer within one network comes in under 1 ms."""
LOOK_EVERY_S: Final = 1.0
"""How often it is looked, after a fault, whether Redis is back."""
WARN_EVERY_S: Final = 60.0
MOST_WAITING: Final = 4096
"""Names that wait to be written down; what comes on top stays unknown to the others."""

_logger = logging.getLogger("wsproxy.sharing")


class SharedSessions:
    """The sessions on one Redis server. faults: how often it did not answer."""

    def __init__(self, url: str) -> None:
        self.faults = 0
        self._url = url
        self._client: Redis | None = None
        self._waiting: list[tuple[bytes, str]] = []
        self._wake = asyncio.Event()
        self._is_up = False
        self._warned_at = -WARN_EVERY_S

    async def backend_of(self, group: str, session: bytes) -> str:
        """The name of the server of `group` that named it, "" where nobody knows."""
        client = self._client
        if client is None or not self._is_up:
            return ""
        try:
            async with asyncio.timeout(TIMEOUT_S):
                found = await client.getex(_key(group, session), ex=TTL_S)
        except Exception as error:  # noqa: BLE001 - whatever the client meets: it is no reason to fail a request
            self._fail(error)
            return ""
        return found.decode("utf-8", "replace") if isinstance(found, bytes) else ""

    def note(self, group: str, session: bytes, backend: str) -> None:
        """A server has named a session. Never waits."""
        if self._is_up and len(self._waiting) < MOST_WAITING:
            self._waiting.append((_key(group, session), backend))
            self._wake.set()

    async def run(self) -> None:
        """Keep the connection and write down what is named, until cancelled."""
        from redis.asyncio import Redis
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff

        once_more = Retry(NoBackoff(), 1)  # an idle connection may have been closed
        client = Redis.from_url(self._url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S, retry=once_more)
        self._client = client
        self._is_up = True
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                if self._is_up:
                    await self._write(client)
                if not self._is_up:
                    await self._wait_until_back(client)
        finally:
            self._is_up = False
            self._client = None
            with anyio.CancelScope(shield=True), anyio.move_on_after(TIMEOUT_S):
                await client.aclose()

    async def _write(self, client: Redis) -> None:
        batch, self._waiting = self._waiting, []
        try:
            async with asyncio.timeout(TIMEOUT_S), client.pipeline(transaction=False) as pipeline:
                for key, backend in batch:
                    pipeline.set(key, backend, ex=TTL_S)
                await pipeline.execute()
        except Exception as error:  # noqa: BLE001 - as above
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        self.faults += 1
        self._is_up = False
        self._waiting = []
        self._wake.set()  # whoever runs us waits until it is back
        now = asyncio.get_running_loop().time()
        if now - self._warned_at >= WARN_EVERY_S:
            self._warned_at = now
            reason = str(error) or type(error).__name__
            _logger.warning("the Redis of sticky_redis does not answer (%s): sessions of others are not known", reason)

    async def _wait_until_back(self, client: Redis) -> None:
        while not self._is_up:
            with suppress(Exception):
                await client.connection_pool.disconnect()
            await anyio.sleep(LOOK_EVERY_S)
            with suppress(Exception):
                async with asyncio.timeout(TIMEOUT_S):
                    await client.ping()
                self._is_up = True


def _key(group: str, session: bytes) -> bytes:
    return b"wsproxy:sid:%b:%b" % (group.encode(), session)
