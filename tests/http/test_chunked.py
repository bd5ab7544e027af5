"""Chunked bodies, good and bad, in every cut."""

from __future__ import annotations

import pytest

from wsproxy.http.chunked import LAST_CHUNK, TRAILER_BYTES, ChunkedDecoder, encode_chunk, encode_last_chunk
from wsproxy.http.messages import MalformedBodyError

GOOD = [
    (b"0\r\n\r\n", b"", b"", b""),
    (b"0000000000000000\r\n\r\n", b"", b"", b""),
    (b"5\r\nhello\r\n0\r\n\r\nGET /", b"hello", b"", b"GET /"),
    (b"a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n", b"01234567890123456789", b"", b""),
    (b"0000000000000005\r\n\r\n\r\n\n\r\n0\r\n\r\n", b"\r\n\r\n\n", b"", b""),
    (b'3;a;b=c;d="q \\" ; x\xe4"\r\nabc\r\n0;x\r\n\r\n', b"abc", b"", b""),
    (b"5 ; a \t=\t b ;c\r\nhello\r\n0 ;d\r\n\r\n", b"hello", b"", b""),
    (b"1;" + b"e" * 4000 + b"\r\nx\r\n0\r\n\r\n", b"x", b"", b""),
    (b"0\r\nX-Sum:  1 2 \r\nempty:\r\n\r\nrest", b"", b"X-Sum: 1 2\r\nempty: \r\n", b"rest"),
    (
        b"0\r\nContent-Length: 5\r\nHost: x\r\nTE: x\r\nX-Forwarded-For: x\r\nx_y: 1\r\nA: b\r\n\r\n",
        b"",
        b"A: b\r\n",
        b"",
    ),
    (b"0\r\n" + b"A: b\r\n" * 50 + b"\r\n", b"", b"A: b\r\n" * 50, b""),
]


def decode(pieces: list[bytes]) -> tuple[bytes, bytes, bytes]:
    decoder = ChunkedDecoder()
    payload = b"".join([decoder.feed(piece) for piece in pieces])
    assert decoder.complete
    return payload, decoder.trailers, decoder.leftover


@pytest.mark.parametrize(("coded", "payload", "trailers", "leftover"), GOOD)
def test_whole_and_byte_by_byte(coded: bytes, payload: bytes, trailers: bytes, leftover: bytes) -> None:
    assert decode([coded]) == (payload, trailers, leftover)
    assert decode([coded[n : n + 1] for n in range(len(coded))]) == (payload, trailers, leftover)


@pytest.mark.parametrize(
    "coded",
    [
        b"g\r\n",
        b"\r\n",
        b" 5\r\nhello\r\n",
        b"5 \r\nhello\r\n",
        b"5\t\r\n",
        b"+5\r\n",
        b"-5\r\n",
        b"0x5\r\n",
        b"5_0\r\n",
        b"5h\r\n",
        b"5\nhello\r\n",
        b"5\rx",
        b"5\r\r\n",
        b"8000000000000000\r\n",
        b"FFFFFFFFFFFFFFFF\r\n",
        b"00000000000000005\r\n",
        b"5 ; \r\nhello\r\n",
        b"5 ;a \r\nhello\r\n",
        b"5;\r\nhello\r\n",
        b"5;a=\r\nhello\r\n",
        b"5;a b\r\nhello\r\n",
        b"5;a\nhello\r\n",
        b"5;a\x00\r\n",
        b'5;a="\r\n',
        b'5;a="b\r\n"\r\n',
        b"5;a\r;b\r\n",
        b"1;" + b"e" * 5000,
        b"1;" + b"e" * 4200 + b"\r\nx\r\n0\r\n\r\n",
        b"5\r\nhelloX",
        b"5\r\nhello\nX",
        b"5\r\nhello\rX",
        b"5\r\nhello0\r\n\r\n",
        b"0\r\nno colon\r\n\r\n",
        b"0\r\nA : b\r\n\r\n",
        b"0\r\nA: b\n\n",
        b"0\r\nA: b\x00\r\n\r\n",
        b"0\r\nA: b\r\n c\r\n\r\n",
        b"0\r\nA: b\rc\r\n\r\n",
        b"0\r\n: b\r\n\r\n",
        b"0\r\n\n",
        b"0\r\n" + b"A: b\r\n" * 51 + b"\r\n",
        b"0\r\nA: " + b"b" * 9000,
        b"0\r\nA: " + b"b" * 9000 + b"\r\n\r\n",
    ],
)
def test_refused(coded: bytes) -> None:
    with pytest.raises(MalformedBodyError):
        ChunkedDecoder().feed(coded)
    with pytest.raises(MalformedBodyError):
        decode([coded[n : n + 1] for n in range(len(coded))])


@pytest.mark.parametrize("fill", range(TRAILER_BYTES - 8, TRAILER_BYTES + 8))
def test_the_trailer_limit_is_the_same_for_any_cut(fill: int) -> None:
    coded = b"0\r\nA: " + b"b" * (fill - 3) + b"\r\n\r\n"

    def outcome(step: int) -> bool:
        decoder = ChunkedDecoder()
        try:
            for n in range(0, len(coded), step):
                decoder.feed(coded[n : n + step])
        except MalformedBodyError:
            return False
        return decoder.complete

    assert outcome(1) == outcome(len(coded)) == (fill <= TRAILER_BYTES)


def test_a_large_chunk_passes_uncopied() -> None:
    decoder = ChunkedDecoder()
    assert decoder.feed(b"ffff\r\n") == b""
    piece = bytes(1000)
    assert decoder.feed(piece) is piece
    assert not decoder.complete


def test_after_the_end_everything_is_left_over() -> None:
    decoder = ChunkedDecoder()
    decoder.feed(LAST_CHUNK)
    assert decoder.feed(b"abc") == b""
    decoder.feed(b"d")
    assert decoder.leftover == b"abcd"


def test_encode() -> None:
    assert encode_chunk(b"x" * 26) == b"1a\r\n" + b"x" * 26 + b"\r\n"
    assert encode_chunk(b"") == b""
    assert decode([encode_chunk(b"abc"), encode_chunk(b""), LAST_CHUNK]) == (b"abc", b"", b"")


def test_the_last_chunk_with_and_without_trailers() -> None:
    assert encode_last_chunk(b"") == LAST_CHUNK
    decoder = ChunkedDecoder()
    assert decoder.feed(encode_chunk(b"abc") + encode_last_chunk(b"X: y\r\n")) == b"abc"
    assert decoder.complete
    assert decoder.trailers == b"X: y\r\n"
