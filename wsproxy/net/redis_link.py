"""The way to one Redis server, for all that keep something there: each question has its time, and a server that fails
is left alone until it is back.

Knows the Redis client, and no key or command of those who ask but PING. An outage is two lines in the log: what it
costs, and that it is over. No line repeats a password, a key or a value.
"""

from __future__ import annotations

import asyncio
import logging
import random
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar
from urllib.parse import unquote, urlsplit

import anyio

from wsproxy.protection.outage import TRIAL_S, OutageState

if TYPE_CHECKING:
    from redis.asyncio import Redis

T = TypeVar("T")

TIMEOUT_S: Final = 0.25
"""The longest that a request waits for Redis: an answer within one network comes in under 1 ms."""
LAST_WORDS_S: Final = 0.25
"""How long connections may take to close at the end."""
MOST_REASON: Final = 200
"""Characters of what the server says of a fault."""

_QUOTED_COMMAND: Final = re.compile(r"Command # \d+ \(.*\) of pipeline caused error: ", re.DOTALL)
"""The client repeats the whole command, with keys that name sessions and values that are pages."""
_QUOTED_ARGUMENTS: Final = re.compile(r",? with args beginning with:.*", re.DOTALL)
"""So does a server that does not know one."""

_logger = logging.getLogger("wsproxy.redis")


class RedisFaultError(Exception):
    """The server did not answer, or not in time, or is not asked at the moment; the text says why, and no secret."""


@dataclass(frozen=True, slots=True)
class RedisLinkSettings:
    """Where the server is, and what it is for.

    url: redis://, rediss:// or unix://. used_for: the ini key that names it. without_it: what happens in an outage, for
    the log. timeout_s: of each question. connections: at a time, at most.
    """

    url: str
    used_for: str
    without_it: str
    timeout_s: float = TIMEOUT_S
    connections: int = 1


class RedisLink:
    """Asks one server.

    server: its URL without secrets. faults: questions that it did not answer in time, or not well.
    """

    def __init__(self, settings: RedisLinkSettings, rng: Callable[[], float] = random.random) -> None:
        self._settings = settings
        self._rng = rng
        self.used_for = settings.used_for
        self.server = shown_url(settings.url)
        self._name = f"the Redis of {self.used_for} ({self.server})"
        self._outage = OutageState()
        self._failed = asyncio.Event()
        self._client: Redis | None = None
        self.faults = 0

    @property
    def is_open(self) -> bool:
        """Whether it is worth asking: not after a fault, until the server is back."""
        return self._outage.is_open

    async def ask(self, question: Callable[[Redis], Awaitable[T]]) -> T:
        """The answer to a question. Raises RedisFaultError: at once during an outage, which a fault begins."""
        if not self._outage.is_open:
            raise RedisFaultError("Redis does not answer")
        try:
            client = self._connected()
            async with asyncio.timeout(self._settings.timeout_s):
                return await question(client)
        except Exception as error:  # noqa: BLE001 - whatever the client meets: Redis is no reason to fail a request
            self.faults += 1
            reason = self._reason(error, self._settings.timeout_s)
            self._begin_outage(reason)
            raise RedisFaultError(f"Redis does not answer ({reason})") from None

    async def insist(self, question: Callable[[Redis], Awaitable[T]], patience_s: float) -> T:
        """The answer to what an operator waits for, asked in an outage too; that it takes long begins none.

        Raises RedisFaultError.
        """
        try:
            client = self._connected()
            async with asyncio.timeout(patience_s):
                return await question(client)
        except Exception as error:  # noqa: BLE001 - as above
            self.faults += 1
            raise RedisFaultError(f"Redis does not answer ({self._reason(error, patience_s)})") from None

    async def run(self) -> None:
        """Look after the server in outages, until cancelled; then close the connections."""
        with suppress(Exception):  # who asks will be told
            self._connected()  # its library takes longer to load than a question may
        try:
            while True:
                await self._failed.wait()
                self._failed.clear()
                await self._outlast()
        finally:
            if self._client is not None:
                with anyio.move_on_after(LAST_WORDS_S, shield=True):
                    await self._client.aclose(close_connection_pool=True)

    def _connected(self) -> Redis:
        """The client, which connects when it is asked something. Raises whatever its library says of the URL."""
        if self._client is None:
            from redis.asyncio import BlockingConnectionPool, Redis
            from redis.asyncio.retry import Retry
            from redis.backoff import NoBackoff

            pool = BlockingConnectionPool.from_url(
                self._settings.url,
                max_connections=self._settings.connections,
                timeout=None,  # the deadline of each question is ours, waiting for a connection included
                socket_timeout=None,
                socket_connect_timeout=self._settings.timeout_s,
                retry=Retry(NoBackoff(), 1),  # an idle connection may have been closed
            )
            self._client = Redis(connection_pool=pool)
        return self._client

    def _begin_outage(self, reason: str) -> None:
        if self._outage.failed(asyncio.get_running_loop().time()):
            _logger.warning("%s does not answer (%s): %s until it does", self._name, reason, self._settings.without_it)
            self._failed.set()

    async def _outlast(self) -> None:
        """Look again and again until questions went well for a while."""
        outage = self._outage
        while outage.began_at is not None:
            await anyio.sleep(outage.pause_s(self._rng()))
            if not await self._answers():
                continue
            outage.answered()
            await anyio.sleep(TRIAL_S)
            lasted_s = outage.end(asyncio.get_running_loop().time())
            if lasted_s is not None:
                _logger.info("%s answers again, after %.1f s", self._name, lasted_s)

    async def _answers(self) -> bool:
        try:
            client = self._connected()
            async with asyncio.timeout(self._settings.timeout_s):
                await client.connection_pool.disconnect(inuse_connections=False)  # those lead to what is gone
                await client.ping()
        except Exception:  # noqa: BLE001 - as above
            return False
        return True

    def _reason(self, error: Exception, waited_s: float) -> str:
        if isinstance(error, TimeoutError) and not str(error):
            return f"nothing came in {waited_s:g} s"
        return reason_of(error, self._settings.url)


def shown_url(url: str) -> str:
    """A URL without what is secret in it: no user, no password, no query."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def reason_of(error: Exception, url: str) -> str:
    """What a fault says of itself, on one short line, without words of the URL's secrets or of the commands."""
    text = _QUOTED_ARGUMENTS.sub("", _QUOTED_COMMAND.sub("", str(error)))
    parts = urlsplit(url)
    for secret in {parts.password, unquote(parts.password or ""), parts.query}:
        if secret:
            text = text.replace(secret, "***")
    return " ".join(text.split())[:MOST_REASON] or type(error).__name__
