"""A site behind a caching proxy: a server whose answers a test writes down, a client, and a clock that a test turns."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from tests.integration.harness import Message, Proxy, RawServer, Wire, connect, get, http_route, ok, proxy
from wsproxy.cache.cache import Cache

Answerer = Callable[[Message], Awaitable[bytes]]


class Site:
    """seen: the requests that came to the server, in order. answer: what it sends, from now on; b"" drops the client.

    now: the cache's time.
    """

    def __init__(self) -> None:
        self.seen: list[Message] = []
        self.answer: bytes | Answerer = ok(b"fine", b"Cache-Control: max-age=60")
        self.now = 1_800_000_000.0
        self.proxy: Proxy | None = None
        self._wires: list[Wire] = []

    @property
    def cache(self) -> Cache:
        assert self.proxy is not None
        cache = self.proxy.application.routes.caching.cache
        assert cache is not None
        return cache

    @property
    def results(self) -> dict[str, int]:
        """What the cache counted."""
        return dict(self.cache.totals.results)

    async def serve(self, wire: Wire) -> None:
        """One connection of the server."""
        self._wires.append(wire)
        while True:
            request = await wire.request()
            self.seen.append(request)
            answer = self.answer if isinstance(self.answer, bytes) else await self.answer(request)
            if not answer:
                return
            await wire.send(answer)

    def break_off(self) -> None:
        """Reset the server's connections."""
        for wire in self._wires:
            wire.reset()

    def port(self) -> int:
        assert self.proxy is not None
        return self.proxy.port

    async def fetch(self, target: bytes = b"/", *lines: bytes, method: bytes = b"GET", body: bytes = b"") -> Message:
        """One request over a connection of its own."""
        request = get(target, *lines, *([b"Content-Length: %d" % len(body)] if body else []))
        async with await connect(self.port()) as client:
            await client.send(request.replace(b"GET", method, 1) + body)
            return await client.response(method)


@asynccontextmanager
async def site(cache: str = "", route: str = "", frontend: str = "", more: str = "") -> AsyncIterator[Site]:
    """A caching proxy with these lines in [cache], in [http] and in [frontend], before a server."""
    served = Site()
    async with RawServer(served.serve) as server:
        lines = f"cache = yes\nserver1_max_workers = 20\n{route}"
        text = f"{http_route(server.port, lines=lines)}\n{more}[cache]\n{cache}\n"
        async with proxy(text, frontend) as running:
            served.proxy = running
            served.cache.clock = lambda: served.now
            yield served


def status_of(message: Message) -> bytes:
    """What Cache-Status says behind the proxy's name."""
    value = message.field(b"cache-status") or b""
    return value.removeprefix(b"wsproxy; ")
