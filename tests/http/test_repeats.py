"""http/repeats.py: a remembered head reads exactly as it would have been read anew."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsproxy.http.codec import read_request_head, read_response_head
from wsproxy.http.messages import HeadLimits, MalformedRequestError, RequestHead
from wsproxy.http.repeats import KEPT_BYTES, RequestReader, ResponseReader

LIMITS = HeadLimits(head_bytes=4096, target_bytes=100)
FIELDS = b"Host: a.test\r\nUser-Agent: x\r\n\r\n"
GET = b"GET /one HTTP/1.1\r\n" + FIELDS

LINES = (
    b"GET /one HTTP/1.1",
    b"GET /two?x=%41 HTTP/1.1",
    b"GET / HTTP/1.1",
    b"GET /a#b HTTP/1.1",
    b"GET /a b HTTP/1.1",
    b"GET /\xc3\xa9 HTTP/1.1",
    b"GET /one HTTP/1.0",
    b"GET /one HTTP/1.2",
    b"GET  /one HTTP/1.1",
    b"GET http://b.test/one HTTP/1.1",
    b"GETT /one HTTP/1.1",
    b"POST /one HTTP/1.1",
    b"OPTIONS * HTTP/1.1",
    b"GET /" + b"x" * 99 + b" HTTP/1.1",
    b"GET /" + b"x" * 100 + b" HTTP/1.1",
    b"GET /one\rHTTP/1.1",
    b"",
)
BLOCKS = (
    FIELDS,
    b"Host: a.test\r\n\r\n",
    b"Host: b.test\r\nUser-Agent: x\r\n\r\n",
    b"Host: a.test\r\nContent-Length: 3\r\n\r\n",
    b"Host: a.test\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n",
    b"Host: a.test\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    b"Host: a.test\r\nMax-Forwards: 3\r\n\r\n",
    b"Host: a.test\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n",
    b"Host: a.test\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n",
    b"Host: a.test\r\nX: " + b"y" * KEPT_BYTES + b"\r\n\r\n",
    b"Host: a.test\r\nX: " + b"y" * (4096 - 40) + b"\r\n\r\n",
    b"\r\n",
)


def outcome(read: object, buffer: bytes) -> object:
    """What a reader makes of a buffer: head and size, None, or the status it refuses with."""
    assert callable(read)
    try:
        return read(buffer)
    except MalformedRequestError as error:
        return error.status


HEADS = st.tuples(st.sampled_from(LINES), st.sampled_from(BLOCKS), st.sampled_from([b"", b"GET /n"]))


@given(st.lists(HEADS, max_size=6))
def test_whatever_came_before_a_head_reads_as_it_would_alone(heads: list[tuple[bytes, bytes, bytes]]) -> None:
    reader = RequestReader(LIMITS)
    for line, block, behind in heads:
        buffer = line + b"\r\n" + block + behind
        assert outcome(reader.read, buffer) == outcome(lambda data: read_request_head(data, LIMITS), buffer)


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("block", BLOCKS)
def test_behind_a_plain_head(line: bytes, block: bytes) -> None:
    reader = RequestReader(LIMITS)
    assert reader.read(GET) is not None
    buffer = line + b"\r\n" + block
    assert outcome(reader.read, buffer) == outcome(lambda data: read_request_head(data, LIMITS), buffer)


@pytest.mark.parametrize("cut", range(len(GET)))
def test_a_head_that_is_not_all_there_is_waited_for(cut: int) -> None:
    reader = RequestReader(LIMITS)
    assert reader.read(GET) is not None
    assert reader.read(GET[:cut]) is None
    other = GET.replace(b"/one", b"/other")
    assert reader.read(other[:cut]) is None


def test_the_same_bytes_give_the_same_object() -> None:
    reader = RequestReader(LIMITS)
    first, again = reader.read(GET), reader.read(GET + b"more")
    assert first is not None
    assert again is not None
    assert first[0] is again[0]
    assert again[1] == len(GET)


def test_what_is_changed_on_its_way_is_not_remembered() -> None:
    reader = RequestReader(LIMITS)
    upgrade = b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
    for _ in range(2):
        found = reader.read(upgrade)
        assert found is not None
        head: RequestHead = found[0]
        assert head.upgrade == b"websocket"
        head.upgrade = b""


def test_answers_are_remembered_by_the_method_asked_with() -> None:
    raw = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"
    reader = ResponseReader(4096)
    for method in (b"GET", b"HEAD", b"HEAD", b"GET", b"GET"):
        assert reader.read(raw, method) == read_response_head(raw, method, 4096)
    first, again = reader.read(raw, b"GET"), reader.read(raw, b"GET")
    assert first is not None
    assert again is not None
    assert first[0] is again[0]
    assert reader.read(b"HTTP/1.1 200 OK\r\nContent-", b"GET") is None
    long = raw.replace(b"OK\r\n", b"OK\r\nX: " + b"y" * KEPT_BYTES + b"\r\n")
    assert reader.read(long, b"GET") == read_response_head(long, b"GET", 4096)
    assert reader.read(raw, b"GET") == read_response_head(raw, b"GET", 4096)
