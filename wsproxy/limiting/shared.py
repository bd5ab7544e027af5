"""Token buckets in Redis, which several instances share: one script takes a token from each bucket, or from none.

Knows the Redis client. Requests that come together go together, in one pipeline over one connection. A limit protects
servers, so a Redis that is slow or gone must not take them away: requests pass then, uncounted, and nobody asks until
it is back.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import anyio

if TYPE_CHECKING:
    from redis.asyncio import Redis

TIMEOUT_S: Final = 0.25
"""The longest that requests wait for Redis: an answer within one network comes in under 1 ms."""
LOOK_EVERY_S: Final = 1.0
"""How often it is looked, after a fault, whether Redis is back."""
WARN_EVERY_S: Final = 60.0
MOST_AT_ONCE: Final = 512
"""Requests in one pipeline: the script takes 10 us for each, so that others of that Redis wait 5 ms at most."""
MOST_WAITING: Final = 8192
"""Requests that may wait for it; what comes on top passes uncounted."""

SCRIPT: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local full_at, spare = {}, {}
for i, key in ipairs(KEYS) do
  local token, full = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
  local lacks = math.max(tonumber(redis.call('GET', key) or '0') - now, 0)
  if lacks > full then lacks = full end
  spare[i] = math.floor(full - lacks - token)
  if spare[i] < 0 then
    if lacks == full then
      redis.call('SET', key, string.format('%.0f', now + full), 'PX', math.ceil(full / 1000) + 1)
    end
    return spare
  end
  full_at[i] = lacks + token
end
for i, key in ipairs(KEYS) do
  redis.call('SET', key, string.format('%.0f', now + full_at[i]), 'PX', math.ceil(full_at[i] / 1000) + 1)
end
return spare
"""
"""The same arithmetic as `protection.rate_limit`, in whole microseconds of the server's clock; the names of the buckets
are the keys, token and filling time of each the arguments. A number with more than 14 digits has to be formatted."""

_logger = logging.getLogger("wsproxy.limits")


@dataclass(slots=True)
class _Question:
    """One request that waits: the arguments of the script, and who is told."""

    arguments: list[bytes | int]
    keys: int
    answer: asyncio.Future[list[float] | None]


class SharedBuckets:
    """The buckets on one Redis server. faults: how often it did not answer."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._waiting: list[_Question] = []
        self._wake = asyncio.Event()
        self._is_up = True
        self._warned_at = -WARN_EVERY_S
        self._sha = ""
        self.faults = 0

    @property
    def is_open(self) -> bool:
        """Whether it is worth asking: not after a fault, until Redis is back, nor while too many wait."""
        return self._is_up and len(self._waiting) < MOST_WAITING

    def take(self, keys: list[bytes], limits: list[tuple[float, float]]) -> Awaitable[list[float] | None]:
        """Take a token from each bucket, or from none: see `gate.SharedCounts`."""
        arguments: list[bytes | int] = [*keys]
        for token_s, full_s in limits:
            token = max(1, round(token_s * 1e6))
            arguments += (token, round(token * full_s / token_s))  # so many tokens, not nearly so many
        question = _Question(arguments, len(keys), asyncio.get_running_loop().create_future())
        self._waiting.append(question)
        self._wake.set()
        return question.answer

    async def run(self) -> None:
        """Ask Redis until cancelled."""
        from redis.asyncio import Redis
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff

        once_more = Retry(NoBackoff(), 1)  # an idle connection may have been closed
        client = Redis.from_url(self._url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S, retry=once_more)
        try:
            while True:
                await self._wake.wait()
                batch, self._waiting = self._waiting[:MOST_AT_ONCE], self._waiting[MOST_AT_ONCE:]
                if not self._waiting:
                    self._wake.clear()
                _answer(batch, await self._ask(client, batch))
                if not self._is_up:
                    await self._wait_until_back(client)
        finally:
            self._is_up = False
            self._let_all_pass()
            with anyio.CancelScope(shield=True), anyio.move_on_after(TIMEOUT_S):
                await client.aclose()

    async def _ask(self, client: Redis, batch: list[_Question]) -> list[list[float] | None]:
        """What Redis says to each; nothing, and all that wait pass, where it does not answer."""
        try:
            async with asyncio.timeout(TIMEOUT_S):
                results = await self._run_script(client, batch)
            return [[microseconds / 1e6 for microseconds in result] for result in results]
        except Exception as error:  # noqa: BLE001 - whatever the client meets: no limit may take the servers away
            self._is_up = False
            self.faults += 1
            self._let_all_pass()
            now = asyncio.get_running_loop().time()
            if now - self._warned_at >= WARN_EVERY_S:
                self._warned_at = now
                reason = str(error) or type(error).__name__
                _logger.warning("the Redis of rate_limit_store does not answer (%s): requests pass uncounted", reason)
            return [None] * len(batch)

    async def _run_script(self, client: Redis, batch: list[_Question]) -> list[Any]:
        from redis.exceptions import NoScriptError

        for is_last in (False, True):
            if is_last or not self._sha:  # a server that is new to us, or was started again
                self._sha = str(await client.script_load(SCRIPT))
            async with client.pipeline(transaction=False) as pipeline:
                for question in batch:
                    pipeline.evalsha(self._sha, question.keys, *question.arguments)
                results: list[Any] = await pipeline.execute(raise_on_error=False)
            errors = [result for result in results if isinstance(result, Exception)]
            if errors and (is_last or not isinstance(errors[0], NoScriptError)):
                raise errors[0]
            if not errors:
                break
        return results

    async def _wait_until_back(self, client: Redis) -> None:
        while not self._is_up:
            with suppress(Exception):
                await client.connection_pool.disconnect()  # one that was given up may still have old answers to give
            await anyio.sleep(LOOK_EVERY_S)
            with suppress(Exception):
                async with asyncio.timeout(TIMEOUT_S):
                    await client.ping()
                self._is_up = True

    def _let_all_pass(self) -> None:
        _answer(self._waiting, [None] * len(self._waiting))
        self._waiting = []
        self._wake.clear()


def _answer(questions: list[_Question], answers: Sequence[list[float] | None]) -> None:
    for question, answer in zip(questions, answers, strict=True):
        if not question.answer.done():
            question.answer.set_result(answer)
