"""A proxy that is told to stop ends its WebSockets in order: Close 1001 to both sides at a boundary, then exit 0."""

from __future__ import annotations

import pytest

from tests.conformance_ws.bench import Bench, Pair, answer, request
from tests.conformance_ws.wire import BINARY, CLOSE, CONTINUATION, MASK, TEXT, Wire, close, frame

pytestmark = pytest.mark.promise

STOP_S = 10.0
"""The file's shutdown_timeout is 3 s; the rest is for the machine."""


def answer_close(wire: Wire, mask: bytes | None) -> None:
    """Read the proxy's Close and answer it as RFC 6455 section 5.5.1 asks."""
    came = wire.read_frame()
    assert (came.opcode, came.close_code, came.masked) == (CLOSE, 1001, mask is None)
    wire.send(close(1001, b"", mask))


def end_in_order(bench: Bench, pairs: list[Pair]) -> None:
    """Both sides of each are closed with 1001, answer, and see the end of TCP; the proxy exits 0."""
    for pair in pairs:
        answer_close(pair.client, MASK)
        answer_close(pair.upstream, None)
    for pair in pairs:
        assert pair.client.read_to_end() == b""
        assert pair.upstream.read_to_end() == b""
    assert bench.proxy.process.wait(STOP_S) == 0


def test_idle_websockets(own_bench: Bench) -> None:
    pairs = [own_bench.open() for _ in range(5)]
    own_bench.proxy.terminate()
    end_in_order(own_bench, pairs)


def test_open_messages_are_finished_first(own_bench: Bench) -> None:
    """A Close waits for the end of the message: the frame that was half-sent, and the fragments to come."""
    pair = own_bench.open()
    up = frame(TEXT, b"a" * 50, MASK, first=0) + frame(CONTINUATION, b"b" * 50, MASK)
    down = frame(BINARY, b"c" * 200)
    pair.client.send(up[:30])
    pair.upstream.send(down[:100])
    assert pair.upstream.read(30) == up[:30]
    assert pair.client.read(100) == down[:100]
    own_bench.proxy.terminate()
    assert pair.upstream.is_silent(0.2)
    pair.client.send(up[30:80])
    assert pair.upstream.read(50) == up[30:80]
    pair.client.send(up[80:])
    pair.upstream.send(down[100:])
    assert pair.upstream.read(len(up) - 80) == up[80:]
    assert pair.client.read(len(down) - 100) == down[100:]
    end_in_order(own_bench, [pair])


def test_sides_that_never_answer(own_bench: Bench) -> None:
    """They get their Close, and the end at the deadline; the proxy goes all the same."""
    pair = own_bench.open()
    own_bench.proxy.terminate()
    assert pair.client.read_frame().close_code == 1001
    assert pair.upstream.read_frame().close_code == 1001
    assert own_bench.proxy.process.wait(STOP_S) == 0
    assert pair.client.read_to_end() == b""
    assert pair.upstream.read_to_end() == b""


def test_nobody_new_is_let_in(own_bench: Bench) -> None:
    pair = own_bench.open()
    own_bench.proxy.terminate()
    answer_close(pair.client, MASK)
    with pytest.raises(ConnectionRefusedError):
        own_bench.connect()
    answer_close(pair.upstream, None)
    assert own_bench.proxy.process.wait(STOP_S) == 0


def test_handshake_in_flight(own_bench: Bench) -> None:
    """It is answered, and closed right behind if it was let in; the client is not left without a word."""
    client, path = own_bench.connect(), own_bench.path()
    client.send(request(path))
    upstream = own_bench.take(path)
    own_bench.proxy.terminate()
    upstream.send(answer("403 Forbidden", ["Content-Length: 0"]))
    assert client.read_final_head().status == 403
    upstream.close()
    assert own_bench.proxy.process.wait(STOP_S) == 0
