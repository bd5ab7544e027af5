"""A rate limit of several processes: one count, whichever of them a client's connections come to."""

from __future__ import annotations

import re
import resource
from contextlib import AsyncExitStack
from pathlib import Path
from time import monotonic

from tests.integration.harness import Message, RawServer, Wire, connect, fetch, get, http_route, in_loop, ok
from tests.system.harness import run_to_end, spawned
from tests.system.test_processes import Processes, processes

SMALL_BYTES = 2**20
"""Less than the counts of one limit take."""

TEN = "rate_limit = 10/h"


def limited(port: int, lines: str = TEN) -> str:
    return http_route(port, lines=lines)


async def asked(wire: Wire) -> Message:
    await wire.send(get())
    return await wire.response()


async def statuses(wires: list[Wire], times: int) -> list[int]:
    """One request after the other, over one connection after the other."""
    return [(await asked(wires[number % len(wires)])).status for number in range(times)]


async def reloaded(running: Processes, file: Path, old: str, new: str) -> None:
    _replace(file, old, new)
    assert (await running.tell("/reload")).status_code == 200


async def remembered(running: Processes) -> float:
    metrics = (await running.ask("/metrics")).text
    (value,) = re.findall(r'^wsproxy_rate_limit_entries\{route="http"\} (\S+)', metrics, re.MULTILINE)
    return float(value)


@in_loop
async def test_one_connection_has_the_whole_limit_and_many_have_no_more(tmp_path: Path) -> None:
    async with RawServer(ok()) as server, AsyncExitStack() as clients:
        running = await clients.enter_async_context(processes(tmp_path, limited(server.port)))
        kept = await clients.enter_async_context(await connect(running.port))
        first = await asked(kept)
        assert first.field(b"ratelimit-policy") == b'"ip 10/h";q=10;w=3600'
        assert await statuses([kept], 5) == [200] * 5
        wires = [await clients.enter_async_context(await connect(running.port)) for _ in range(8)]
        assert await statuses(wires, 16) == [200] * 4 + [429] * 12
        assert (await asked(kept)).status == 429
        assert await remembered(running) == 1.0


@in_loop
async def test_as_much_passes_as_the_rate_says(tmp_path: Path) -> None:
    async with RawServer(ok()) as server, AsyncExitStack() as clients:
        routes = limited(server.port, "rate_limit = 50/s")
        running = await clients.enter_async_context(processes(tmp_path, routes, "keepalive_requests = 100000"))
        wires = [await clients.enter_async_context(await connect(running.port)) for _ in range(4)]
        began, passed, least = monotonic(), 0, 0.0
        while monotonic() - began < 1.0:
            asked_at = monotonic()
            batch = await statuses(wires, 4)
            passed += batch.count(200)
            if 429 in batch:  # nothing was left: a busy machine may ask for less than there is
                least = 50 + 50 * (asked_at - began) - 8
        assert 50 < least <= passed <= 50 + 50 * (monotonic() - began) + 1


@in_loop
async def test_a_process_that_is_killed_takes_no_count_with_it(tmp_path: Path) -> None:
    async with RawServer(ok()) as server, processes(tmp_path, limited(server.port)) as running:
        for _ in range(10):
            assert (await fetch(running.port)).status == 200
        for victim in running.children:
            await running.kill(victim)
        await running.all_serve()
        async with AsyncExitStack() as clients:
            wires = [await clients.enter_async_context(await connect(running.port)) for _ in range(6)]
            assert await statuses(wires, 12) == [429] * 12
        assert await remembered(running) == 1.0


@in_loop
async def test_a_reload_reaches_the_counts_of_all(tmp_path: Path) -> None:
    async with RawServer(ok()) as server, AsyncExitStack() as clients:
        running = await clients.enter_async_context(processes(tmp_path, limited(server.port)))
        wires = [await clients.enter_async_context(await connect(running.port)) for _ in range(6)]
        assert (await statuses(wires, 12)).count(200) == 10
        file = tmp_path / "proxy.ini"
        await reloaded(running, file, TEN, f"{TEN}\nretries = 0")
        assert await statuses(wires, 6) == [429] * 6, "an unchanged limit is as empty as it was"
        more = "rate_limit = 3/h\n  5/h\nrate_limit_key = header:X-A\n  path\nrate_limit_entries = 900000"
        await reloaded(running, file, TEN, more)
        got = []
        for number in range(12):
            await wires[number % 6].send(get(b"/more", b"X-A: %d" % (number % 2)))
            got.append((await wires[number % 6].response()).status)
        assert got == [200] * 5 + [429] * 7, "what one limit took and the other refused is given back"
        for victim in running.children:
            await running.kill(victim)
        await running.all_serve()
        assert (await fetch(running.port, b"/more")).status == 429
        assert (await fetch(running.port, b"/other")).status == 200


@in_loop
async def test_who_has_no_room_for_the_counts_is_told_so(tmp_path: Path) -> None:
    file = tmp_path / "proxy.ini"
    file.write_text(f"[frontend]\nport = 0\nprocesses = 2\n{limited(1)}")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (SMALL_BYTES, before[1]))  # the proxy inherits it
    try:
        code, _, said = await run_to_end(str(file))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert code == 2
    assert said.endswith("lower 'rate_limit_entries', or its limits on memory and files\n"), said
    assert "Traceback" not in said


@in_loop
async def test_a_reload_that_there_is_no_room_for_changes_nothing(tmp_path: Path) -> None:
    async with RawServer(ok()) as server, processes(tmp_path, limited(server.port)) as running:
        pid = running.running.process.pid
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (SMALL_BYTES, resource.RLIM_INFINITY))
        _replace(tmp_path / "proxy.ini", TEN, "rate_limit = 2/h\nrate_limit_entries = 9000000")
        answer = (await running.tell("/reload")).json()
        assert not answer["done"]
        assert "lower 'rate_limit_entries'" in answer["problems"][0]
        assert [(await fetch(running.port)).status for _ in range(11)] == [200] * 10 + [429]
        _replace(tmp_path / "proxy.ini", "entries = 9000000", "entries = 200000")
        assert (await running.tell("/reload")).json()["done"]
        assert (await fetch(running.port)).field(b"ratelimit-policy") == b'"ip 2/h";q=2;w=3600'


@in_loop
async def test_one_process_shares_no_memory(tmp_path: Path) -> None:
    async with RawServer(ok()) as server, spawned(tmp_path, limited(server.port)) as running:
        assert (await fetch(running.port)).status == 200
        assert "wsproxy-shared" not in _maps(running.process.pid)


def _replace(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def _maps(process: int) -> str:
    return Path(f"/proc/{process}/maps").read_text()
