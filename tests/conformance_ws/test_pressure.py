"""A side that does not read stops the other side's writes, and costs the proxy no memory; crowds and free workers."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.conformance_ws.bench import UPGRADE, Bench, answer, request
from tests.conformance_ws.wire import BINARY, LIMIT_S, MASK, TEXT, Wire, close, frame

OFFERED_BYTES = 256 << 20
KERNEL_BYTES = 48 << 20
"""What the buffers of four loopback sockets hold at most, as Linux tunes them: 6 MiB to read and 4 to write, each."""

GROWTH_BYTES = 8 << 20
"""What a proxy's memory may grow by while it is stuck: its own buffers, and the allocator's whims."""

WAYS = pytest.mark.parametrize("from_client", [True, False], ids=["to upstream", "to client"])


def mask_of(from_client: bool) -> bytes | None:
    """The masking key of that way's frames."""
    return MASK if from_client else None


@WAYS
@pytest.mark.parametrize("payload_bytes", [100, 1 << 16, 1 << 22], ids=["small", "64 KiB", "4 MiB"])
def test_who_does_not_read_stops_who_writes(bench: Bench, from_client: bool, payload_bytes: int) -> None:
    """And when it reads again, every byte comes, in order."""
    sender, receiver = bench.open().sides(from_client)
    before = bench.proxy.resident_bytes
    one = frame(BINARY, bytes(payload_bytes), mask_of(from_client))
    chunk = one * max(1, (1 << 20) // len(one))
    sent = sender.push_until_blocked(chunk, OFFERED_BYTES, patience_s=0.3)
    assert sent < KERNEL_BYTES
    assert bench.proxy.resident_bytes - before < GROWTH_BYTES
    whole = (chunk * (sent // len(chunk) + 1))[:sent]
    assert receiver.read(sent) == whole
    rest = (chunk * 2)[sent % len(chunk) :][: len(chunk)]
    sending = sender.send_aside(rest)
    assert receiver.read(len(rest)) == rest
    sending.join()


@WAYS
def test_one_way_blocked_the_other_flows(bench: Bench, from_client: bool) -> None:
    sender, receiver = bench.open().sides(from_client)
    sender.push_until_blocked(frame(BINARY, bytes(1 << 16), mask_of(from_client)), OFFERED_BYTES, patience_s=0.3)
    for n in range(10):
        back = frame(TEXT, f"other way {n}".encode(), mask_of(not from_client))
        receiver.send(back)
        assert sender.read(len(back)) == back


def test_one_blocked_websocket_holds_up_no_other(bench: Bench) -> None:
    stuck = bench.open()
    stuck.upstream.push_until_blocked(frame(BINARY, bytes(1 << 16)), OFFERED_BYTES, patience_s=0.3)
    pair = bench.open()
    sent = frame(TEXT, b"free", MASK)
    pair.client.send(sent)
    assert pair.upstream.read(len(sent)) == sent
    assert bench.is_served(bench.connect())


def test_close_waits_its_turn(bench: Bench) -> None:
    """Behind data that is stuck, a Close comes last; nothing of the data is dropped for it."""
    pair = bench.open()
    chunk = frame(BINARY, bytes(1 << 16))
    sent = pair.upstream.push_until_blocked(chunk, OFFERED_BYTES, patience_s=0.3)
    whole_frames = -(-sent // len(chunk))
    rest = chunk[sent % len(chunk) :] if sent % len(chunk) else b""
    sending = pair.upstream.send_aside(rest + close(1000, b"done"))
    for _ in range(whole_frames):
        assert pair.client.read_frame().opcode == BINARY
    assert pair.client.read_frame().close_code == 1000
    sending.join()


def test_a_hundred_at_a_time(bench: Bench) -> None:
    with ThreadPoolExecutor(20) as crowd:
        pairs = list(crowd.map(lambda _: bench.open(), range(100)))

        def play(n: int) -> None:
            for turn in range(5):
                up, down = frame(TEXT, f"{n} up {turn}".encode(), MASK), frame(TEXT, f"{n} down {turn}".encode())
                pairs[n].client.send(up)
                assert pairs[n].upstream.read(len(up)) == up
                pairs[n].upstream.send(down)
                assert pairs[n].client.read(len(down)) == down

        for done in [crowd.submit(play, n) for n in range(100)]:
            done.result(LIMIT_S)


def test_one_worker_opens_twenty(bench: Bench) -> None:
    """A WebSocket leaves its worker with the 101: the pool of one is free for the next, while all of them stay open."""
    pairs = [bench.open("/one") for _ in range(20)]
    for n, pair in enumerate(pairs):
        sent = frame(TEXT, f"to {n}".encode(), MASK)
        pair.client.send(sent)
        assert pair.upstream.read(len(sent)) == sent


def test_one_worker_opens_ten_that_wait(bench: Bench) -> None:
    """The others wait in the queue while one handshake is awaited; none is lost, in whatever order they came in."""
    clients, paths = [bench.connect() for _ in range(10)], [bench.path("/one") for _ in range(10)]
    for client, path in zip(clients, paths, strict=True):
        client.send(request(path))
    with ThreadPoolExecutor(10) as crowd:
        assert len(list(crowd.map(bench.switched, clients, paths))) == 10


def test_opened_and_left_two_hundred_times(bench: Bench) -> None:
    """Neither workers nor memory run out."""
    for _ in range(20):
        bench.open().client.close()
    before = bench.proxy.resident_bytes
    for n in range(200):
        pair = bench.open()
        pair.sides(n % 2 == 0)[0].reset()
    assert bench.proxy.resident_bytes - before < GROWTH_BYTES
    assert bench.is_served(bench.connect())


def test_requests_beside_websockets(bench: Bench) -> None:
    pairs = [bench.open() for _ in range(10)]
    client = bench.connect()
    for _ in range(20):
        assert bench.is_served(client)
    client.send(request(path := bench.path(), UPGRADE))
    bench.switched(client, path)
    for pair in pairs:
        assert pair.client.is_silent(0.01)


def test_a_hundred_refusals_leave_nothing_behind(bench: Bench) -> None:
    """More than there are workers: each one that was held by an answer other than 101 is free again."""
    path = bench.path()

    def refuse(wire: Wire) -> None:
        wire.send(answer("403 Forbidden", ["Content-Length: 0"]))
        bench.upstream.serve(wire)

    bench.upstream.on_each(path, refuse)
    threads = []
    statuses = []

    def ask() -> None:
        client = bench.connect()
        client.send(request(path))
        statuses.append(client.read_final_head().status)

    for _ in range(100):
        threads.append(threading.Thread(target=ask))
        threads[-1].start()
    for thread in threads:
        thread.join()
    assert statuses == [403] * 100
    assert bench.is_served(bench.connect())
