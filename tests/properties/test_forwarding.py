"""No bytes of a client make wsproxy and a server disagree on where a request ends: two other parsers are the servers.

Random and mutated streams of requests go through what a session does to them: heads read, bodies decoded, both written
anew. What is forwarded is then read by h11 and by httptools, as one connection: each must see exactly the requests that
wsproxy thinks it sent. What was begun and broken off must never look whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import cast

import h11
import httptools
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.properties.test_http_codecs import mutated, request_lines
from wsproxy.exchange import BodyError
from wsproxy.frontend.body import ClientBody
from wsproxy.http.chunked import LAST_CHUNK, encode_chunk
from wsproxy.http.codec import encode_request
from wsproxy.http.messages import CHUNKED, HeadLimits, MalformedRequestError
from wsproxy.http.repeats import RequestReader
from wsproxy.net.stream import Stream

KNOWN_METHODS = frozenset({b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"TRACE", b"PATCH"})
"""httptools knows a fixed list of methods."""

bounded = settings(max_examples=600, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)


@dataclass
class Seen:
    """One request: what wsproxy thinks it sent, or what a parser has read."""

    method: bytes = b""
    target: bytes = b""
    fields: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""
    whole: bool = False


class Buffer:
    """What a body asks of a stream."""

    def __init__(self) -> None:
        self.buffer = b""

    def take(self) -> bytes:
        data, self.buffer = self.buffer, b""
        return data


class Unwatched:
    """Nobody waits here."""

    def expect_body(self) -> None:
        raise AssertionError("the pure pipeline never waits")

    expect_nothing = expect_body


class Session:
    """A session without sockets: takes a client's bytes, writes a server's. sent: whole requests, in order."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._stream = Buffer()
        self._reader = RequestReader(HeadLimits())
        self.sent: list[Seen] = []
        self.written = b""
        self.broken_off = b""

    def run(self) -> None:
        while self._serve_one():
            pass

    def _more(self) -> bool:
        piece = next(self._pieces, None)
        self._stream.buffer += piece or b""
        return piece is not None

    def _serve_one(self) -> bool:
        """One request; False when it is the last that can be served."""
        stream = self._stream
        try:
            while not stream.buffer or (found := self._reader.read(stream.buffer)) is None:
                if not self._more():
                    return False
        except MalformedRequestError:
            return False
        head, size = found
        stream.buffer = stream.buffer[size:]
        head.upgrade = b""  # as where no route is for WebSockets
        out = encode_request(head, b"" if head.authority else b"Host: server\r\n")
        body = b""
        if head.length:
            pulled = ClientBody(cast("Stream", stream), head.length, None, False, Unwatched())
            while not pulled.complete:
                try:
                    piece = pulled.take_buffered()
                except BodyError:
                    self.broken_off = out
                    return False
                body += piece
                out += encode_chunk(piece) if head.length == CHUNKED else piece
                if not pulled.complete and not self._more():
                    self.broken_off = out
                    return False
            out += LAST_CHUNK if head.length == CHUNKED else b""
        self.written += out
        self.sent.append(Seen(head.method, head.target, line_pairs(out), body, True))
        return head.keep_alive


def line_pairs(written: bytes) -> list[tuple[bytes, bytes]]:
    """The fields by plain splitting, as any reader of canonical lines sees them."""
    pairs = []
    for line in written.partition(b"\r\n\r\n")[0].split(b"\r\n")[1:]:
        name, separator, value = line.partition(b": ")
        assert separator
        pairs.append((name.lower(), value))
    return sorted(pairs)


def by_h11(data: bytes) -> list[Seen]:
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    if data:  # b"" would be the end of the connection
        connection.receive_data(data)
    seen: list[Seen] = []
    while True:
        event = connection.next_event()
        if isinstance(event, h11.Request):
            seen.append(Seen(event.method, event.target, sorted(event.headers)))
        elif isinstance(event, h11.Data):
            seen[-1].body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            seen[-1].whole = True
            connection.send(h11.Response(status_code=200, headers=[("Content-Length", "0")]))
            connection.send(h11.EndOfMessage())
            connection.start_next_cycle()
        else:
            assert event is h11.NEED_DATA
            return seen


class Parser:
    """Takes what httptools calls out."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self._parser = httptools.HttpRequestParser(self)

    def feed(self, data: bytes) -> list[Seen]:
        self._parser.feed_data(data)
        return self.seen

    def on_message_begin(self) -> None:
        self.seen.append(Seen())

    def on_url(self, url: bytes) -> None:
        self.seen[-1].target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.seen[-1].fields.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self.seen[-1].method = self._parser.get_method()

    def on_body(self, body: bytes) -> None:
        self.seen[-1].body += body

    def on_message_complete(self) -> None:
        self.seen[-1].fields.sort()
        self.seen[-1].whole = True


INNER = b"GET /smuggled HTTP/1.1\r\nHost: b\r\n\r\n"
CHUNKS = b"3\r\nabc\r\n0\r\n\r\n"

FRAMED = [
    (b"", b""),
    (b"Content-Length: 0\r\n", b""),
    (b"Content-Length: 5\r\n", b"hello"),
    (b"Content-Length: %d\r\n" % len(INNER), INNER),
    (b"Content-Length: %d\r\n" % (len(CHUNKS) + len(INNER)), CHUNKS + INNER),
    (b"content-length:%d\r\n" % len(CHUNKS), CHUNKS),
    (b"Content-Length: 4\r\n", INNER),
    (b"Content-Length: 4\r\nContent-Length: 9\r\n", INNER),
    (b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", CHUNKS + INNER),
    (b"Transfer-Encoding: chunked\r\n", CHUNKS),
    (b"Transfer-Encoding: chunked\r\n", CHUNKS + INNER),
    (b"Transfer-Encoding: Chunked \r\n", b"%x\r\n%b\r\n0\r\n\r\n" % (len(INNER), INNER)),
    (b"Transfer-Encoding: chunked\r\n", b"3;a=b\r\nabc\r\n0\r\nX: 1\r\nContent-Length: 9\r\n\r\n"),
    (b"Transfer-Encoding: chunked\r\n", b"3\nabc\n0\n\n" + INNER),
    (b"Transfer-Encoding: chunked\r\n", b"03;" + b"a" * 40 + b"\r\nabc\r\n0\r\n\r\n"),
    (b"Transfer-Encoding: chunked\r\n", b"ffffffffffffffff\r\nabc\r\n0\r\n\r\n"),
    (b"Transfer-Encoding: chunked\r\n", b"3\r\nabcd\r\n0\r\n\r\n"),
    (b"Transfer-Encoding: xchunked\r\n", CHUNKS),
    (b"Transfer-Encoding : chunked\r\n", CHUNKS),
    (b"Transfer-Encoding:\r\n chunked\r\n", CHUNKS),
    (b"Transfer_Encoding: chunked\r\n", b""),
    (b"X: a\rTransfer-Encoding: chunked\r\n", CHUNKS),
    (b"X: a\nContent-Length: 4\r\n", INNER),
    (b"Connection: Content-Length\r\nContent-Length: 5\r\n", b"hello"),
    (b"Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n", CHUNKS),
    (b"Connection: Upgrade\r\nUpgrade: websocket\r\n", b""),
    (b"Expect: 100-continue\r\nContent-Length: 5\r\n", b"hello"),
    (b"Trailer: X\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\n", b"0\r\nX: 1\r\n\r\n"),
]
EXTRA = [b"", b"X: y\r\n", b"A: \r\n", b"Connection: keep-alive\r\n", b"Accept: */*\r\nCookie: a=b\r\n", b"x_y: 1\r\n"]

whole_requests = st.builds(
    lambda line, extra, framed: line + b"Host: a\r\n" + extra + framed[0] + b"\r\n" + framed[1],
    request_lines | st.just(b"POST /x HTTP/1.1\r\n") | st.just(b"GET / HTTP/1.1\r\n"),
    st.sampled_from(EXTRA),
    st.sampled_from(FRAMED),
)
streams = st.lists(whole_requests | mutated(whole_requests), min_size=1, max_size=4).map(b"".join)


def forwarded(raw: bytes, cuts: list[int]) -> Session:
    edges = [0, *sorted(min(cut, len(raw)) for cut in cuts), len(raw)]
    session = Session(raw[start:end] for start, end in pairwise(edges))
    session.run()
    return session


@bounded
@given(streams, st.lists(st.integers(0, 400), max_size=6))
@example(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n" + INNER, [])
@example(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" + INNER, [])
def test_servers_read_exactly_the_requests_that_were_sent(raw: bytes, cuts: list[int]) -> None:
    session = forwarded(raw, cuts)
    assert by_h11(session.written) == session.sent
    if all(request.method in KNOWN_METHODS for request in session.sent):
        assert Parser().feed(session.written) == session.sent


@bounded
@given(streams, st.lists(st.integers(0, 400), max_size=6))
def test_what_is_broken_off_looks_whole_to_nobody(raw: bytes, cuts: list[int]) -> None:
    session = forwarded(raw, cuts)
    if not session.broken_off:
        return
    (begun,) = by_h11(session.broken_off)
    assert not begun.whole
    if begun.method in KNOWN_METHODS:
        assert [request.whole for request in Parser().feed(session.broken_off)] == [False]


@bounded
@given(streams, st.lists(st.integers(0, 400), max_size=6))
def test_how_the_bytes_were_cut_changes_nothing(raw: bytes, cuts: list[int]) -> None:
    assert forwarded(raw, cuts).sent == forwarded(raw, []).sent == forwarded(raw, list(range(len(raw)))).sent
