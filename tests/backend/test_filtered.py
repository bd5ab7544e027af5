"""Answers that come through a filter: every framing, what the client is sent, and how it ends."""

from __future__ import annotations

import asyncio
from copy import copy

import pytest

from tests.backend.test_worker import CLOSE, CODED, HEAD, carry
from tests.fakes import Client, UpstreamDialer, run, settle, until
from wsproxy.http.codec import with_line
from wsproxy.http.messages import CHUNKED, ResponseHead


class Shout:
    """Makes letters capital, holds the last one back, and adds a mark at the end."""

    def __init__(self, swallows: bool = False) -> None:
        self.fed = b""
        self.ended = self.aborted = 0
        self._held = b""
        self._swallows = swallows

    def begin(self, response: ResponseHead) -> ResponseHead | None:
        if self._swallows:
            return None
        shown = copy(response)
        shown.length = CHUNKED
        shown.fields = b""
        return shown

    def feed(self, data: bytes) -> bytes:
        assert data
        self.fed += data
        out, self._held = (self._held + data)[:-1], data[-1:]
        return out.upper()

    def end(self) -> bytes:
        self.ended += 1
        return self._held.upper() + b"!"

    def abort(self) -> None:
        self.aborted += 1


def through(
    filtered: Shout, *pieces: bytes, minor_version: int = 1, method: bytes = b"GET"
) -> tuple[Client, UpstreamDialer]:
    """One request whose answer comes in these pieces, behind which the server ends its side."""

    async def main() -> tuple[Client, UpstreamDialer]:
        upstream = UpstreamDialer()
        client = Client(method=method)
        client.exchange.head.minor_version = minor_version
        client.exchange.filter = filtered
        carried = asyncio.ensure_future(carry(upstream, client))
        await until(lambda: upstream.transports and upstream.transports[0].sent)
        for piece in pieces:
            upstream.transports[0].feed(piece)
            await settle()
        upstream.transports[0].end()
        await carried
        return client, upstream

    return run(main)


@pytest.mark.parametrize(
    "pieces",
    [
        (HEAD + b"Content-Length: 5\r\n\r\nhello",),
        (HEAD + b"Content-Length: 5\r\n\r\n", b"hel", b"lo"),
        (HEAD + CODED + b"\r\n5\r\nhello\r\n0\r\n\r\n",),
        (HEAD + CODED + b"\r\n", b"2\r\nhe\r\n3\r", b"\nllo\r\n0\r", b"\nX-Sum: 1\r\n\r\n"),
        (HEAD + CLOSE + b"\r\nhe", b"llo"),
    ],
)
def test_body_is_taken_out_of_its_framing_and_put_into_the_clients(pieces: tuple[bytes, ...]) -> None:
    filtered = Shout()
    client, _ = through(filtered, *pieces)
    head, _, body = client.transport.sent.partition(b"\r\n\r\n")
    assert b"Transfer-Encoding: chunked" in head
    unframed = b"".join(line for line in body.split(b"\r\n")[1::2])
    assert (unframed, filtered.fed, filtered.ended, filtered.aborted) == (b"HELLO!", b"hello", 1, 0)
    assert body.endswith(b"\r\n0\r\n\r\n")
    assert client.exchange.failure is None
    assert client.exchange.keep_alive
    assert client.exchange.answered_bytes == len(client.transport.sent)


def test_http_1_0_client_gets_bare_bytes_and_the_end_of_its_connection() -> None:
    client, _ = through(Shout(), HEAD + b"Content-Length: 5\r\n\r\nhello", minor_version=0)
    head, _, body = client.transport.sent.partition(b"\r\n\r\n")
    assert b"chunked" not in head
    assert body == b"HELLO!"
    assert not client.exchange.keep_alive


def test_swallowed_answer_reaches_the_filter_and_nobody_else() -> None:
    filtered = Shout(swallows=True)
    client, _ = through(filtered, HEAD + b"Content-Length: 5\r\n\r\nhe", b"llo")
    assert (client.transport.sent, filtered.fed, filtered.ended) == (b"", b"hello", 1)
    assert client.exchange.failure is None
    assert not client.exchange.answered


@pytest.mark.parametrize(
    "pieces",
    [
        (HEAD + b"Content-Length: 5\r\n\r\nhel",),
        (HEAD + CODED + b"\r\n3\r\nhel\r\n",),
        (HEAD + CODED + b"\r\n3\r\nhel\r\nrubbish\r\n",),
    ],
)
@pytest.mark.parametrize("swallows", [False, True])
def test_body_that_breaks_off_aborts_the_filter(pieces: tuple[bytes, ...], swallows: bool) -> None:
    filtered = Shout(swallows)
    client, _ = through(filtered, *pieces)
    assert client.exchange.failure is not None
    assert client.exchange.failure.status == 502
    assert (filtered.ended, filtered.aborted) == (0, 1)
    assert b"\r\n0\r\n\r\n" not in client.transport.sent


def test_bytes_behind_the_answer_end_the_upstream_connection() -> None:
    client, upstream = through(Shout(), HEAD + b"Content-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\n")
    assert client.exchange.failure is None
    assert upstream.transports[0].aborted


def test_edits_are_applied_in_order_to_a_copy() -> None:
    async def main() -> None:
        exchange = Client().exchange
        response = ResponseHead(200, b"OK", 1, b"A: 1\r\n", 0, True)
        exchange.edits = (lambda head, _: with_line(head, b"B: 2\r\n"), lambda head, _: with_line(head, b"C: 3\r\n"))
        assert exchange.edited(response).fields == b"A: 1\r\nB: 2\r\nC: 3\r\n"
        assert response.fields == b"A: 1\r\n"

    run(main)
