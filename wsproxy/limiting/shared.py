"""Token buckets in Redis, which several instances share: one script takes a token from each bucket, or from none.

Knows the commands of Redis; `net.redis_link` knows how to ask. Requests that come together go together, in one pipeline
over one connection. A limit protects servers, so a Redis that is slow or gone must not take them away: requests pass
then, uncounted, and nobody asks until it is back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import anyio

from wsproxy.net.redis_link import RedisFaultError, RedisLink, RedisLinkSettings

if TYPE_CHECKING:
    from redis.asyncio import Redis

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


@dataclass(slots=True)
class _Question:
    """One request that waits: the arguments of the script, and who is told."""

    arguments: list[bytes | int]
    keys: int
    answer: asyncio.Future[list[float] | None]


class SharedBuckets:
    """The buckets on one Redis server, to which `link` leads."""

    def __init__(self, url: str) -> None:
        self.link = RedisLink(RedisLinkSettings(url, "rate_limit_store", "requests pass uncounted"))
        self._waiting: list[_Question] = []
        self._wake = asyncio.Event()
        self._has_ended = False
        self._sha = ""

    @property
    def faults(self) -> int:
        """How often Redis did not answer."""
        return self.link.faults

    @property
    def is_open(self) -> bool:
        """Whether it is worth asking: not after a fault, until Redis is back, nor while too many wait."""
        return self.link.is_open and not self._has_ended and len(self._waiting) < MOST_WAITING

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
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self.link.run)
                while True:
                    await self._wake.wait()
                    batch, self._waiting = self._waiting[:MOST_AT_ONCE], self._waiting[MOST_AT_ONCE:]
                    if not self._waiting:
                        self._wake.clear()
                    _answer(batch, await self._ask(batch))
        finally:
            self._has_ended = True
            self._let_all_pass()

    async def _ask(self, batch: list[_Question]) -> list[list[float] | None]:
        """What Redis says to each; nothing, and all that wait pass, where it does not answer."""
        try:
            results = await self.link.ask(lambda client: self._run_script(client, batch))
        except RedisFaultError:
            self._let_all_pass()
            return [None] * len(batch)
        return [[microseconds / 1e6 for microseconds in result] for result in results]

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

    def _let_all_pass(self) -> None:
        _answer(self._waiting, [None] * len(self._waiting))
        self._waiting = []
        self._wake.clear()


def _answer(questions: list[_Question], answers: Sequence[list[float] | None]) -> None:
    for question, answer in zip(questions, answers, strict=True):
        if not question.answer.done():
            question.answer.set_result(answer)
