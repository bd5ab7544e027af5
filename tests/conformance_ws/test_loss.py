"""TCP that is lost without a Close: the other side learns it within a second, by 1001 or 1011 where a Close can stand.

nginx and HAProxy know no frames: the end of TCP is all they can pass on, so the codes are wsproxy's promise alone.
"""

from __future__ import annotations

import pytest

from tests.conformance_ws.bench import SWITCH, Bench, Pair, request
from tests.conformance_ws.wire import BINARY, CLOSE, CONTINUATION, MASK, PING, TEXT, Frame, Wire, close, frame

SOON_S = 2.5
"""A second, and what a busy machine adds."""

WAYS = pytest.mark.parametrize("of_client", [True, False], ids=["client lost", "upstream lost"])
HOW = pytest.mark.parametrize("how", ["reset", "close", "half_close"])


def lose(wire: Wire, how: str) -> None:
    """End it that way."""
    {"reset": wire.reset, "close": wire.close, "half_close": wire.half_close}[how]()


def assert_told(of_client: bool, frames: list[Frame]) -> None:
    """The one Close that the side that is left gets, as its peer would have framed it."""
    assert [each.opcode for each in frames] == [CLOSE]
    assert frames[0].close_code == (1001 if of_client else 1011)
    assert frames[0].masked == of_client
    frames[0].payload[2:].decode()


def mask_of(of_client: bool) -> bytes | None:
    """The masking key of that side's frames."""
    return MASK if of_client else None


@pytest.mark.promise
@WAYS
@HOW
def test_idle(bench: Bench, of_client: bool, how: str) -> None:
    lost, left = bench.open().sides(of_client)
    lose(lost, how)
    assert_told(of_client, left.read_frames_to_end(SOON_S))


@WAYS
@HOW
def test_other_side_ends_in_any_case(bench: Bench, of_client: bool, how: str) -> None:
    lost, left = bench.open().sides(of_client)
    lose(lost, how)
    left.read_to_end(SOON_S)


@pytest.mark.promise
@WAYS
@HOW
def test_what_was_sent_before_comes_first(bench: Bench, of_client: bool, how: str) -> None:
    """A reset may overtake data in the lost side's kernel; what the proxy has read is not thrown away."""
    lost, left = bench.open().sides(of_client)
    sent = frame(TEXT, b"last words", mask_of(of_client))
    lost.send(sent)
    assert left.read(len(sent)) == sent
    sent = b"".join(frame(BINARY, bytes(1000), mask_of(of_client)) for _ in range(20))
    lost.send(sent)
    if how == "reset":
        assert left.read(len(sent)) == sent
        sent = b""
    lose(lost, how)
    assert left.read(len(sent)) == sent
    assert_told(of_client, left.read_frames_to_end(SOON_S))


@WAYS
@HOW
@pytest.mark.parametrize("sent_bytes", [1, 2, 5, 6, 20, 105])
def test_inside_a_frame(bench: Bench, of_client: bool, how: str, sent_bytes: int) -> None:
    """No Close can stand inside a frame: what came of it, then the end of TCP, and nothing else."""
    lost, left = bench.open().sides(of_client)
    sent = frame(BINARY, b"a" * 100, mask_of(of_client))[:sent_bytes]
    if not of_client and sent_bytes == 105:
        sent = sent[:101]
    lost.send(sent)
    assert left.read(len(sent)) == sent
    lose(lost, how)
    assert left.read_to_end(SOON_S) == b""


@WAYS
def test_inside_a_fragmented_message(bench: Bench, of_client: bool) -> None:
    """Between fragments a Close may stand (RFC 6455 section 5.4) or not; a made-up final fragment may not."""
    lost, left = bench.open().sides(of_client)
    sent = frame(TEXT, b"first", mask_of(of_client), first=0)
    lost.send(sent)
    assert left.read(len(sent)) == sent
    lost.close()
    assert [each.opcode for each in left.read_frames_to_end(SOON_S)] in ([], [CLOSE])


@pytest.mark.promise
@WAYS
def test_other_side_in_the_middle_of_a_frame(bench: Bench, of_client: bool) -> None:
    """The frame that the side that is left was sending does not matter to it: it gets its Close."""
    lost, left = bench.open().sides(of_client)
    begun = frame(BINARY, bytes(100), mask_of(not of_client))[:40]
    left.send(begun)
    assert lost.read(len(begun)) == begun
    lost.close()
    assert_told(of_client, left.read_frames_to_end(SOON_S))


@pytest.mark.promise
@WAYS
def test_behind_a_fragmented_message(bench: Bench, of_client: bool) -> None:
    lost, left = bench.open().sides(of_client)
    mask = mask_of(of_client)
    sent = frame(TEXT, b"a", mask, first=0) + frame(PING, b"", mask) + frame(CONTINUATION, b"b", mask)
    lost.send(sent)
    assert left.read(len(sent)) == sent
    lost.close()
    assert_told(of_client, left.read_frames_to_end(SOON_S))


@WAYS
def test_lost_while_the_other_does_not_read(bench: Bench, of_client: bool) -> None:
    """The proxy's writes to the side that is left are stuck: no leak, once that side reads again it sees the end."""
    pair = bench.open()
    lost, left = pair.sides(of_client)
    chunk = frame(BINARY, bytes(1 << 16), mask_of(of_client))
    lost.push_until_blocked(chunk, 64 << 20, patience_s=0.3)
    lost.reset()
    left.read_to_end(5)


@WAYS
def test_reset_of_who_does_not_read(bench: Bench, of_client: bool) -> None:
    """The sender learns that its peer is gone although the proxy was stuck with what it had for it."""
    pair = bench.open()
    lost, left = pair.sides(of_client)
    chunk = frame(BINARY, bytes(1 << 16), mask_of(not of_client))
    left.push_until_blocked(chunk, 64 << 20, patience_s=0.3)
    lost.reset()
    assert left.fails_to_send(bytes(1 << 16), SOON_S)


@pytest.mark.promise
@WAYS
def test_lost_right_behind_the_switch(bench: Bench, of_client: bool) -> None:
    pair = bench.open()
    lost, left = pair.sides(of_client)
    lost.reset()
    assert_told(of_client, left.read_frames_to_end(SOON_S))


@pytest.mark.promise
def test_upstream_ends_behind_its_greeting(bench: Bench) -> None:
    """The answer, a frame and the end of TCP in one go: nothing of it is lost."""
    client, path = bench.connect(), bench.path()
    client.send(request(path))
    upstream = bench.take(path)
    greeting = frame(TEXT, b"hello and good bye")
    upstream.send(SWITCH + greeting)
    upstream.close()
    assert client.read_final_head().status == 101
    assert client.read(len(greeting)) == greeting
    assert_told(False, client.read_frames_to_end(SOON_S))


def open_many(bench: Bench, count: int) -> list[Pair]:
    """So many WebSockets."""
    return [bench.open() for _ in range(count)]


@pytest.mark.promise
def test_fifty_lost_at_once(bench: Bench) -> None:
    pairs = open_many(bench, 50)
    for n, pair in enumerate(pairs):
        pair.sides(n % 2 == 0)[0].reset()
    for n, pair in enumerate(pairs):
        assert_told(n % 2 == 0, pair.sides(n % 2 == 0)[1].read_frames_to_end(SOON_S))
    assert bench.is_served(bench.connect())


def test_client_that_ends_its_side_hears_the_rest(bench: Bench) -> None:
    """Its own side is over, but what the upstream still has to say comes, up to the upstream's end."""
    pair = bench.open()
    asked = frame(TEXT, b"last question", MASK)
    pair.client.send(asked)
    pair.client.half_close()
    assert pair.upstream.read(len(asked)) == asked
    assert pair.client.is_silent(0.2)
    said = [frame(TEXT, b"an answer"), frame(BINARY, bytes(300_000)), frame(TEXT, b"another")]
    pair.upstream.send(b"".join(said))
    for each in said:
        assert pair.client.read(len(each)) == each
    pair.upstream.close()
    pair.client.read_to_end(SOON_S)


@pytest.mark.promise
def test_client_that_ends_its_side_hears_a_close_too(bench: Bench) -> None:
    """The upstream answers the 1001 that it was told: the client sees that answer, then the end, and at once."""
    pair = bench.open()
    pair.client.half_close()
    assert pair.upstream.read_frame().close_code == 1001
    pair.upstream.send(close(1001))
    pair.upstream.close()
    frames = pair.client.read_frames_to_end(SOON_S)
    assert [each.close_code for each in frames] == [1001]


def test_client_that_has_gone_holds_nobody(bench: Bench) -> None:
    """What an upstream says to nobody shows that there is nobody."""
    pair = bench.open()
    pair.client.close()
    pair.upstream.send(frame(TEXT, b"still there?"))
    pair.upstream.read_to_end(SOON_S)
