"""The cache, seen from a client and a server: what is answered from it, what is asked anew, what is let go."""

from __future__ import annotations

import gzip

import pytest

from tests.integration.caching_site import site, status_of
from tests.integration.harness import Message, connect, eventually, get, in_loop, ok

FRESH = b"Cache-Control: max-age=60"


@in_loop
async def test_a_hit() -> None:
    async with site() as served:
        first = await served.fetch(b"/a")
        served.now += 10.4
        second = await served.fetch(b"/a")
        assert (first.body, second.body) == (b"fine", b"fine")
        assert status_of(first) == b"fwd=uri-miss; fwd-status=200; stored"
        assert status_of(second) == b"hit; ttl=49"
        assert (first.field(b"age"), second.field(b"age")) == (None, b"10")
        assert second.field(b"content-length") == b"4"
        assert second.field(b"date") is not None
        assert len(served.seen) == 1
        assert served.results == {"miss": 1, "hit": 1}


@in_loop
async def test_hits_over_one_connection_of_any_kind_of_client() -> None:
    async with site() as served:
        await served.fetch()
        async with await connect(served.port()) as client:
            for request in (get(), get(b"/", b"Accept: */*"), get().replace(b"GET", b"HEAD", 1)):
                await client.send(request)
                answer = await client.response(request.split()[0])
                assert answer.status == 200
                assert answer.field(b"connection") is None
            await client.send(b"GET / HTTP/1.0\r\nHost: site.example\r\n\r\n")
            assert b"hit" in await client.rest()
        async with await connect(served.port()) as client:
            await client.send(get(b"/", b"Connection: close"))
            assert (await client.rest()).count(b"Connection: close") == 1
        assert len(served.seen) == 1


@in_loop
async def test_pipelined_hits_come_in_order() -> None:
    async with site() as served:

        async def answer(request: Message) -> bytes:
            return ok(request.target, FRESH)

        served.answer = answer
        await served.fetch(b"/1")
        await served.fetch(b"/2")
        async with await connect(served.port()) as client:
            await client.send(get(b"/1") + get(b"/3") + get(b"/2"))
            assert [(await client.response()).body for _ in range(3)] == [b"/1", b"/3", b"/2"]


@pytest.mark.parametrize(
    "lines",
    [[], [b"Cache-Control: no-store"], [b"Cache-Control: private, max-age=60"], [FRESH, b"Vary: *"]],
)
def test_what_is_not_kept(lines: list[bytes]) -> None:
    @in_loop
    async def run() -> None:
        async with site() as served:
            served.answer = ok(b"fine", *lines)
            await served.fetch()
            assert (await served.fetch()).field(b"age") is None
            assert len(served.seen) == 2
            assert served.cache.store.entries == 0

    run()


@in_loop
async def test_a_cookie_goes_to_nobody_else() -> None:
    async with site() as served:
        served.answer = ok(b"fine", FRESH, b"Set-Cookie: id=1")
        await served.fetch(b"/a")
        await served.fetch(b"/a")
        assert len(served.seen) == 2
        served.answer = ok(b"fine", b"Cache-Control: public, max-age=60", b"Set-Cookie: id=1")
        assert (await served.fetch(b"/b")).field(b"set-cookie") == b"id=1"
        assert (await served.fetch(b"/b")).field(b"set-cookie") is None
        assert len(served.seen) == 3


@in_loop
async def test_an_answer_to_who_has_credentials_is_his() -> None:
    async with site() as served:
        await served.fetch(b"/", b"Authorization: me")
        assert (await served.fetch()).field(b"age") is None
        assert len(served.seen) == 2
        assert (await served.fetch(b"/", b"Authorization: me")).field(b"age") == b"0"  # what all may have he may too


@in_loop
async def test_vary() -> None:
    async with site() as served:

        async def answer(request: Message) -> bytes:
            return ok(request.field(b"accept-language") or b"-", FRESH, b"Vary: Accept-Language")

        served.answer = answer
        for language in (b"de", b"en", b"DE", b"en"):
            assert (await served.fetch(b"/", b"Accept-Language: " + language)).body == language.lower()
        assert (await served.fetch()).body == b"-"
        assert len(served.seen) == 3


@in_loop
async def test_a_stale_answer_is_confirmed() -> None:
    async with site() as served:
        served.answer = ok(b"fine", b"Cache-Control: max-age=5", b'ETag: "1"', b"A: 1")
        await served.fetch(b"/", b'If-None-Match: "0"', b"Range: bytes=90-")
        await served.fetch()
        served.now += 6
        served.answer = b'HTTP/1.1 304 Not Modified\r\nCache-Control: max-age=5\r\nETag: "1"\r\nA: 2\r\n\r\n'
        confirmed = await served.fetch(b"/", b"If-Modified-Since: Thu, 01 Jan 1970 00:00:00 GMT", b"Range: bytes=0-1")
        assert (confirmed.status, confirmed.body, confirmed.field(b"a")) == (206, b"fi", b"2")
        assert status_of(confirmed) == b"hit; fwd=stale; fwd-status=304"
        asked = served.seen[-1]
        assert asked.field(b"if-none-match") == b'"1"'
        assert asked.field(b"if-modified-since") is None
        assert asked.field(b"range") is None
        served.now += 4
        again = await served.fetch()
        assert (again.field(b"age"), again.field(b"a"), len(served.seen)) == (b"4", b"2", 2)
        assert served.results["revalidated"] == 1


@in_loop
async def test_a_stale_answer_is_replaced() -> None:
    async with site() as served:
        served.answer = ok(b"one", b"Cache-Control: max-age=5", b'ETag: "1"')
        await served.fetch()
        served.now += 6
        served.answer = ok(b"two", b"Cache-Control: max-age=5", b'ETag: "2"')
        assert (await served.fetch()).body == b"two"
        assert (await served.fetch()).field(b"etag") == b'"2"'
        assert len(served.seen) == 2
        served.now += 6
        served.answer = ok(b"three", b"Cache-Control: private")
        await served.fetch()
        assert served.cache.store.entries == 0


@in_loop
async def test_a_client_that_has_it_already() -> None:
    async with site() as served:
        served.answer = ok(b"fine", FRESH, b'ETag: W/"1"')
        await served.fetch()
        async with await connect(served.port()) as client:
            for _ in range(2):
                await client.send(get(b"/", b'If-None-Match: "0", "1"'))
                answer = await client.response()
                assert (answer.status, answer.field(b"etag"), answer.field(b"content-length")) == (304, b'W/"1"', None)
        assert len(served.seen) == 1


@in_loop
async def test_conditions_that_only_the_server_can_judge_go_there() -> None:
    async with site() as served:
        await served.fetch()
        await served.fetch(b"/", b'If-Match: "1"')
        assert len(served.seen) == 2
        assert served.results["bypass"] == 1


@in_loop
async def test_ranges_of_what_is_kept() -> None:
    async with site() as served:
        served.answer = ok(b"0123456789", FRESH, b'ETag: "1"')
        await served.fetch()
        part = await served.fetch(b"/", b"Range: bytes=-3")
        assert (part.status, part.body, part.field(b"content-range")) == (206, b"789", b"bytes 7-9/10")
        none = await served.fetch(b"/", b"Range: bytes=10-")
        assert (none.status, none.field(b"content-range")) == (416, b"bytes */10")
        whole = await served.fetch(b"/", b"Range: bytes=0-1", b'If-Range: "0"')
        assert (whole.status, whole.body) == (200, b"0123456789")
        assert len(served.seen) == 1


@in_loop
async def test_a_part_from_the_server_is_passed_and_not_kept() -> None:
    async with site() as served:
        served.answer = (
            b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-1/10\r\nContent-Length: 2\r\n%b\r\n\r\n01" % FRESH
        )
        assert (await served.fetch(b"/", b"Range: bytes=0-1")).status == 206
        served.answer = ok(b"0123456789", FRESH)
        assert (await served.fetch()).body == b"0123456789"


@in_loop
async def test_an_answer_without_a_length_gets_one() -> None:
    async with site() as served:
        chunks = b"2\r\nfi\r\n2\r\nne\r\n0\r\n\r\n"
        served.answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n%b\r\n\r\n%b" % (FRESH, chunks)
        assert (await served.fetch()).body == b"fine"
        hit = await served.fetch()
        assert (hit.body, hit.field(b"content-length"), hit.field(b"transfer-encoding")) == (b"fine", b"4", None)
        head = await served.fetch(method=b"HEAD")
        assert head.field(b"content-length") == b"4"
        assert len(served.seen) == 1


@in_loop
async def test_what_breaks_off_is_not_kept() -> None:
    async with site() as served:

        async def answer(_: Message) -> bytes:
            return b"" if len(served.seen) > 1 else b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n%b\r\n\r\nfine" % FRESH

        served.answer = answer
        async with await connect(served.port()) as client:
            await client.send(get(b"/a"))
            await client.until(b"fine")
            served.break_off()
            await client.rest()
        assert served.cache.store.entries == 0
        assert served.cache._filling_bytes == 0


@in_loop
async def test_an_answer_that_is_too_large_is_passed_through() -> None:
    async with site("max_entry_size = 1k\nmax_size = 64k") as served:
        for answer in (
            ok(b"x" * 2000, FRESH),
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n%b\r\n\r\n7d0\r\n%b\r\n0\r\n\r\n" % (FRESH, b"x" * 2000),
        ):
            served.answer = answer
            for _ in range(2):
                assert (await served.fetch()).body == b"x" * 2000
        assert len(served.seen) == 4
        assert served.cache.store.entries == 0
        assert served.cache._filling_bytes == 0


@pytest.mark.parametrize("method", [b"POST", b"PUT", b"DELETE", b"PATCH", b"M-SEARCH"])
def test_a_change_lets_go_what_it_changes(method: bytes) -> None:
    @in_loop
    async def run() -> None:
        async with site() as served:
            for target in (b"/a", b"/b", b"/c", b"/d"):
                await served.fetch(target)
            served.answer = ok(b"", b"Location: /b", b"Content-Location: http://site.example/c")
            await served.fetch(b"/a", method=method, body=b"x")
            served.answer = ok(b"new", FRESH)
            found = [(await served.fetch(target)).body for target in (b"/a", b"/b", b"/c", b"/d")]
            assert found == [b"new", b"new", b"new", b"fine"]

    run()


@in_loop
async def test_a_change_that_failed_changes_nothing() -> None:
    async with site() as served:
        await served.fetch()
        served.answer = b"HTTP/1.1 409 Conflict\r\nContent-Length: 0\r\n\r\n"
        await served.fetch(method=b"POST", body=b"x")
        assert (await served.fetch()).body == b"fine"
        served.answer = ok()
        await served.fetch(method=b"OPTIONS")
        assert (await served.fetch()).body == b"fine"


@in_loop
async def test_an_answer_to_head_freshens_or_unmasks() -> None:
    async with site() as served:
        served.answer = ok(b"fine", b"Cache-Control: max-age=5", b'ETag: "1"', b"A: 1")
        await served.fetch()
        served.now += 6
        served.answer = ok(b"fine", b"Cache-Control: max-age=50", b'ETag: "1"', b"A: 2").removesuffix(b"fine")
        assert (await served.fetch(method=b"HEAD")).field(b"a") == b"2"
        assert (await served.fetch()).field(b"a") == b"2"
        assert len(served.seen) == 2
        served.now += 60
        served.answer = ok(b"finer", b"Cache-Control: max-age=50", b'ETag: "2"').removesuffix(b"finer")
        await served.fetch(method=b"HEAD")
        assert served.cache.store.entries == 0


@in_loop
async def test_what_clients_may_ask_for() -> None:
    async with site() as served:
        assert (await served.fetch(b"/", b"Cache-Control: only-if-cached")).status == 504
        await served.fetch(b"/", b"Cache-Control: no-store")
        await served.fetch()
        assert len(served.seen) == 2
        await served.fetch(b"/", b"Cache-Control: no-cache")
        assert len(served.seen) == 3
        served.now += 50
        assert (await served.fetch(b"/", b"Cache-Control: max-age=10")).field(b"age") is None
        served.now += 61
        assert (await served.fetch(b"/", b"Cache-Control: max-stale=10")).field(b"age") == b"61"
        assert len(served.seen) == 4


@in_loop
async def test_clients_that_are_not_obeyed() -> None:
    async with site("obey_clients = no") as served:
        await served.fetch()
        assert (await served.fetch(b"/", b"Cache-Control: no-cache")).field(b"age") == b"0"


@in_loop
async def test_a_default_lifetime_and_what_is_left_alone() -> None:
    async with site("default_ttl = 10s\ncache_ignore = /me /cart\n  HEAD") as served:
        served.answer = ok(b"fine")
        for target in (b"/a", b"/a", b"/me/x", b"/me/x"):
            await served.fetch(target)
        await served.fetch(b"/a", method=b"HEAD")
        assert [request.target for request in served.seen] == [b"/a", b"/me/x", b"/me/x", b"/a"]
        assert served.results == {"miss": 1, "hit": 1, "bypass": 3}


@in_loop
async def test_a_route_overrules_its_servers() -> None:
    async with site(route="cache_control = public, max-age=30\n") as served:
        served.answer = ok(b"fine", b"Cache-Control: no-store", b"Expires: 0")
        first = await served.fetch()
        assert (first.values(b"cache-control"), first.field(b"expires")) == ([b"public, max-age=30"], None)
        assert (await served.fetch()).field(b"age") == b"0"
        served.answer = b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\nCache-Control: no-store\r\n\r\n"
        assert (await served.fetch(b"/b")).values(b"cache-control") == [b"no-store"]


@in_loop
async def test_what_is_edited_is_not_kept_edited() -> None:
    async with site(frontend="via = edge") as served:
        for _ in range(2):
            answer = await served.fetch()
            assert answer.values(b"via") == [b"1.1 edge"]
        assert len(served.seen) == 1


@in_loop
async def test_hosts_and_routes_share_nothing() -> None:
    async with site() as served:
        await served.fetch()
        async with await connect(served.port()) as client:
            await client.send(get().replace(b"site.example", b"other.example"))
            assert (await client.response()).field(b"age") is None
        async with await connect(served.port()) as client:
            await client.send(get().replace(b"site.example", b"SITE.example"))
            assert (await client.response()).field(b"age") == b"0"


@in_loop
async def test_memory_is_bounded() -> None:
    async with site("max_size = 64k\nmax_entry_size = 8k") as served:
        served.answer = ok(b"x" * 3000, FRESH)
        for number in range(60):
            await served.fetch(b"/%d" % number)
            assert served.cache.store.used_bytes <= 64 * 1024
        assert served.cache.store.evicted > 20


@in_loop
async def test_a_large_hit_to_a_slow_client() -> None:
    async with site("max_size = 32m\nmax_entry_size = 16m") as served:
        body = bytes(range(256)) * 32 * 1024
        served.answer = ok(body, FRESH)
        await served.fetch()
        async with await connect(served.port(), ahead_bytes=64 * 1024) as client:
            await client.send(get() + get(b"/", b"Range: bytes=0-9"))
            received = b""
            while not received.endswith(b"\r\n\r\n" + body[:10]):
                received += await client.some()
            assert body in received
        assert len(served.seen) == 1


@in_loop
async def test_kept_answers_are_compressed_once_for_each_coding() -> None:
    async with site(route="compress = gzip\n") as served:
        text = b"a line of text\n" * 500
        served.answer = ok(text, FRESH, b"Content-Type: text/plain", b'ETag: "1"')
        for _ in range(3):
            answer = await served.fetch(b"/", b"Accept-Encoding: gzip")
            assert gzip.decompress(answer.body) == text
            assert (answer.field(b"content-encoding"), answer.field(b"etag")) == (b"gzip", b'W/"1"')
        assert len(served.cache._coded) == 1
        plain = await served.fetch()
        assert (plain.body, plain.field(b"content-encoding"), plain.field(b"etag")) == (text, None, b'"1"')
        assert (await served.fetch(b"/", b"Accept-Encoding: gzip", b'If-None-Match: W/"1"')).status == 304
        part = await served.fetch(b"/", b"Accept-Encoding: gzip", b"Range: bytes=0-3")
        assert (part.status, part.body) == (206, text[:4])
        head = await served.fetch(b"/", b"Accept-Encoding: gzip", method=b"HEAD")
        assert head.field(b"content-encoding") == b"gzip"
        assert len(served.seen) == 1


@in_loop
async def test_kept_answers_are_edited_as_those_of_their_server() -> None:
    lines = "rewrite_redirects = yes\nadd_header = X-Server: {backend}\n"
    async with site(route=lines) as served:
        assert served.proxy is not None
        server = next(iter(served.proxy.application.groups["http"].group.backends)).encode()
        moved = b"HTTP/1.1 301 Moved\r\nContent-Length: 0\r\nLocation: http://%b/b\r\n%b\r\n\r\n"
        served.answer = moved % (server, FRESH)
        for _ in range(2):
            answer = await served.fetch(b"/a")
            assert answer.field(b"location") == b"/b"
            assert answer.field(b"x-server") == server
        assert len(served.seen) == 1


@in_loop
async def test_kept_answers_bind_no_client() -> None:
    async with site(route="sticky = cookie\n") as served:
        assert (await served.fetch()).field(b"set-cookie") is not None
        assert (await served.fetch()).field(b"set-cookie") is None


@in_loop
async def test_vary_means_what_the_server_saw() -> None:
    async with site(route="set_request_header = X-Country: de\n") as served:
        served.answer = ok(b"fine", FRESH, b"Vary: X-Country")
        await served.fetch(b"/", b"X-Country: en")
        assert (await served.fetch(b"/", b"X-Country: fr")).field(b"age") == b"0"


@in_loop
async def test_what_varies_by_the_client_itself_is_not_kept() -> None:
    async with site() as served:
        served.answer = ok(b"fine", FRESH, b"Vary: X-Forwarded-For")
        await served.fetch()
        assert (await served.fetch()).field(b"age") is None


@in_loop
async def test_several_parts_of_what_is_kept() -> None:
    async with site() as served:
        served.answer = ok(b"0123456789", FRESH)
        await served.fetch()
        parts = await served.fetch(b"/", b"Range: bytes=0-1,8-9")
        assert parts.status == 206
        assert (parts.field(b"content-type") or b"").startswith(b"multipart/byteranges")
        assert b"01" in parts.body
        assert b"89" in parts.body


@in_loop
async def test_a_host_that_a_trusted_proxy_names_counts() -> None:
    async with site(frontend="trusted_proxies = 127.0.0.1") as served:
        await served.fetch(b"/", b"X-Forwarded-Host: a.example")
        assert (await served.fetch(b"/", b"X-Forwarded-Host: b.example")).field(b"age") is None
        assert (await served.fetch(b"/", b"X-Forwarded-Host: a.example")).field(b"age") == b"0"
        assert (await served.fetch(b"/", b"X-Forwarded-Proto: https")).field(b"age") is None
        assert len(served.seen) == 3


@in_loop
async def test_a_client_that_left_before_its_hit() -> None:
    async with site() as served:
        await served.fetch()
        assert served.proxy is not None
        for _ in range(20):
            async with await connect(served.port()) as client:
                await client.send(get() * 3)
                client.reset()
        await eventually(lambda: served.proxy is not None and served.proxy.sessions == 0)
        assert len(served.seen) == 1
