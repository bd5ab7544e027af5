"""Memory, descriptors and crowds: what one process needs, and what it does at the limit."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from tests.descriptors import needs_descriptors
from tests.integration.harness import RawServer, Wire, connect, eventually, fetch, get, http_route, in_loop, ok
from tests.system.harness import Spawned, spawned

GIB = 1024**3
BLOCK = bytes(256 * 1024)
PEAK_BYTES = 80 * 1024**2

linux = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc (Linux)")


async def send_gib(wire: Wire) -> None:
    for _ in range(GIB // len(BLOCK)):
        await wire.send(BLOCK)


async def count_gib(wire: Wire) -> None:
    """Read a GiB; what was read is not kept."""
    left = GIB
    while left:
        size = len(await wire.some())
        assert size, f"{left} bytes are missing"
        wire.received.clear()
        left -= size


@linux
@pytest.mark.parametrize("framing", [b"Content-Length: %d" % GIB, b"Connection: close"])
@in_loop
async def test_a_download_of_a_gib_takes_no_memory(framing: bytes, tmp_path: Path) -> None:
    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.send(b"HTTP/1.1 200 OK\r\n%b\r\n\r\n" % framing)
        await send_gib(wire)

    async with RawServer(script) as server, spawned(tmp_path, http_route(server.port)) as running:
        async with await connect(running.port, ahead_bytes=len(BLOCK)) as client:
            await client.send(b"GET / HTTP/1.%d\r\nHost: a\r\n\r\n" % framing.startswith(b"Content"))
            await client.until(b"\r\n\r\n")
            await count_gib(client)
        assert running.peak_bytes < PEAK_BYTES


@linux
@in_loop
async def test_an_upload_of_a_gib_takes_no_memory(tmp_path: Path) -> None:
    async def script(wire: Wire) -> None:
        await wire.until(b"\r\n\r\n")
        await count_gib(wire)
        await wire.send(ok(b"all of it"))

    server = RawServer(script)
    server.ahead_bytes = len(BLOCK)
    async with server, spawned(tmp_path, http_route(server.port)) as running:
        async with await connect(running.port) as client:
            await client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % GIB)
            await send_gib(client)
            assert (await client.response()).body == b"all of it"
        assert running.peak_bytes < PEAK_BYTES


@linux
@in_loop
async def test_a_client_that_does_not_read_does_not_fill_the_memory(tmp_path: Path) -> None:
    sent = 0

    async def script(wire: Wire) -> None:
        nonlocal sent
        await wire.request()
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % GIB)
        while True:
            await wire.send(BLOCK)
            sent += len(BLOCK)

    def has_stalled(seen: list[int]) -> bool:
        """Whether the server has got rid of nothing for twenty looks in a row."""
        seen.append(sent)
        return len(seen) > 20 and sent > 0 and len(set(seen[-20:])) == 1

    looks: list[int] = []
    async with RawServer(script) as server, spawned(tmp_path, http_route(server.port)) as running:
        async with await connect(running.port, ahead_bytes=1000) as client:
            await client.send(get())
            await eventually(lambda: has_stalled(looks))
            assert sent < 64 * 1024**2
        assert running.peak_bytes < PEAK_BYTES


async def statuses(running: Spawned, clients: int) -> Counter[int]:
    """What so many clients get that all connect before the first one asks."""
    wires = await asyncio.gather(*(connect(running.port) for _ in range(clients)))

    async def ask(wire: Wire) -> int:
        async with wire:
            await wire.send(get())
            return (await wire.response()).status

    return Counter(await asyncio.gather(*(ask(wire) for wire in wires)))


@in_loop
async def test_two_thousand_connections_at_once_are_all_served(tmp_path: Path) -> None:
    needs_descriptors(2_500)
    lines = "max_workers = 20\nbuffer_size = 100\nqueue_timeout = 60s"
    async with RawServer(ok()) as server, spawned(tmp_path, http_route(server.port, lines=lines)) as running:
        assert await statuses(running, 2000) == {200: 2000}
        assert server.most <= 20


@in_loop
async def test_a_crowd_that_holds_all_it_may_leaves_descriptors_to_reach_servers(tmp_path: Path) -> None:
    """Cold pools and probes dial while 200 idle clients wait: no backend goes down for a want of ours."""
    lines = "max_workers = 2\nmin_workers = 0\nhealth_check_interval = 100ms\nhealth_check_fall = 1"
    async with RawServer(ok()) as server, spawned(tmp_path, http_route(server.port, lines=lines), files=64) as running:
        crowd = await asyncio.gather(*(connect(running.port) for _ in range(200)))
        await eventually(lambda: any("accepting pauses" in line for line in running.log))
        for client in crowd[:3]:
            await client.send(get())
            assert (await client.response()).status == 200
        for client in crowd:
            await client.close()
        assert await statuses(running, 20) == {200: 20}
        assert not [line for line in running.log if "is down" in line]


@in_loop
async def test_out_of_descriptors_accepting_pauses_and_goes_on(tmp_path: Path) -> None:
    lines = "max_workers = 1\nmin_workers = 1"
    async with RawServer(ok()) as server, spawned(tmp_path, http_route(server.port, lines=lines), files=64) as running:
        assert (await fetch(running.port)).status == 200
        crowd = await asyncio.gather(*(connect(running.port) for _ in range(200)))  # most wait in the backlog
        await eventually(lambda: any("accepting pauses" in line for line in running.log))
        await crowd[0].send(get())
        assert (await crowd[0].response()).status == 200  # who is in is served
        waiting = asyncio.create_task(fetch(running.port))
        for client in crowd:
            await client.close()
        assert (await waiting).status == 200
        assert await statuses(running, 20) == {200: 20}
        assert running.process.returncode is None
        assert not [line for line in running.log if "internal error" in line or "Traceback" in line]
        assert len([line for line in running.log if "accepting pauses" in line]) < 100
