"""Streams over real sockets on both loops: backpressure, the ends of each side, and what waits when they come."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio
import pytest
from anyio import BrokenResourceError, EndOfStream
from anyio.abc import ByteStream

from tests.fakes import make_stream, run, settle, until
from wsproxy.net import stream as stream_module
from wsproxy.net.stream import READ_HIGH_WATER_BYTES, ReadTimeoutError, Stream

Both = pytest.mark.parametrize("uvloop", [True, False], ids=["uvloop", "asyncio"])

MIB = 1024 * 1024


@asynccontextmanager
async def tcp_pair() -> AsyncIterator[tuple[Stream, Stream]]:
    """Two streams that are each other's peer, over loopback TCP."""
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        _, near = await loop.create_connection(lambda: Stream(loop), *listening.getsockname())
        accepted, _ = await loop.sock_accept(listening)
        _, far = await loop.connect_accepted_socket(lambda: Stream(loop), accepted)
    try:
        yield near, far
    finally:
        near.abort()
        far.abort()
        with anyio.CancelScope(shield=True):
            await settle()


async def read_to_the_end(stream: Stream, into: list[int]) -> None:
    """Add the size of each piece to `into` until the stream raises."""
    while True:
        into.append(len(await stream.receive()))


async def write_for_ever(stream: Stream) -> None:
    while True:
        stream.write(b"x" * 1024)
        await asyncio.sleep(0)


Test = Callable[[Stream, Stream], Awaitable[None]]


def on_both(test: Test) -> Callable[[bool], None]:
    """Run a test of a pair of streams on either loop."""

    @Both
    def wrapper(uvloop: bool) -> None:
        async def main() -> None:
            async with tcp_pair() as (near, far):
                await test(near, far)

        anyio.run(main, backend_options={"use_uvloop": uvloop})

    wrapper.__name__ = test.__name__
    return wrapper


@on_both
async def test_bytes_come_as_they_were_sent(near: Stream, far: Stream) -> None:
    near.write(b"one")
    assert await far.receive() == b"one"
    near.write(b"two")
    near.write(b"three")
    await until(lambda: len(far.buffer) == 8)
    assert await far.receive(3) == b"two"
    assert far.buffer == b"three"
    far.consume(2)
    assert far.take() == b"ree"
    assert far.take() == b""


@on_both
async def test_it_is_a_byte_stream_of_anyio(near: Stream, far: Stream) -> None:
    stream: ByteStream = near
    await stream.send(b"hello")
    await stream.send_eof()
    assert await far.receive(5) == b"hello"
    with pytest.raises(EndOfStream):
        await far.receive()
    await far.send(b"back")  # a half-closed connection still carries the other way
    assert await near.receive() == b"back"
    await stream.aclose()
    with pytest.raises(BrokenResourceError):
        await stream.send(b"x")


@on_both
async def test_more_waits_for_growth_and_takes_nothing(near: Stream, far: Stream) -> None:
    near.write(b"a")
    await far.more()
    near.write(b"b")
    await far.more()
    assert far.buffer == b"ab"


@on_both
async def test_an_unread_buffer_stops_the_socket_and_the_sender(near: Stream, far: Stream) -> None:
    sent = 0
    while not near.write_paused or near.unsent_bytes < MIB:
        near.write(b"x" * MIB)
        sent += MIB
        await asyncio.sleep(0)
        assert sent < 64 * MIB, "no backpressure"
    await until(lambda: len(far.buffer) >= READ_HIGH_WATER_BYTES)
    await settle(100)
    assert len(far.buffer) <= READ_HIGH_WATER_BYTES + 256 * 1024
    held = len(far.buffer)
    assert near.write_paused

    async def read_all() -> int:
        received = 0
        while received < sent:
            received += len(await far.receive())
        return received

    async with asyncio.TaskGroup() as tasks:
        reader = tasks.create_task(read_all())
        await near.drain()
        assert near.unsent_bytes < MIB
    assert reader.result() == sent
    assert held < sent


@on_both
async def test_more_goes_beyond_the_high_water_mark_when_asked_to(near: Stream, far: Stream) -> None:
    near.write(b"x" * (4 * READ_HIGH_WATER_BYTES))
    while len(far.buffer) < 4 * READ_HIGH_WATER_BYTES:
        await far.more()
    far.consume(4 * READ_HIGH_WATER_BYTES - 1)
    assert far.take() == b"x"
    near.write(b"last")
    assert await far.receive() == b"last"


@on_both
async def test_drain_returns_at_once_while_nothing_is_held_back(near: Stream, far: Stream) -> None:
    near.write(b"x")
    await near.drain()


@on_both
async def test_drain_ends_when_the_peer_is_lost(near: Stream, far: Stream) -> None:
    while not near.write_paused:
        near.write(b"x" * MIB)
    drained = asyncio.ensure_future(near.drain())
    await settle()
    assert not drained.done()
    far.reset()
    with pytest.raises(BrokenResourceError):
        await drained
    assert near.closed
    assert near.eof


@on_both
async def test_half_close_keeps_the_other_direction(near: Stream, far: Stream) -> None:
    near.write(b"request")
    near.shut_down_writing()
    assert await far.receive() == b"request"
    with pytest.raises(EndOfStream):
        await far.receive()
    assert far.eof
    assert not far.closed
    far.write(b"answer")
    far.close()
    assert await near.receive() == b"answer"
    with pytest.raises((EndOfStream, BrokenResourceError)):
        await near.receive()


@on_both
async def test_what_came_before_the_end_is_still_there(near: Stream, far: Stream) -> None:
    near.write(b"last words")
    near.close()
    await until(lambda: far.eof)
    assert await far.receive() == b"last words"
    with pytest.raises(EndOfStream):
        await far.receive()


@on_both
async def test_close_flushes(near: Stream, far: Stream) -> None:
    near.write(b"x" * (8 * MIB))
    near.close()
    assert near.unsent_bytes == 0, "says a closed stream, whatever the transport still does"
    received: list[int] = []
    with pytest.raises(EndOfStream):
        await read_to_the_end(far, received)
    assert sum(received) == 8 * MIB


@on_both
async def test_abort_drops(near: Stream, far: Stream) -> None:
    near.write(b"x" * (64 * MIB))
    near.abort()
    near.abort()
    near.close()
    received: list[int] = []
    with pytest.raises((EndOfStream, BrokenResourceError)):
        await read_to_the_end(far, received)
    assert sum(received) < 64 * MIB


@on_both
async def test_reset_is_seen_as_a_loss_and_not_as_an_end(near: Stream, far: Stream) -> None:
    waiting = asyncio.ensure_future(far.receive())
    await settle()
    near.reset()
    with pytest.raises(BrokenResourceError):
        await waiting


@on_both
async def test_a_closed_stream_wakes_its_reader_though_its_peer_reads_nothing(near: Stream, far: Stream) -> None:
    while near.unsent_bytes < MIB:
        near.write(b"x" * MIB)
        await asyncio.sleep(0)
    waiting = asyncio.ensure_future(near.receive())
    await settle()
    near.close()
    with pytest.raises(BrokenResourceError):
        await waiting
    with pytest.raises(BrokenResourceError):
        await near.more()


@on_both
async def test_a_peer_that_never_reads_does_not_hold_a_closed_connection_for_ever(near: Stream, far: Stream) -> None:
    held = stream_module.FLUSH_TIMEOUT_S
    stream_module.FLUSH_TIMEOUT_S = 0.05  # type: ignore[misc]
    try:
        while near.unsent_bytes < MIB:
            near.write(b"x" * MIB)
            await asyncio.sleep(0)
        near.close()
        await until(lambda: near.eof)  # connection_lost, with the peer's buffers still full
    finally:
        stream_module.FLUSH_TIMEOUT_S = held  # type: ignore[misc]


@on_both
async def test_write_after_our_close_raises(near: Stream, far: Stream) -> None:
    near.close()
    with pytest.raises(BrokenResourceError):
        near.write(b"x")
    with pytest.raises(BrokenResourceError):
        await near.drain()


@on_both
async def test_write_to_a_peer_that_left_ends_in_a_broken_resource(near: Stream, far: Stream) -> None:
    far.reset()
    with pytest.raises(BrokenResourceError):
        await write_for_ever(near)
    assert near.closed


@on_both
async def test_write_behind_our_own_end_breaks_the_connection(near: Stream, far: Stream) -> None:
    near.shut_down_writing()
    with pytest.raises(BrokenResourceError):
        near.write(b"x")
    await until(lambda: near.eof)


@on_both
async def test_write_between_the_loss_and_the_news_of_it(near: Stream, far: Stream) -> None:
    near.transport.abort()  # the transport is gone, connection_lost is still to come
    with pytest.raises(BrokenResourceError):
        await write_for_ever(near)
    near.shut_down_writing()
    near.close()


@on_both
async def test_expire_read_wakes_the_reader_and_loses_nothing(near: Stream, far: Stream) -> None:
    assert not far.expire_read(), "nobody waits"
    waiting = asyncio.ensure_future(far.receive())
    await settle()
    assert far.expire_read()
    assert not far.expire_read(), "once is enough"
    with pytest.raises(ReadTimeoutError):
        await waiting
    near.write(b"late")
    assert await far.receive() == b"late"


@on_both
async def test_bytes_that_meet_the_expiry_are_kept(near: Stream, far: Stream) -> None:
    waiting = asyncio.ensure_future(far.receive())
    await settle()
    far.expire_read()
    far.data_received(b"just in time")
    with pytest.raises(ReadTimeoutError):
        await waiting
    assert far.take() == b"just in time"


@on_both
async def test_a_cancelled_reader_leaves_a_stream_that_can_be_read(near: Stream, far: Stream) -> None:
    with anyio.move_on_after(0):
        await far.receive()
    near.write(b"x")
    assert await far.receive() == b"x"


@on_both
async def test_on_hangup_tells_of_an_end_that_nobody_waits_for(near: Stream, far: Stream) -> None:
    told: list[str] = []
    far.on_hangup = lambda: told.append("gone")
    near.write(b"bytes are no hangup")
    await until(lambda: far.buffer)
    assert not told
    near.shut_down_writing()
    await until(lambda: told)
    far.abort()
    await settle()
    assert told == ["gone"], "once"


@on_both
async def test_on_data_is_called_in_place_of_waking_the_reader_who_hears_of_the_end(near: Stream, far: Stream) -> None:
    heard: list[bytes] = []
    far.on_data = lambda: heard.append(far.take())
    waiting = asyncio.ensure_future(far.receive())
    await settle()
    near.write(b"one")
    await until(lambda: heard)
    assert not waiting.done()
    near.shut_down_writing()
    with pytest.raises(EndOfStream):
        await waiting
    assert heard == [b"one"]


@on_both
async def test_a_reader_can_be_given_another_error(near: Stream, far: Stream) -> None:
    waiting = asyncio.ensure_future(far.receive())
    await settle()
    assert far.expire_read(BrokenResourceError())
    with pytest.raises(BrokenResourceError):
        await waiting
    near.write(b"x")
    assert await far.receive() == b"x"


@on_both
async def test_on_hangup_is_silent_while_a_reader_hears_of_the_end_itself(near: Stream, far: Stream) -> None:
    told: list[str] = []
    far.on_hangup = lambda: told.append("gone")
    waiting = asyncio.ensure_future(far.receive())
    await settle()
    near.shut_down_writing()
    with pytest.raises(EndOfStream):
        await waiting
    assert not told
    far.abort()
    await until(lambda: told)  # the loss that follows is news again


@on_both
async def test_the_peer_has_an_address(near: Stream, far: Stream) -> None:
    assert near.peer == far.peer == "127.0.0.1"


@Both
def test_unix_sockets_have_no_address_and_know_no_reset(uvloop: bool) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with theirs:
            _, stream = await loop.connect_accepted_socket(lambda: Stream(loop), ours)
            assert stream.peer == "unix:"
            stream.write(b"x")
            stream.reset()
            await until(lambda: stream.eof)

    anyio.run(main, backend_options={"use_uvloop": uvloop})


def test_a_stream_without_a_connection_can_be_ended() -> None:
    async def main() -> None:
        for end in (Stream.close, Stream.abort, Stream.reset):
            stream = Stream(asyncio.get_running_loop())
            end(stream)
            with pytest.raises(BrokenResourceError):
                await stream.receive()
            assert stream.peer == "unix:"

    run(main)


def test_a_transport_that_cannot_half_close_stays_open() -> None:
    async def main() -> None:
        stream, transport = make_stream()
        transport.can_write_eof = lambda: False  # type: ignore[method-assign]
        stream.shut_down_writing()
        assert not stream.closed
        assert not transport.closing

    run(main)


def test_reading_resumes_below_the_high_water_mark_and_not_before() -> None:
    async def main() -> None:
        stream, transport = make_stream()
        transport.feed(b"x" * READ_HIGH_WATER_BYTES)
        transport.feed(b"x")
        assert not transport.is_reading()
        stream.consume(1)
        assert not transport.is_reading()
        stream.consume(1)
        assert transport.is_reading()
        transport.feed(b"x" * READ_HIGH_WATER_BYTES)
        transport.lose()
        await settle()
        transport.reading = False
        assert len(stream.take()) == 2 * READ_HIGH_WATER_BYTES - 1
        assert not transport.is_reading(), "a lost connection is left alone"

    run(main)


linux = pytest.mark.skipif(not hasattr(socket, "TCP_INFO"), reason="only Linux says what became of a connection")


@asynccontextmanager
async def stream_of_a_socket() -> AsyncIterator[tuple[socket.socket, Stream]]:
    """A stream whose peer is a plain socket."""
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.create_connection(listening.getsockname()) as peer:
        accepted, _ = listening.accept()
        _, stream = await loop.connect_accepted_socket(lambda: Stream(loop), accepted)
        try:
            yield peer, stream
        finally:
            stream.abort()
            await settle()


@Both
@linux
def test_an_end_that_came_with_the_last_bytes_is_known_by_its_packet(uvloop: bool) -> None:
    async def main() -> None:
        async with stream_of_a_socket() as (peer, stream):
            peer.send(b"last", socket.MSG_MORE)
            peer.shutdown(socket.SHUT_WR)
            await until(lambda: stream.eof)
            assert stream.buffer == b"last"
            assert stream.end_delay_s() == 0
            assert not stream.is_reset

    anyio.run(main, backend_options={"use_uvloop": uvloop})


@Both
@linux
def test_an_end_that_came_later_is_known_too(uvloop: bool) -> None:
    async def main() -> None:
        async with stream_of_a_socket() as (peer, stream):
            peer.send(b"last")
            await asyncio.sleep(0.03)  # the time between the two is what is measured
            peer.shutdown(socket.SHUT_WR)
            await until(lambda: stream.eof)
            assert 0.015 < stream.end_delay_s() < 10

    anyio.run(main, backend_options={"use_uvloop": uvloop})


@Both
@linux
def test_a_reset_behind_an_end_shows_when_it_is_looked_for(uvloop: bool) -> None:
    async def main() -> None:
        async with stream_of_a_socket() as (peer, stream):
            peer.close()
            await until(lambda: stream.eof)
            assert not stream.is_reset
            stream.write(b"nobody reads this")
            await until(lambda: stream.is_reset)

    anyio.run(main, backend_options={"use_uvloop": uvloop})


@Both
def test_what_waits_in_the_kernel_makes_a_stream_not_quiet(uvloop: bool) -> None:
    async def main() -> None:
        async with stream_of_a_socket() as (peer, stream):
            await settle()
            assert stream.is_quiet()
            peer.send(b"news")
            assert not stream.is_quiet()
            assert await stream.receive() == b"news"
            assert stream.is_quiet()
            peer.shutdown(socket.SHUT_WR)
            assert not stream.is_quiet()

    anyio.run(main, backend_options={"use_uvloop": uvloop})


def test_what_is_no_socket_says_nothing() -> None:
    async def main() -> None:
        stream, _ = make_stream()
        assert stream.is_quiet()
        assert stream.end_delay_s() == float("inf")
        assert not stream.is_reset
        stream.abort()
        assert stream.is_reset

    run(main)


@Both
@linux
def test_how_long_a_peer_has_been_silent(uvloop: bool) -> None:
    async def main() -> None:
        async with stream_of_a_socket() as (peer, stream):
            await until(lambda: stream.silence_s >= 0.05)
            peer.send(b"here")
            await until(lambda: stream.buffer == b"here")
            assert stream.silence_s < 0.05
            await until(lambda: stream.silence_s >= 0.05)
            stream.write(b"an acknowledgement comes back")
            assert stream.silence_s < 0.05

    anyio.run(main, backend_options={"use_uvloop": uvloop})


@Both
@linux
def test_of_a_connection_that_was_just_closed_nothing_is_known(uvloop: bool) -> None:
    """Its descriptor is gone, and what asks must not fail for that."""

    async def main() -> None:
        async with stream_of_a_socket() as (_, stream):
            stream.abort()
            await settle()
            stream.closed = False  # as for who asks in the moment between the two
            stream.is_quiet()  # yes or no: it is asked of connections that are open
            assert (stream.silence_s, stream.is_reset) == (0, False)
            assert stream.end_delay_s() == float("inf")
            stream.reset()

    anyio.run(main, backend_options={"use_uvloop": uvloop})


def test_nobody_knows_how_long_other_peers_have_been_silent() -> None:
    async def main() -> None:
        assert Stream(asyncio.get_running_loop()).silence_s == 0

    run(main)
