"""What holds for any bytes at the door of HTTP: heads and chunked bodies, of clients and of servers.

A target takes bytes and raises where an invariant does not hold; that nothing else is raised is the first of them. The
other parsers, h11 and httptools, share no code with the product's quick paths.
"""

from __future__ import annotations

import random
import re
from contextlib import suppress
from itertools import pairwise
from typing import Any, Final

import h11
import httptools

from wsproxy.http.chunked import LAST_CHUNK, ChunkedDecoder, encode_chunk
from wsproxy.http.codec import encode_request, encode_response, read_request_head, read_response_head
from wsproxy.http.fast_codec import known_request_lines, known_response_lines, parse_request, parse_response
from wsproxy.http.h11_codec import judge_request, judge_response
from wsproxy.http.headers import CLAIMS, HOP_BY_HOP
from wsproxy.http.messages import (
    CHUNKED,
    HeadLimits,
    MalformedBodyError,
    MalformedRequestError,
    MalformedResponseError,
    RequestHead,
    ResponseHead,
)
from wsproxy.http.repeats import RequestReader
from wsproxy.http.target import normal_path

LIMITS: Final = HeadLimits(head_bytes=2048, fields=20, target_bytes=512)
"""Small, so that short inputs reach them."""
RESPONSE_BYTES: Final = 2048
REQUEST_LINES, RESPONSE_LINES = known_request_lines(), known_response_lines()
"""Kept from one input to the next: what they remember changes nothing."""
METHODS: Final = (b"GET", b"HEAD", b"POST", b"OPTIONS")
_spaced_extension: Final = re.compile(rb"[0-9A-Fa-f]+[^\r]*[ \t]").search
KNOWN_METHODS: Final = frozenset(METHODS)
"""httptools refuses methods that are not registered."""


def pieces_of(data: bytes) -> list[bytes]:
    """The data in pieces whose cuts follow from its own length and first byte, so that an input says it all."""
    rng = random.Random(len(data) * 257 + (data[0] if data else 0))
    edges = [0, *sorted(rng.randint(0, len(data)) for _ in range(rng.randint(0, 6))), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


def fuzz_request(data: bytes) -> None:
    """A request head: the two readers agree, cuts change nothing, and what is forwarded is read by all the same."""
    found = _read_request(data)
    _same_for_any_cut(data, found)
    if found is None:
        return
    head, size = found
    assert 0 < size <= len(data)
    fast = parse_request(data[:size].lstrip(b"\r\n"), LIMITS, REQUEST_LINES)
    assert fast is None or fast == judge_request(data[:size].lstrip(b"\r\n"), LIMITS)
    reader = RequestReader(LIMITS)
    assert reader.read(data) == reader.read(data) == found
    if head.target != b"*":
        with suppress(MalformedRequestError):
            path = normal_path(head.target)
            assert path.startswith("/")
            assert not {".", ".."} & set(path.split("/"))
    _check_forwarded(head)


def _read_request(data: bytes) -> tuple[RequestHead, int] | None:
    try:
        return read_request_head(data, LIMITS)
    except MalformedRequestError as error:
        status = error.status
    assert 400 <= status <= 505
    return None


def _same_for_any_cut(data: bytes, found: tuple[RequestHead, int] | None) -> None:
    """What is refused early would be refused whole; what is read early is what is read of the whole."""
    received = b""
    for piece in pieces_of(data):
        received += piece
        try:
            early = read_request_head(received, LIMITS)
        except MalformedRequestError:
            assert found is None
            return
        if early is not None:
            assert early == found
            return


def _check_forwarded(head: RequestHead) -> None:
    written = encode_request(head, b"")
    lines = [line.partition(b": ") for line in written.split(b"\r\n")[1:-2]]
    names = [name.lower() for name, _, _ in lines]
    allowed = {b"connection", b"upgrade"} if head.upgrade else set()
    if head.length == CHUNKED:
        allowed = {b"transfer-encoding", b"trailer"}
    assert not set(names) & (HOP_BY_HOP - allowed)
    assert not set(names) & CLAIMS
    assert not any(b"_" in name for name in names)
    assert names.count(b"host") == bool(head.authority)
    assert names.count(b"content-length") <= (head.length >= 0)
    if not head.authority:
        return  # HTTP/1.0: the caller gives it the backend's
    pairs = sorted((name.lower(), value) for name, _, value in lines)
    assert _by_h11(written) == (head.method, head.target, pairs)
    if head.method in KNOWN_METHODS:
        assert _by_httptools(written) == (head.method, head.target, pairs)
    again = read_request_head(written, HeadLimits(head_bytes=1 << 16, fields=200))
    assert again is not None
    assert (again[0].method, again[0].target, again[0].length, again[0].authority, again[1]) == (
        head.method,
        head.target,
        head.length,
        head.authority,
        len(written),
    )


def _by_h11(raw: bytes) -> tuple[Any, ...]:
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(raw)
    event = connection.next_event()
    assert isinstance(event, h11.Request), event
    return event.method, event.target, sorted(event.headers)


class _Taken:
    """What httptools calls out."""

    def __init__(self) -> None:
        self.target = b""
        self.fields: list[tuple[bytes, bytes]] = []

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name.lower(), value))


def _by_httptools(raw: bytes) -> tuple[Any, ...]:
    taken = _Taken()
    parser = httptools.HttpRequestParser(taken)
    with suppress(httptools.HttpParserUpgrade):
        parser.feed_data(raw)
    return parser.get_method(), taken.target, sorted(taken.fields)


def fuzz_response(data: bytes) -> None:
    """A response head, to the method that the first byte says: the readers agree, and no client sees two answers."""
    if not data:
        return
    method, raw = METHODS[data[0] % len(METHODS)], data[1:]
    found = _read_response(raw, method)
    received = b""
    for piece in pieces_of(raw):
        received += piece
        try:
            early = read_response_head(received, method, RESPONSE_BYTES)
        except MalformedResponseError:
            assert found is None
            return
        if early is not None:
            assert early == found
            break
    if found is None:
        return
    head, size = found
    fast = parse_response(raw[:size], method, RESPONSE_LINES)
    assert fast is None or fast == judge_response(raw[:size], method)
    for chunked, close in ((False, False), (True, True)):
        written = encode_response(head, chunked, close, 1)
        assert written.count(b"\r\n\r\n") == 1
        assert written.endswith(b"\r\n\r\n")
        assert b"\n" not in written.replace(b"\r\n", b"")
        assert b"\r" not in written.replace(b"\r\n", b"")


def _read_response(raw: bytes, method: bytes) -> tuple[ResponseHead, int] | None:
    try:
        return read_response_head(raw, method, RESPONSE_BYTES)
    except MalformedResponseError:
        return None


def fuzz_chunked(data: bytes) -> None:
    """A chunked body: cuts change nothing, h11 reads what we accept in the same way, and we re-write it as it was."""
    whole = _decode([data])
    assert _decode(pieces_of(data)) == whole
    assert _decode([data[at : at + 1] for at in range(len(data))]) == whole
    if whole is None or not whole[1]:
        return
    payload, _, _, leftover = whole
    assert data.endswith(leftover)
    try:
        assert _body_by_h11(data) == payload
    except h11.RemoteProtocolError:
        assert _spaced_extension(data)  # white space around `;`, which a recipient must take (RFC 9112 section 7.1.1)
    assert _decode([encode_chunk(payload) + LAST_CHUNK]) == (payload, True, b"", b"")


def _decode(pieces: list[bytes]) -> tuple[bytes, bool, bytes, bytes] | None:
    decoder = ChunkedDecoder()
    payload = b""
    try:
        for piece in pieces:
            payload += decoder.feed(piece)
    except MalformedBodyError:
        return None
    return payload, decoder.complete, decoder.trailers, decoder.leftover


def _body_by_h11(coded: bytes) -> bytes:
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    connection.receive_data(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + coded)
    assert isinstance(connection.next_event(), h11.Request)
    body = b""
    while isinstance(event := connection.next_event(), h11.Data):
        body += event.data
    assert isinstance(event, h11.EndOfMessage), event
    return body
