"""Which answers are compressed, what becomes of their head, and that what comes out is what went in."""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable
from pathlib import Path

import brotli
import pytest
import zstandard

from wsproxy.config.content_settings import CompressionSettings
from wsproxy.http.coders import make_coder
from wsproxy.http.compression import CompressionFilter, is_listed, may_compress, with_vary
from wsproxy.http.messages import CHUNKED, UNTIL_CLOSE, ResponseHead

SETTINGS = CompressionSettings(("gzip",), min_size_bytes=100)
TEXT = b"Content-Type: text/html; charset=utf-8\r\n"


def decoder(coding: str) -> Callable[[bytes], bytes]:
    if coding == "gzip":
        gunzip = zlib.decompressobj(31)
        return lambda data: gunzip.decompress(data)
    if coding == "br":
        unbrotli = brotli.Decompressor()
        return lambda data: bytes(unbrotli.process(data))
    unzstd = zstandard.ZstdDecompressor().decompressobj()
    return lambda data: unzstd.decompress(data)


def head(fields: bytes = TEXT, status: int = 200, length: int = 1000) -> ResponseHead:
    return ResponseHead(status, b"OK", 1, fields, length, True)


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (head(), True),
        (head(TEXT + b"Content-Length: 100\r\n"), True),
        (head(TEXT + b"Content-Length: 99\r\n"), False),
        (head(TEXT, length=CHUNKED), True),
        (head(TEXT, 404), True),
        (head(TEXT, 204, 0), False),
        (head(TEXT, 206), False),
        (head(TEXT, 304, 0), False),
        (head(TEXT, 103, 0), False),
        (head(b""), False),
        (head(b"Content-Type: image/png\r\n"), False),
        (head(TEXT + b"Content-Encoding: gzip\r\n"), False),
        (head(TEXT + b"Content-Encoding: identity\r\n"), True),
        (head(TEXT + b"Cache-Control: no-transform\r\n"), False),
        (head(TEXT + b"Cache-Control: public\r\ncache-control: max-age=1,No-Transform,x\r\n"), False),
        (head(TEXT + b"Cache-Control: x-no-transform-y\r\n"), True),
        (head(TEXT + b"Content-MD5: abc\r\n"), False),
        (head(TEXT + b"Repr-Digest: sha-256=:a:\r\n"), False),
    ],
)
def test_which_answers_may_be_compressed(response: ResponseHead, expected: bool) -> None:
    assert may_compress(response, SETTINGS) is expected


@pytest.mark.parametrize(
    ("content_type", "types", "expected"),
    [
        (b"text/html", ("text/html",), True),
        (b"Text/HTML ; charset=x", ("text/html",), True),
        (b"text/css", ("text/*",), True),
        (b"application/ld+json", ("+json",), True),
        (b"application/json", ("+json",), False),
        (b"image/png", ("*/*",), True),
        (b"text/event-stream", ("text/*", "*/*"), False),
        (b"text/event-stream", ("text/event-stream",), True),
        (b"image/svg+xml", ("+json",), False),
        (b"", ("text/*",), False),
    ],
)
def test_types(content_type: bytes, types: tuple[str, ...], expected: bool) -> None:
    assert is_listed(content_type, types) is expected


@pytest.mark.parametrize(
    ("before", "added"),
    [
        (b"", True),
        (b"Vary: Cookie\r\n", True),
        (b"Vary: Accept-Encoding-2\r\n", True),
        (b"Vary: Cookie, accept-encoding\r\n", False),
        (b"Vary: Cookie\r\nvary: Accept-Encoding\r\n", False),
        (b"Vary: *\r\n", False),
    ],
)
def test_vary(before: bytes, added: bool) -> None:
    response = head(before)
    shown = with_vary(response)
    assert response.fields == before
    assert shown.fields == before + (b"Vary: Accept-Encoding\r\n" if added else b"")


def test_head_of_a_compressed_answer() -> None:
    before = TEXT + b'Content-Length: 1000\r\nETag: "a"\r\nAccept-Ranges: bytes\r\nX: Content-Length: 1\r\n'
    response = head(before)
    shown = CompressionFilter("gzip", 4).begin(response)
    assert response.fields == before  # heads are remembered: they are never changed
    assert shown.length == CHUNKED
    assert shown.fields == (
        TEXT + b'ETag: W/"a"\r\nX: Content-Length: 1\r\nVary: Accept-Encoding\r\nContent-Encoding: gzip\r\n'
    )
    again = CompressionFilter("br", 4).begin(head(b'etag: W/"a"\r\nContent-Encoding: identity\r\n'))
    assert again.fields == b'etag: W/"a"\r\nVary: Accept-Encoding\r\nContent-Encoding: br\r\n'


def test_nothing_follows_the_head_of_an_answer_without_a_body() -> None:
    through = CompressionFilter("gzip", 4)
    assert through.begin(head(length=0)).length == 0
    assert (through.feed(b"x"), through.end()) == (b"", b"")


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd"])
@pytest.mark.parametrize("length", [100_000, CHUNKED, UNTIL_CLOSE])
def test_what_comes_out_is_what_went_in(coding: str, length: int) -> None:
    rng = random.Random(7)
    pieces = [rng.randbytes(rng.randint(1, 3000)).hex().encode() for _ in range(40)]
    through = CompressionFilter(coding, 4)
    for _ in range(2):  # an attempt that is begun anew
        through.begin(head(length=length))
        out = [through.feed(piece) for piece in pieces] + [through.end()]
        assert decoder(coding)(b"".join(out)) == b"".join(pieces)


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd"])
def test_each_piece_of_a_stream_can_be_read_at_once(coding: str) -> None:
    through = CompressionFilter(coding, 1)
    through.begin(head(length=CHUNKED))
    read = decoder(coding)
    for number in range(5):
        assert read(through.feed(b"event %d" % number)) == b"event %d" % number
    through.abort()
    assert through.end() == b""


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd"])
def test_a_higher_level_is_smaller(coding: str) -> None:
    data = Path(__file__).read_bytes()
    sizes = []
    for level in (1, 9):
        coder = make_coder(coding, level)
        sizes.append(len(coder.compress(data)) + len(coder.finish()))
    assert sizes[1] < sizes[0] < len(data)
