# ruff: noqa: SIM117 - a proxy starts when its servers have ports
"""Reload by SIGHUP: who is not concerned notices nothing, a bad file changes nothing, a good one what it says."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from pathlib import Path

from tests.descriptors import needs_descriptors
from tests.integration.harness import RawServer, Wire, connect, eventually, fetch, get, http_route, in_loop, ok
from tests.integration.websocket_wire import closing, echo, frame, open_websocket, receive_frame
from tests.system.harness import Spawned, spawned

SOCKETS = 1000
RELOADS = 50


def rewrite(directory: Path, routes: str, frontend: str = "") -> None:
    (directory / "proxy.ini").write_text(
        f"[frontend]\nhost = 127.0.0.1\nport = 0\n{frontend}\n[log]\naccess = off\n{routes}"
    )


async def reload(running: Spawned, word: str = "reloaded") -> None:
    """Send SIGHUP and wait for its outcome."""
    before = len([line for line in running.log if word in line])
    running.signal(signal.SIGHUP)
    await eventually(lambda: len([line for line in running.log if word in line]) > before)


def websocket_route(port: int, lines: str = "") -> str:
    return f"[websocket]\npath_prefix = /ws\nserver1 = 127.0.0.1:{port}\nping_interval = 10m\n{lines}\n"


@in_loop
async def test_a_thousand_websockets_and_steady_requests_notice_none_of_fifty_reloads(tmp_path: Path) -> None:
    needs_descriptors(2 * SOCKETS + 500)
    async with RawServer(ok()) as http, RawServer(echo) as sockets, RawServer(ok(b"other")) as other:
        steady = http_route(http.port) + websocket_route(sockets.port)
        statuses: Counter[int] = Counter()
        async with spawned(tmp_path, steady) as running:
            wires = [await open_websocket(running.port) for _ in range(SOCKETS)]
            over = asyncio.Event()

            async def ask() -> None:
                async with await connect(running.port) as wire:
                    while not over.is_set():
                        await wire.send(get())
                        statuses[(await wire.response()).status] += 1

            async with asyncio.TaskGroup() as tasks:
                for _ in range(3):
                    tasks.create_task(ask())
                for number in range(RELOADS):
                    lines = f"path_prefix = /r\nqueue_timeout = {number + 1}s"
                    changing = http_route(other.port, section=f"http:r{number % 2}", lines=lines)
                    rewrite(tmp_path, steady + changing)
                    await reload(running)
                over.set()
            for wire in wires:
                await wire.send(frame(1, b"still here", masked=True))
            for wire in wires:
                assert await receive_frame(wire) == (1, b"still here")
            await asyncio.gather(*(wire.close() for wire in wires))
        assert set(statuses) == {200}
        assert statuses[200] > RELOADS
        assert not [line for line in running.log if "ERROR" in line or "Traceback" in line]


@in_loop
async def test_a_bad_file_changes_nothing_and_says_all_that_is_wrong(tmp_path: Path) -> None:
    async with RawServer(ok()) as server, spawned(tmp_path, http_route(server.port)) as running:
        rewrite(tmp_path, http_route(server.port, lines="max_worker = 3\nqueue_timeout = soon"))
        await reload(running, "reload refused: ")
        await eventually(lambda: len([line for line in running.log if "reload refused" in line]) == 2)
        first, second = (line for line in running.log if "reload refused" in line)
        assert "proxy.ini:10:1: unknown key 'max_worker' in [http] (did you mean 'max_workers'?)" in first
        assert "proxy.ini:11:17: 'soon' is not a duration" in second
        assert (await fetch(running.port)).status == 200


@in_loop
async def test_a_port_that_is_taken_refuses_the_reload(tmp_path: Path) -> None:
    async with RawServer(ok()) as server, spawned(tmp_path, http_route(server.port)) as running:
        rewrite(tmp_path, f"[frontend:two]\nhost = 127.0.0.1\nport = {server.port}\n" + http_route(server.port))
        await reload(running, "reload refused: ")
        assert "address already in use" in running.log[-1].lower()
        assert (await fetch(running.port)).status == 200


@in_loop
async def test_servers_and_routes_come_and_go(tmp_path: Path) -> None:
    async with RawServer(ok(b"one")) as one, RawServer(ok(b"two")) as two:
        async with spawned(tmp_path, http_route(one.port)) as running:
            assert (await fetch(running.port)).body == b"one"
            assert (await fetch(running.port, b"/two")).body == b"one"
            second = http_route(two.port, section="http:two", lines="path_prefix = /two")
            rewrite(tmp_path, http_route(one.port) + second)
            await reload(running)
            assert (await fetch(running.port, b"/two")).body == b"two"
            rewrite(tmp_path, http_route(two.port))
            await reload(running)
            assert (await fetch(running.port)).body == b"two"
            assert any(f"reload: servers of http: 0 kept; added: 127.0.0.1:{two.port}" in line for line in running.log)
            await eventually(lambda: one.open == 0)
            await reload(running)
            assert running.log[-1].endswith("reloaded: nothing has changed")


@in_loop
async def test_a_request_in_flight_is_finished_by_the_server_that_is_removed(tmp_path: Path) -> None:
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def slow(wire: Wire) -> None:
        await wire.request()
        asked.set()
        await go_on.wait()
        await wire.send(ok(b"slow"))

    async with RawServer(slow) as old, RawServer(ok(b"new")) as new:
        async with spawned(tmp_path, http_route(old.port)) as running:
            waiting = asyncio.create_task(fetch(running.port))
            await asked.wait()
            rewrite(tmp_path, http_route(new.port))
            await reload(running)
            assert (await fetch(running.port)).body == b"new"
            go_on.set()
            assert (await waiting).body == b"slow"


@in_loop
async def test_websockets_of_a_removed_server_are_asked_to_come_again(tmp_path: Path) -> None:
    async with RawServer(echo) as old, RawServer(echo) as new:
        async with spawned(tmp_path, websocket_route(old.port, "drain_rate = 100/s")) as running:
            async with await open_websocket(running.port) as wire:
                rewrite(tmp_path, websocket_route(new.port, "drain_rate = 100/s"))
                await reload(running)
                assert await receive_frame(wire) == closing(1012)
            async with await open_websocket(running.port) as wire:
                await wire.send(frame(1, b"again", masked=True))
                assert await receive_frame(wire) == (1, b"again")


@in_loop
async def test_limits_of_a_frontend_change_in_place_and_others_with_a_new_listener(tmp_path: Path) -> None:
    async with RawServer(ok()) as server, spawned(tmp_path, http_route(server.port)) as running:
        async with await connect(running.port) as wire:
            await wire.send(get())
            assert (await wire.response()).status == 200
            rewrite(tmp_path, http_route(server.port), frontend="max_body_size = 3")
            await reload(running)
            await wire.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nabcd")
            assert (await wire.response()).status == 413
        rewrite(tmp_path, http_route(server.port), frontend="max_connections_per_ip = 1")
        await reload(running)
        async with await connect(running.port) as wire:
            await wire.send(get())
            assert (await wire.response()).status == 200
            async with await connect(running.port) as second:
                assert await second.rest() == b""
