"""Many clients at once, servers and clients that fail: nobody gets what is not his, and nothing is left over."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress

import pytest

from tests.integration.caching_site import Site, site
from tests.integration.harness import LOST, Message, connect, eventually, get, in_loop, logged, ok

CLIENTS = 25
REQUESTS = 40
FRESHNESS = (
    b"max-age=2",
    b"max-age=2, stale-while-revalidate=5",
    b"max-age=2, stale-if-error=5",
    b"max-age=2, must-revalidate",
    b"no-cache",
    b"private, max-age=9",
    b"no-store",
    b"public, max-age=1",
)


class Moody:
    """A server whose every page says what it is, for whom, and now and then something worse."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self.sent = 0

    async def __call__(self, request: Message) -> bytes:
        rng = self._rng
        self.sent += 1
        await asyncio.sleep(rng.choice((0, 0, 0.001, 0.003)))
        lines = [b"Cache-Control: " + rng.choice(FRESHNESS), b"Vary: Foo"]
        tag = b'"%b"' % request.target
        if request.field(b"if-none-match") == tag and rng.random() < 0.7:
            return b"HTTP/1.1 304 Not Modified\r\nETag: %b\r\n%b\r\n\r\n" % (tag, lines[0])
        if rng.random() < 0.05:
            return b""
        if rng.random() < 0.05:
            return b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy"
        if rng.random() < 0.05:
            lines.append(b"Set-Cookie: id=%b" % (request.field(b"user") or b""))
        if rng.random() < 0.5:
            lines.append(b"ETag: " + tag)
        body = b"%b for %b" % (request.target, request.field(b"foo") or b"-") + b"." * rng.choice((0, 0, 3000, 100_000))
        if rng.random() < 0.3:
            chunks = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
            fields = b"".join(line + b"\r\n" for line in lines)
            return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n%b\r\n%b" % (fields, chunks)
        return ok(body, *lines)


async def one_client(served: Site, number: int, rng: random.Random) -> None:
    """A few requests, some of which are left unanswered."""
    user = b"u%d" % number
    for _ in range(REQUESTS):
        served.now += rng.random() * 0.05
        target, foo = b"/%d" % rng.randrange(6), b"%d" % rng.randrange(2)
        more = rng.choice(([], [], [b"Cache-Control: no-cache"], [b"Authorization: x"], [b"Range: bytes=0-3"]))
        method = rng.choice((b"GET", b"GET", b"GET", b"GET", b"HEAD", b"POST"))
        async with await connect(served.port()) as client:
            with suppress(*LOST):
                await client.send(get(target, b"Foo: " + foo, b"User: " + user, *more).replace(b"GET", method, 1))
                if rng.random() < 0.1:
                    client.reset()
                    continue
                answer = await client.response(method)
                assert answer.field(b"set-cookie") in (None, b"id=" + user)
                if answer.status == 200 and method == b"GET":
                    assert answer.body.startswith(b"%b for %b" % (target, foo)), answer.head
                elif answer.status == 206:
                    assert answer.body == (b"%b for" % target)[:4]
                else:
                    assert answer.status in (200, 416, 502, 503), answer.head


PATIENT = "retries = 0\nqueue_timeout = 60s\nconnect_timeout = 60s\n"
"""A route whose own limits no busy machine reaches."""


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_many_at_once(seed: int) -> None:
    @in_loop
    async def run() -> None:
        rng = random.Random(seed)
        with logged() as lines:
            async with site("max_size = 256k\nmax_entry_size = 64k\nwait_timeout = 100ms\n", PATIENT) as served:
                served.answer = moody = Moody(rng)
                clients = [one_client(served, number, random.Random(seed * 1000 + number)) for number in range(CLIENTS)]
                await asyncio.gather(*clients)
                cache = served.cache
                await eventually(lambda: not len(cache.flights) and not cache._filling_bytes and not cache._running)
                assert cache.store.used_bytes <= 256 * 1024
                assert served.results["hit"] > CLIENTS
                assert moody.sent < CLIENTS * REQUESTS
        assert lines.of("ERROR") == []

    run()
