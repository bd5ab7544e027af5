"""Compressed answers through the whole product: who gets them, what their head says, and that nothing waits."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import brotli
import httpx
import pytest
import zstandard

from tests.integration.harness import Message, Proxy, Wire, connect, get, in_loop, ok, proxied, proxy
from tests.integration.test_static import ask

TEXT = b"All work and no play makes Jack a dull boy.\n" * 200
HTML = (b"Content-Type: text/html; charset=utf-8",)
ON = "compress = gzip, zstd, br"


def decoded(answer: Message) -> bytes:
    """The body without its coding."""
    match answer.field(b"content-encoding"):
        case b"gzip":
            return gzip.decompress(answer.body)
        case b"br":
            return bytes(brotli.decompress(answer.body))
        case b"zstd":
            return zstandard.ZstdDecompressor().decompressobj().decompress(answer.body)
    return answer.body


@pytest.mark.parametrize(
    ("accept", "coding"),
    [
        (b"gzip", b"gzip"),
        (b"br, gzip", b"gzip"),  # we like gzip best, and the client does not care
        (b"br, gzip;q=0.9", b"br"),
        (b"zstd", b"zstd"),
        (b"*", b"gzip"),
        (b"deflate", None),
        (b"gzip;q=0, identity", None),
        (b"identity, gzip;q=0.5", None),
    ],
)
@in_loop
async def test_coding_is_the_clients_choice(accept: bytes, coding: bytes | None) -> None:
    async with proxied(ok(TEXT, *HTML), ON) as (_, running):
        answer = await ask(running.port, b"/", b"Accept-Encoding: " + accept)
        assert answer.field(b"content-encoding") == coding
        assert answer.field(b"vary") == b"Accept-Encoding"
        assert decoded(answer) == TEXT
        assert (len(answer.body) < 500) == (coding is not None)


@in_loop
async def test_head_of_a_compressed_answer() -> None:
    lines = (*HTML, b'ETag: "abc"', b"Accept-Ranges: bytes", b"Vary: Cookie", b"X-Other: kept")
    async with proxied(ok(TEXT, *lines), ON) as (_, running), await connect(running.port) as client:
        for _ in range(2):
            await client.send(get(b"/", b"Accept-Encoding: gzip"))
            answer = await client.response()
            assert decoded(answer) == TEXT
            assert answer.field(b"etag") == b'W/"abc"'
            assert answer.values(b"vary") == [b"Cookie", b"Accept-Encoding"]
            assert answer.field(b"accept-ranges") is None
            assert answer.field(b"content-length") is None
            assert answer.field(b"x-other") == b"kept"


@pytest.mark.parametrize(
    "answer",
    [
        ok(TEXT, b"Content-Type: image/png"),
        ok(TEXT),
        ok(b"short", *HTML),
        ok(TEXT, *HTML, b"Content-Encoding: br"),
        ok(TEXT, *HTML, b"Cache-Control: public, no-transform"),
        ok(TEXT, *HTML, b"Content-Digest: sha-256=:AAAA:"),
        ok(TEXT, b"Content-Type: text/event-stream"),
        ok(TEXT, *HTML, b"Content-Range: bytes 0-8799/9000").replace(b"200 OK", b"206 Partial Content"),
    ],
)
@in_loop
async def test_what_is_left_alone(answer: bytes) -> None:
    async with proxied(answer, ON) as (_, running):
        got = await ask(running.port, b"/", b"Accept-Encoding: gzip")
        assert got.body == answer.partition(b"\r\n\r\n")[2]
        assert got.values(b"content-encoding") == ([b"br"] if b"Content-Encoding" in answer else [])
        assert got.field(b"vary") is None


@in_loop
async def test_answers_without_a_body() -> None:
    """HEAD says what GET would; a 304 says what it depends on."""

    async def script(wire: Wire) -> None:
        while True:
            request = await wire.request()
            if request.field(b"if-none-match"):
                await wire.send(b'HTTP/1.1 304 Not Modified\r\nETag: "abc"\r\n\r\n')
            else:
                head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n" % len(TEXT)
                await wire.send(head if request.start.startswith(b"HEAD") else head + TEXT)

    async with proxied(script, ON) as (_, running), await connect(running.port) as client:
        heads = []
        for method in (b"HEAD", b"GET"):
            await client.send(get(b"/", b"Accept-Encoding: gzip").replace(b"GET", method, 1))
            answer = await client.response(method)
            heads.append({name: value for name, value in answer.fields if name not in (b"date", b"transfer-encoding")})
        assert heads[0] == heads[1]
        await client.send(get(b"/", b"Accept-Encoding: gzip", b'If-None-Match: W/"abc"'))
        answer = await client.response()
        assert (answer.status, answer.field(b"vary")) == (304, b"Accept-Encoding")
        assert answer.field(b"content-encoding") is None
        await client.send(get(b"/"))
        assert (await client.response()).body == TEXT


@in_loop
async def test_no_piece_of_a_stream_waits_for_the_next() -> None:
    seen = asyncio.Event()

    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for number in range(3):
            await wire.send(b"8\r\ndata: %d\n\r\n" % number)
            await seen.wait()
            seen.clear()
        await wire.send(b"0\r\n\r\n")

    lines = f"{ON}\ncompress_types = text/event-stream\n"
    async with proxied(script, lines) as (_, running), await connect(running.port) as client:
        await client.send(get(b"/", b"Accept-Encoding: gzip"))
        assert Message(await client.until(b"\r\n\r\n")).field(b"content-encoding") == b"gzip"
        decoder = zlib.decompressobj(31)
        for number in range(3):
            event = b""
            while not event:
                size = int(await client.until(b"\r\n"), 16)
                event = decoder.decompress((await client.exactly(size + 2))[:-2])
            assert event == b"data: %d\n" % number
            seen.set()
        await client.until(b"0\r\n\r\n")


@in_loop
async def test_client_of_http_1_0_gets_it_plain() -> None:
    async with proxied(ok(TEXT, *HTML), ON) as (_, running), await connect(running.port) as client:
        await client.send(b"GET / HTTP/1.0\r\nAccept-Encoding: gzip\r\n\r\n")
        assert (await client.rest()).endswith(TEXT)


@in_loop
async def test_broken_answer_does_not_look_whole() -> None:
    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.send(ok(TEXT, *HTML)[:-100])

    async with proxied(script, ON) as (_, running), await connect(running.port) as client:
        await client.send(get(b"/", b"Accept-Encoding: gzip"))
        assert not (await client.rest()).endswith(b"0\r\n\r\n")


@asynccontextmanager
async def static(root: Path, lines: str = ON) -> AsyncIterator[Proxy]:
    async with proxy(f"[static:site]\ndirectory = {root}\n{lines}\n") as running:
        yield running


@in_loop
async def test_files_are_compressed_too(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_bytes(TEXT)
    (tmp_path / "large.txt").write_bytes(TEXT * 100)
    (tmp_path / "b.html").write_bytes(TEXT)
    (tmp_path / "b.html.gz").write_bytes(gzip.compress(b"beforehand"))
    async with static(tmp_path) as running, await connect(running.port) as client:
        for target, body in ((b"/a.html", TEXT), (b"/large.txt", TEXT * 100), (b"/b.html", b"beforehand")):
            for _ in range(2):
                await client.send(get(target, b"Accept-Encoding: gzip"))
                answer = await client.response()
                assert answer.field(b"content-encoding") == b"gzip"
                assert decoded(answer) == body
                await client.send(get(target, b"Accept-Encoding: gzip").replace(b"GET", b"HEAD", 1))
                head = await client.response(b"HEAD")
                assert head.field(b"content-encoding") == b"gzip"
                assert head.field(b"etag") == answer.field(b"etag")
        await client.send(get(b"/a.html", b"Accept-Encoding: gzip", b"Range: bytes=0-2"))
        part = await client.response()
        assert (part.status, part.body, part.field(b"content-encoding")) == (206, TEXT[:3], None)
        tag = (await ask(running.port, b"/a.html", b"Accept-Encoding: gzip")).field(b"etag") or b""
        assert tag.startswith(b"W/")
        assert (await ask(running.port, b"/a.html", b"If-None-Match: " + tag)).status == 304


@in_loop
async def test_httpx_reads_every_coding() -> None:
    async with proxied(ok(TEXT, *HTML), ON) as (_, running), httpx.AsyncClient() as client:
        for coding in ("gzip", "br", "zstd"):
            answer = await client.get(f"http://127.0.0.1:{running.port}/", headers={"Accept-Encoding": coding})
            assert answer.headers["content-encoding"] == coding
            assert answer.content == TEXT


@in_loop
async def test_off_unless_asked_for() -> None:
    async with proxied(ok(TEXT, *HTML)) as (_, running):
        answer = await ask(running.port, b"/", b"Accept-Encoding: gzip")
        assert (answer.body, answer.field(b"vary")) == (TEXT, None)
