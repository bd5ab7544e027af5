"""What holds for every head and every body: the two readers agree, and what is forwarded can be read one way only."""

from __future__ import annotations

from contextlib import suppress
from itertools import pairwise
from typing import Any

import h11
import httptools
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from wsproxy.http.chunked import LAST_CHUNK, ChunkedDecoder, encode_chunk
from wsproxy.http.codec import encode_request, read_request_head, read_response_head
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
)
from wsproxy.http.target import normal_path

LIMITS = HeadLimits()
REQUEST_LINES, RESPONSE_LINES = known_request_lines(), known_response_lines()  # what they remember changes nothing
bounded = settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)

NAMES = [b"Host", b"Content-Length", b"Transfer-Encoding", b"Connection", b"Upgrade", b"Expect", b"TE", b"Trailer"]
NAMES += [
    b"Keep-Alive",
    b"Proxy-Connection",
    b"X-Forwarded-For",
    b"Forwarded",
    b"X-Request-ID",
    b"Accept",
    b"X-A",
    b"Close",
]
NAMES += [b"HTTP2-Settings", b"Proxy-Authorization", b"a_b", b"Content_Length", b"Set-Cookie", b"hosts", b"Te-x", b""]
VALUES = [
    b"a",
    b"a:80",
    b"[::1]",
    b"5",
    b"05",
    b"0",
    b"5, 5",
    b"chunked",
    b"Chunked",
    b"gzip, chunked",
    b"close",
    b"x y",
]
VALUES += [
    b"keep-alive",
    b"keep-alive, Upgrade",
    b"upgrade",
    b"websocket",
    b"100-continue",
    b"timeout=5",
    b"X-A",
    b"x-a, host",
]
VALUES += [b"1.2.3.4", b"", b"\xe4", b"a\tb", b"9223372036854775808", b"content-length"]
SEPARATORS = [b": "] * 12 + [b":", b":  ", b" : ", b":\t"]
ENDS = [b"\r\n"] * 16 + [b" \r\n", b"\n", b"\r\n ", b"\r"]

names = st.sampled_from(NAMES).flatmap(lambda name: st.sampled_from([name, name, name.lower(), name.upper()]))
field_lines = st.builds(
    lambda *parts: b"".join(parts),
    names,
    st.sampled_from(SEPARATORS),
    st.sampled_from(VALUES),
    st.sampled_from(ENDS),
)
request_lines = st.builds(
    b"%b %b HTTP/%b\r\n".__mod__,
    st.tuples(
        st.sampled_from([b"GET", b"GET", b"POST", b"HEAD", b"OPTIONS", b"CONNECT", b"get", b"M-X", b"\xff"]),
        st.sampled_from(
            [b"/", b"/x?y=%2e", b"/../a", b"*", b"http://b/x", b"http://b", b"http://u@b/", b"/a#", b"/\x80", b"b:1"]
        ),
        st.sampled_from([b"1.1"] * 6 + [b"1.0", b"1.2", b"2.0", b"1.1 ", b"x"]),
    ),
)
status_lines = st.builds(
    b"HTTP/%b %b\r\n".__mod__,
    st.tuples(
        st.sampled_from([b"1.1"] * 6 + [b"1.0", b"1.2", b"2.0"]),
        st.sampled_from(
            [b"200 OK", b"200", b"204 ", b"304 x", b"101 x", b"100 C", b"404 \xe4", b"600 x", b"099 x", b"503 a\x01"]
        ),
    ),
)


def with_host(raw: bytes) -> bytes:
    start, _, rest = raw.partition(b"\r\n")
    return start + b"\r\nHost: a\r\n" + rest


blocks = st.lists(field_lines, max_size=6).map(b"".join)
raw_requests = st.builds(lambda line, block: line + block + b"\r\n", request_lines, blocks)
requests = raw_requests | raw_requests.map(with_host)
responses = st.builds(lambda line, block: line + block + b"\r\n", status_lines, blocks)


@st.composite
def mutated(draw: st.DrawFn, raws: st.SearchStrategy[bytes]) -> bytes:
    """A message with a few bytes replaced, removed or put in."""
    raw = bytearray(draw(raws))
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, max(len(raw) - 1, 0)))
        new = draw(
            st.sampled_from(
                [b"", b"\r", b"\n", b"\x00", b" ", b"\t", b":", b",", b"\r\n", b"_", b"%", b"\x7f", b"A", b"\xff"]
            )
        )
        raw[at : at + draw(st.integers(0, 1))] = new
    return bytes(raw)


def parsed_by_h11(raw: bytes) -> tuple[Any, ...]:
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(raw)
    event = connection.next_event()
    assert isinstance(event, h11.Request), event
    return event.method, event.target, sorted(event.headers)


class Listener:
    """Takes what httptools calls out."""

    def __init__(self) -> None:
        self.target = b""
        self.fields: list[tuple[bytes, bytes]] = []
        self.complete_head = False

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self.complete_head = True


def parsed_by_httptools(raw: bytes) -> tuple[Any, ...]:
    listener = Listener()
    parser = httptools.HttpRequestParser(listener)
    with suppress(httptools.HttpParserUpgrade):
        parser.feed_data(raw)
    assert listener.complete_head
    return parser.get_method(), listener.target, sorted(listener.fields)


@bounded
@given(mutated(requests))
@example(b"GET / HTTP/1.1\r\nHost: a\r\nClose: x\r\nConnection: close\r\n\r\n")
def test_what_the_fast_codec_accepts_the_judge_reads_equally(raw: bytes) -> None:
    head = parse_request(raw, LIMITS, REQUEST_LINES)
    if head is not None:
        assert head == judge_request(raw, LIMITS)


@bounded
@given(mutated(responses), st.sampled_from([b"GET", b"HEAD"]))
def test_what_the_fast_codec_accepts_of_responses_the_judge_reads_equally(raw: bytes, method: bytes) -> None:
    head = parse_response(raw, method, RESPONSE_LINES)
    if head is not None:
        assert head == judge_response(raw, method)


@bounded
@given(mutated(requests))
def test_a_forwarded_request_is_read_the_same_by_all(raw: bytes) -> None:
    try:
        found = read_request_head(raw, LIMITS)
    except MalformedRequestError:
        return
    if found is None:
        return
    head = found[0]
    written = encode_request(head, b"")
    expected = sorted(line_pairs(head, written))
    if head.authority:  # HTTP/1.0 may come without a Host; the caller then sets the backend's
        assert parsed_by_h11(written) == (head.method, head.target, expected)
    if head.method in (b"GET", b"POST", b"HEAD", b"OPTIONS"):  # httptools knows no method of its own invention
        assert parsed_by_httptools(written) == (head.method, head.target, expected)
    left = {name for name, _ in expected}
    allowed = {b"connection", b"upgrade"} if head.upgrade else set()
    if head.length == CHUNKED:
        allowed = {b"transfer-encoding"}
    assert not left & (HOP_BY_HOP - allowed)
    assert not left & CLAIMS
    assert not any(b"_" in name for name in left)
    lengths = [value for name, value in expected if name == b"content-length"]
    assert lengths == ([b"%d" % head.length] if head.length > 0 else [b"0"] if lengths else [])


def line_pairs(head: RequestHead, written: bytes) -> list[tuple[bytes, bytes]]:
    """The written fields by plain splitting: what any reader of canonical lines sees."""
    assert written.startswith(head.method + b" " + head.target + b" HTTP/1.1\r\n" + head.fields)
    pairs = []
    for line in written.split(b"\r\n")[1:-2]:
        name, separator, value = line.partition(b": ")
        assert separator
        pairs.append((name.lower(), value))
    return pairs


@bounded
@given(st.binary(max_size=80) | mutated(requests) | mutated(responses))
def test_no_other_exception_escapes(raw: bytes) -> None:
    for end in (len(raw) // 2, len(raw)):
        with suppress(MalformedRequestError):
            request = read_request_head(raw[:end], LIMITS)
            assert request is None or 0 < request[1] <= end
        with suppress(MalformedResponseError):
            response = read_response_head(raw[:end], b"GET", 1000)
            assert response is None or 0 < response[1] <= end


@bounded
@given(mutated(requests), st.data())
def test_a_head_that_is_refused_early_would_be_refused_whole(raw: bytes, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(raw)))
    try:
        early = read_request_head(raw[:cut], LIMITS)
    except MalformedRequestError:
        with pytest.raises(MalformedRequestError):
            read_request_head(raw + b"\r\n\r\n", LIMITS)
        return
    if early is not None:
        assert read_request_head(raw, LIMITS) == early


def decoded(pieces: list[bytes]) -> tuple[object, ...] | str:
    decoder = ChunkedDecoder()
    payload = b""
    try:
        for piece in pieces:
            payload += decoder.feed(piece)
    except MalformedBodyError:
        return "refused"
    return payload, decoder.complete, decoder.trailers, decoder.leftover


bodies = st.builds(
    lambda chunks, end: b"".join(map(encode_chunk, chunks)) + end,
    st.lists(st.binary(max_size=40), max_size=5),
    st.sampled_from([LAST_CHUNK, b"0;x=y\r\nA: b\r\n\r\nrest", b"0\r\nA: b\r\n", b"5;a\r\nab", b""]),
)


@bounded
@given(mutated(bodies), st.lists(st.integers(0, 250), max_size=8))
def test_chunked_is_read_the_same_for_any_cut(coded: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(min(cut, len(coded)) for cut in cuts), len(coded)]
    pieces = [coded[start:end] for start, end in pairwise(edges)]
    whole = decoded([coded])
    assert decoded(pieces) == whole
    assert decoded([coded[n : n + 1] for n in range(len(coded))]) == whole


@bounded
@given(st.lists(st.binary(max_size=300), max_size=6))
def test_chunked_gives_back_what_was_written(chunks: list[bytes]) -> None:
    coded = b"".join(map(encode_chunk, chunks)) + LAST_CHUNK
    assert decoded([coded]) == (b"".join(chunks), True, b"", b"")


@bounded
@given(st.text(alphabet="/.%2eE5fa?", max_size=30).map(lambda path: b"/" + path.encode()))
def test_a_normal_path_is_normal(target: bytes) -> None:
    try:
        path = normal_path(target)
    except MalformedRequestError:
        return
    assert path.startswith("/")
    assert not {".", ".."} & set(path.split("/"))
    assert normal_path(path.encode("ascii")) == path
