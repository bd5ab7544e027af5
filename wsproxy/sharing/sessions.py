"""Which server named a session, in Redis: so that a client may come to another instance, or process, and still be led
to its server.

Knows the commands of Redis; `net.redis_link` knows how to ask. What a server names is written down beside the traffic;
a session that is not known here is asked for. A Redis that is slow or gone costs nobody a request: what it would have
known counts as unknown, and nobody asks until it is back.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final

import anyio

from wsproxy.net.redis_link import RedisFaultError, RedisLink, RedisLinkSettings

if TYPE_CHECKING:
    from redis.asyncio import Redis

TTL_S: Final = 3600
"""How long a session is remembered after it was named or last asked for: longer than any that polls is away."""
MOST_WAITING: Final = 4096
"""Names that wait to be written down; what comes on top stays unknown to the others."""
CONNECTIONS: Final = 16
"""At a time: at 0.2 ms a question that is 80 000 questions a second."""


class SharedSessions:
    """The sessions on one Redis server, to which `link` leads."""

    def __init__(self, url: str) -> None:
        without_it = "sessions that other instances know are unknown"
        self.link = RedisLink(RedisLinkSettings(url, "sticky_redis", without_it, connections=CONNECTIONS))
        self._waiting: list[tuple[bytes, str]] = []
        self._wake = asyncio.Event()

    @property
    def faults(self) -> int:
        """How often Redis did not answer."""
        return self.link.faults

    async def backend_of(self, group: str, session: bytes) -> str:
        """The name of the server of `group` that named it, "" where nobody knows."""
        if not self.link.is_open:
            return ""
        try:
            found = await self.link.ask(lambda client: client.getex(_key(group, session), ex=TTL_S))
        except RedisFaultError:
            return ""
        return found.decode("utf-8", "replace") if isinstance(found, bytes) else ""

    def note(self, group: str, session: bytes, backend: str) -> None:
        """A server has named a session. Never waits."""
        if self.link.is_open and len(self._waiting) < MOST_WAITING:
            self._waiting.append((_key(group, session), backend))
            self._wake.set()

    async def run(self) -> None:
        """Keep the connection and write down what is named, until cancelled."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.link.run)
            while True:
                await self._wake.wait()
                self._wake.clear()
                batch, self._waiting = self._waiting, []
                with suppress(RedisFaultError):
                    await self.link.ask(partial(_write, batch))


async def _write(batch: list[tuple[bytes, str]], client: Redis) -> None:
    async with client.pipeline(transaction=False) as pipeline:
        for key, backend in batch:
            pipeline.set(key, backend, ex=TTL_S)
        await pipeline.execute()


def _key(group: str, session: bytes) -> bytes:
    return b"wsproxy:sid:%b:%b" % (group.encode(), session)
