"""cache/route_cache.py: what is looked up without a wait goes along with its exchange, and ends with it."""

from __future__ import annotations

import asyncio
import gc
import weakref

from tests.cache.answers import NOW, head
from tests.fakes import ROUTE, in_loop, make_head, make_stream, without_collector
from tests.frontend.test_usual_request import connected, request
from wsproxy.cache.asked import Asked, AskedReader
from wsproxy.cache.cache import Cache
from wsproxy.cache.route_cache import CacheRules, RouteCache
from wsproxy.cache.store import MemoryStore
from wsproxy.config.cache_settings import CacheSettings
from wsproxy.exchange import Exchange
from wsproxy.frontend.forward import forward
from wsproxy.frontend.route import Route


class Watched(Exchange):
    """An exchange of which one can tell that it is gone."""

    __slots__ = ("__weakref__",)


class Counting(AskedReader):
    """Counts what is read of requests."""

    reads = 0

    def read(self, fields: bytes) -> Asked:
        self.reads += 1
        return super().read(fields)


async def from_server(exchange: Exchange, _: str) -> None:
    """A server that answers everybody with the target, for a minute."""
    response = exchange.edited(head("Date: {0}", "Cache-Control: max-age=60", length=len(exchange.head.target)))
    await asyncio.sleep(0)
    if exchange.filter is not None:
        exchange.filter.begin(response)
        exchange.filter.feed(exchange.head.target)
        exchange.filter.end()


def cache_of() -> Cache:
    return Cache(CacheSettings(), MemoryStore(1_000_000), lambda: NOW)


def asks(target: bytes) -> Watched:
    return Watched(make_head(target=target), None, make_stream()[0], ROUTE, b"")


@in_loop
async def test_each_of_many_goes_on_with_what_was_looked_up_for_it() -> None:
    cache = cache_of()
    cache.asked = counting = Counting()
    route: RouteCache[str] = RouteCache(CacheRules("http"), cache, from_server)
    exchanges = [asks(b"/%d" % number) for number in range(3)]
    rests = [route.at_once(exchange) for exchange in exchanges]
    for exchange, rest in list(zip(exchanges, rests, strict=True))[::-1]:
        assert rest is not None
        await rest(exchange, "http")
    assert counting.reads == len(exchanges), "once for each"
    for exchange in exchanges:
        again = asks(exchange.head.target)
        assert route.at_once(again) is None
        assert again.answered_bytes
        assert again.cache_result == "hit"


@in_loop
async def test_a_miss_that_nobody_goes_on_with_is_kept_by_nobody() -> None:
    route: RouteCache[str] = RouteCache(CacheRules("http"), cache_of(), from_server)
    with without_collector():
        exchange = asks(b"/")
        gone = weakref.ref(exchange)
        assert route.at_once(exchange) is not None
        del exchange
        assert gone() is None


@in_loop
async def test_of_a_client_that_left_before_its_turn_nothing_is_kept() -> None:
    cached: RouteCache[Route] = RouteCache(CacheRules("http"), cache_of(), forward)
    async with connected() as (client, server):
        client.route.at_once, client.route.handler = cached.at_once, cached.answer
        with without_collector():
            client.feed(request(b"/left"))
            assert len(exchanges_for(b"/left")) == 1
            client.transport.end()
            await asyncio.wait([client.task])
            assert not exchanges_for(b"/left")
        assert not server.pending
        assert client.log.targets == [b"/left"]


def exchanges_for(target: bytes) -> list[Exchange]:
    return [item for item in gc.get_objects() if isinstance(item, Exchange) and item.head.target == target]
