"""A client's body: both framings at any cuts, its limits, its replay, and what stands behind it."""

from __future__ import annotations

import asyncio

import pytest
from anyio import BrokenResourceError, EndOfStream

from tests.fakes import FakeTransport, make_stream, run, settle
from wsproxy.errors import BODY_TIMEOUT, BODY_TOO_LARGE
from wsproxy.exchange import BodyError
from wsproxy.frontend.body import REPLAY_BYTES, ClientBody
from wsproxy.http.messages import CHUNKED
from wsproxy.net.stream import Stream


class Watch:
    """Notes when the client is waited for."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def expect_body(self) -> None:
        self.notes.append("waiting")

    def expect_nothing(self) -> None:
        self.notes.append("came")


def make_body(
    length: int, limit_bytes: int | None = None, keep: bool = True
) -> tuple[ClientBody, Stream, FakeTransport, Watch]:
    stream, transport = make_stream()
    watch = Watch()
    return ClientBody(stream, length, limit_bytes, keep, watch), stream, transport, watch


async def read_all(body: ClientBody) -> bytes:
    data = b""
    while not body.complete:
        data += await body.read()
    return data


WIRE = {10: b"0123456789", CHUNKED: b"4\r\n0123\r\n6\r\n456789\r\n0\r\n\r\n"}


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
@pytest.mark.parametrize("length", WIRE)
def test_a_body_is_read_whole_at_any_cuts_and_nothing_behind_it(length: int, size: int) -> None:
    async def main() -> None:
        body, stream, transport, _ = make_body(length)
        wire = WIRE[length] + b"GET / next"
        reading = asyncio.ensure_future(read_all(body))
        for start in range(0, len(wire), size):
            transport.feed(wire[start : start + size])
            await settle(3)
        assert await reading == b"0123456789"
        assert stream.buffer == b"GET / next"
        assert body.complete
        assert body.drained
        assert body.read_bytes == 10
        assert await body.read() == b"", "the end, again"

    run(main)


@pytest.mark.parametrize("length", WIRE)
def test_what_is_there_is_taken_without_waiting(length: int) -> None:
    async def main() -> None:
        body, _, transport, watch = make_body(length)
        assert body.take_buffered() == b""
        transport.feed(WIRE[length])
        assert body.take_buffered() == b"0123456789"
        assert body.complete
        assert body.take_buffered() == b""
        assert not watch.notes

    run(main)


def test_the_client_is_watched_while_it_is_waited_for() -> None:
    async def main() -> None:
        body, stream, transport, watch = make_body(10)
        reading = asyncio.ensure_future(body.read())
        await settle()
        assert watch.notes == ["waiting"]
        transport.feed(b"0123")
        assert await reading == b"0123"
        assert watch.notes == ["waiting", "came"]
        reading = asyncio.ensure_future(body.read())
        await settle()
        stream.expire_read()
        with pytest.raises(BodyError) as caught:
            await reading
        assert caught.value.failure is BODY_TIMEOUT
        assert watch.notes[-1] == "came"

    run(main)


@pytest.mark.parametrize(("how", "error"), [("end", EndOfStream), ("lose", BrokenResourceError)])
def test_a_client_that_leaves_is_no_end_of_its_body(how: str, error: type[Exception]) -> None:
    async def main() -> None:
        body, _, transport, _ = make_body(10)
        transport.feed(b"0123")
        assert await body.read() == b"0123"
        reading = asyncio.ensure_future(body.read())
        await settle()
        getattr(transport, how)()
        with pytest.raises(error):
            await reading
        assert not body.complete

    run(main)


def test_broken_chunks_are_the_clients_fault() -> None:
    async def main() -> None:
        body, _, transport, _ = make_body(CHUNKED)
        transport.feed(b"four\r\n0123\r\n")
        with pytest.raises(BodyError) as caught:
            body.take_buffered()
        assert caught.value.failure.status == 400

    run(main)


@pytest.mark.parametrize("length", WIRE)
@pytest.mark.parametrize(("limit_bytes", "fits"), [(None, True), (10, True), (9, False)])
def test_a_limit_counts_payload(length: int, limit_bytes: int | None, fits: bool) -> None:
    async def main() -> None:
        body, _, transport, _ = make_body(length, limit_bytes)
        transport.feed(WIRE[length])
        if fits:
            assert body.take_buffered() == b"0123456789"
            return
        with pytest.raises(BodyError) as caught:
            body.take_buffered()
        assert caught.value.failure is BODY_TOO_LARGE

    run(main)


@pytest.mark.parametrize("length", WIRE)
def test_a_kept_body_begins_anew_in_the_middle_and_at_the_end(length: int) -> None:
    async def main() -> None:
        body, _, transport, _ = make_body(length)
        half = len(WIRE[length]) // 2
        transport.feed(WIRE[length][:half])
        first = await body.read()
        assert (body.replayable, body.drained) == (True, False)
        body.rewind()
        assert await body.read() == first
        transport.feed(WIRE[length][half:])
        assert first + await read_all(body) == b"0123456789"
        for _ in range(2):
            body.rewind()
            assert (body.complete, body.drained) == (False, True), "the client has nothing left to send"
            assert await read_all(body) == b"0123456789"
        assert body.read_bytes == 10, "counted once"

    run(main)


def test_a_body_that_is_not_kept_is_replayable_until_it_is_read() -> None:
    async def main() -> None:
        body, _, transport, _ = make_body(10, keep=False)
        seen = [body.replayable]
        body.rewind()
        transport.feed(b"0123")
        assert await body.read() == b"0123"
        assert [*seen, body.replayable] == [True, False]

    run(main)


def test_a_large_body_is_not_kept() -> None:
    async def main() -> None:
        body, _, transport, _ = make_body(REPLAY_BYTES + 1)
        transport.feed(b"x" * REPLAY_BYTES)
        await body.read()
        seen = [body.replayable]
        transport.feed(b"x")
        await body.read()
        assert [*seen, body.replayable] == [True, False]
        assert body.complete

    run(main)
