"""The cache for who runs it: purges, figures, logs, reloads."""

from __future__ import annotations

import httpx

from tests.integration.admin_caller import TOKEN
from tests.integration.caching_site import Site, site
from tests.integration.harness import Message, in_loop, ok
from wsproxy.config.build import load

FRESH = b"Cache-Control: max-age=60"
ADMIN = f"[admin]\nport = 0\ntoken = {TOKEN}\n"


def caller(served: Site) -> httpx.AsyncClient:
    assert served.proxy is not None
    url = f"http://127.0.0.1:{served.proxy.application.administration.port}"
    return httpx.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {TOKEN}"}, trust_env=False)


@in_loop
async def test_purges() -> None:
    async with site(more=ADMIN) as served, caller(served) as operator:

        async def answer(request: Message) -> bytes:
            return ok(b"fine", FRESH, b"Vary: Foo", b"Cache-Tag: all, page" + request.target[1:])

        async def purge(**content: str) -> int:
            reply = await operator.post("/cache/purge", json=content)
            assert reply.status_code == 200
            purged: int = reply.json()["purged"]
            return purged

        served.answer = answer
        for target in (b"/1", b"/2", b"/3?x=y", b"/4"):
            await served.fetch(target)
        await served.fetch(b"/1", b"Foo: 1")
        assert await purge(url="http://site.example/1") == 2
        assert await purge(url="http://site.example/1") == 0
        assert await purge(url="http://SITE.example/3?x=y") == 1
        assert await purge(tag="page2") == 1
        assert (await served.fetch(b"/4")).field(b"age") == b"0"
        assert await purge(tag="all") == 1
        await served.fetch(b"/4")
        assert await purge() == 1
        assert served.cache.store.entries == 0
        for content in ({"url": "/1"}, {"url": "ftp://a/"}, {"url": "http:///x"}, {"key": "a"}):
            assert (await operator.post("/cache/purge", json=content)).status_code == 400


@in_loop
async def test_figures() -> None:
    async with site("max_size = 1m", more=ADMIN) as served, caller(served) as operator:
        await served.fetch()
        await served.fetch()
        status = (await operator.get("/status")).json()["cache"]
        assert (status["entries"], status["stored"], status["max_bytes"]) == (1, 1, 2**20)
        assert status["results"]["hit"] == 1
        metrics = (await operator.get("/metrics")).text
        assert 'wsproxy_cache_requests_total{result="hit"} 1.0' in metrics
        assert 'wsproxy_cache_requests_total{result="stale"} 0.0' in metrics
        assert "wsproxy_cache_entries 1.0" in metrics
        assert "wsproxy_cache_store_faults_total 0.0" in metrics


@in_loop
async def test_reloads_keep_what_is_kept() -> None:
    async with site() as served:
        await served.fetch()
        await reload(served, "max_size = 10m\n")
        assert (await served.fetch()).field(b"age") == b"0"
        await reload(served, "max_size = 10m\nobey_clients = no\n", "cache_control = public, max-age=7\n")
        assert (await served.fetch()).field(b"age") == b"0"
        assert (await served.fetch(b"/2")).field(b"cache-control") == b"public, max-age=7"
        await reload(served, "max_size = 64k\nmax_entry_size = 64k\n")
        assert (await served.fetch(b"/2")).field(b"age") is not None


@in_loop
async def test_a_cache_that_no_route_uses_any_more_keeps_nothing() -> None:
    async with site() as served:
        await served.fetch()
        before = served.cache
        await reload(served, "", cache="no")
        assert served.proxy is not None
        assert served.proxy.application.routes.caching.cache is None
        assert (await served.fetch()).field(b"age") is None
        await reload(served, "")
        assert served.cache is not before
        assert served.cache.store.entries == 0, "what has changed meanwhile would not have been noticed"
        for age in (None, b"0"):
            assert (await served.fetch()).field(b"age") == age


@in_loop
async def test_a_route_that_uses_the_cache_no_more_keeps_nothing_and_others_do() -> None:
    async with site() as served:
        assert served.proxy is not None
        server = served.proxy.application.config.groups[0].servers[0].address
        other = f"[http:other]\npath_prefix = /other\nserver1 = {server}\nhealth_check_interval = 1h\ncache = yes\n"
        await reload(served, "", other)
        for target in (b"/", b"/2", b"/other"):
            await served.fetch(target)
        assert served.cache.store.entries == 3
        await reload(served, "", other, cache="no")
        assert served.cache.store.entries == 1
        assert (await served.fetch()).field(b"age") is None
        await reload(served, "", other)
        assert [(await served.fetch(target)).field(b"age") for target in (b"/", b"/2", b"/other")] == [None, None, b"0"]


async def reload(served: Site, lines: str, route: str = "", cache: str = "yes") -> None:
    """Take over other lines in [cache] and in [http]."""
    assert served.proxy is not None
    application = served.proxy.application
    server = application.config.groups[0].servers[0].address
    text = (
        f"[frontend]\nhost = 127.0.0.1\nport = 0\n[log]\naccess = off\n[http]\nserver1 = {server}\n"
        f"server1_max_workers = 20\nhealth_check_interval = 1h\ncache = {cache}\n{route}[cache]\n{lines}"
    )
    application._read = lambda: load(text, "test.ini", {}, "/")
    await application.reload()
