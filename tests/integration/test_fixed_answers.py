"""Routes without servers: redirects and fixed answers."""

from __future__ import annotations

import gzip

import pytest

from tests.integration.harness import connect, fetch, get, in_loop, proxy, raw_request


def redirect(target: str, path_prefix: str = "/", lines: str = "") -> str:
    return f"[http]\npath_prefix = {path_prefix}\nredirect = {target}\n{lines}"


@pytest.mark.parametrize(
    ("route", "target", "status", "location"),
    [
        (redirect("https://{host}{path}"), b"/a?b", 302, b"https://site.example/a"),
        (redirect("301 https://{host}{uri}"), b"/a?b", 301, b"https://site.example/a?b"),
        (redirect("308 https://new.example{path}?{query}"), b"/a?b=c", 308, b"https://new.example/a?b=c"),
        (redirect("308 https://new.example{path}?{query}"), b"/a", 308, b"https://new.example/a"),
        (redirect("303 /new{rest}?from=old", "/old"), b"/old/x?q", 303, b"/new/x?from=old"),
        (redirect("307 /new{rest}", "/old"), b"/old", 307, b"/new"),
        (redirect("{rest}", "/old"), b"/old//evil.example/x", 302, b"/evil.example/x"),
        (redirect("/{query}", "/old"), b"/old?/evil.example", 302, b"/evil.example"),
        (redirect("{rest}", "/old"), b"/old/%5C%5Cevil.example", 302, b"/%5C%5Cevil.example"),
    ],
)
@in_loop
async def test_redirect(route: str, target: bytes, status: int, location: bytes) -> None:
    async with proxy(route) as running:
        response = await fetch(running.port, target)
        assert (response.status, response.field(b"location")) == (status, location)
        assert response.field(b"content-length") == b"0"
        assert response.field(b"date") is not None


@in_loop
async def test_client_can_add_no_field_to_a_redirect() -> None:
    async with proxy(redirect("https://{host}{path}?{query}")) as running:
        for target in (b"/%0d%0aX-Evil:%201", b"/?%0d%0aX-Evil:%201"):
            response = await fetch(running.port, target)
            assert response.status == 302
            assert response.field(b"x-evil") is None


@in_loop
async def test_redirect_needs_a_host_to_lead_to() -> None:
    async with proxy(redirect("https://{host}{path}")) as running:
        assert (await raw_request(running.port, b"GET / HTTP/1.0\r\n\r\n")).startswith(b"HTTP/1.1 400 ")
    async with proxy(redirect("https://new.example{path}")) as running:
        assert (await raw_request(running.port, b"GET / HTTP/1.0\r\n\r\n")).startswith(b"HTTP/1.1 302 ")


@in_loop
async def test_fixed_answers_are_compressed_as_others_are() -> None:
    text = "a long text " * 200
    route = f'[http]\nrespond = 200 {text}\ncompress = gzip\nadd_header = ETag: "1"\n'
    async with proxy(route) as running, await connect(running.port) as client:
        for method in (b"GET", b"HEAD"):
            await client.send(get(b"/", b"Accept-Encoding: gzip").replace(b"GET", method, 1))
            coded = await client.response(method)
            assert (coded.field(b"content-encoding"), coded.field(b"etag")) == (b"gzip", b'W/"1"')
            assert int(coded.field(b"content-length") or 0) < 100
            if method == b"GET":
                assert gzip.decompress(coded.body) == text.strip().encode()
        await client.send(get())
        plain = await client.response()
        assert (plain.field(b"content-encoding"), plain.field(b"vary")) == (None, b"Accept-Encoding")
        assert plain.body == text.strip().encode()


@in_loop
async def test_fixed_answers_follow_each_other_on_one_connection() -> None:
    route = "[http]\nrespond = 200 hello {client_ip}\nadd_header = X-Who: {host}\nremove_header = Content-Type\n"
    async with proxy(route) as running, await connect(running.port) as client:
        post = b"POST / HTTP/1.1\r\nHost: site.example\r\nContent-Length: 3\r\n\r\nabc"
        for request in (get(), post, get(b"/any/where?at=all")):
            await client.send(request)
            response = await client.response()
            assert (response.status, response.body) == (200, b"hello 127.0.0.1")
            assert response.field(b"x-who") == b"site.example"
            assert response.field(b"content-type") is None
        await client.send(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n" + get())
        assert (await client.response(b"HEAD")).field(b"content-length") == b"15"
        assert (await client.response()).body == b"hello 127.0.0.1"


@in_loop
async def test_body_that_is_not_there_yet_ends_the_connection() -> None:
    async with proxy("[http]\nrespond = 200 hello\n") as running:
        head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n"
        answer = await raw_request(running.port, head)
        assert b"\r\nConnection: close\r\n" in answer
        assert answer.endswith(b"hello")


@pytest.mark.parametrize(
    ("respond", "head", "body"),
    [
        ("204", b"HTTP/1.1 204 No Content\r\n", b""),
        ("299 odd", b"HTTP/1.1 299 \r\n", b"odd"),
        ("418 short and stout", b"HTTP/1.1 418 I'm a Teapot\r\n", b"short and stout"),
        ("503 come again", b"HTTP/1.1 503 Service Unavailable\r\n", b"come again"),
        ('200 {"text": "{host}", "{": 1}', b"HTTP/1.1 200 OK\r\n", b'{"text": "site.example", "{": 1}'),
    ],
)
@in_loop
async def test_fixed_answer(respond: str, head: bytes, body: bytes) -> None:
    async with proxy(f"[http]\nrespond = {respond}\n") as running:
        response = await fetch(running.port)
        assert response.head.startswith(head)
        assert response.body == body


@in_loop
async def test_status_alone_is_an_error_of_the_frontend_with_its_page_and_costs_no_connection() -> None:
    async with proxy("[http]\nrespond = 403\n") as running, await connect(running.port) as client:
        for _ in range(2):
            await client.send(get(b"/", b"Accept: text/plain"))
            response = await client.response()
            assert response.status == 403
            assert response.body.startswith(b"forbidden\nrequest ")
        route = running.application.routes["http"]
        assert [(answered.code, answered.backend) for answered in route.totals.answered()] == [(403, "")]


@pytest.mark.parametrize(
    ("media_type", "body"),
    [
        ("text/html; charset=utf-8", b"<p>&lt;b&gt;&quot;"),
        ("application/json", b'<p><b>\\"'),
        ("text/plain", b'<p><b>"'),
    ],
)
@in_loop
async def test_what_a_client_says_stays_text(media_type: str, body: bytes) -> None:
    route = f"[http]\nrespond = 200 <p>{{header:X-Mine}}\nrespond_type = {media_type}\n"
    async with proxy(route) as running, await connect(running.port) as client:
        await client.send(get(b"/", b'X-Mine: <b>"'))
        response = await client.response()
        assert response.field(b"content-type") == media_type.encode()
        assert response.body == body
