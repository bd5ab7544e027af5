"""The shipped proxy.ini: servers that the proxy starts itself answer, come back when killed, and go when it goes."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest

from tests.integration.harness import connect, eventually, fetch, get, in_loop
from tests.integration.websocket_wire import TEXT, closing, frame, handshake, receive_frame
from tests.system.harness import Spawned, spawned

SHIPPED = Path(__file__).parents[2] / "proxy.ini"


def shipped_routes() -> str:
    """All of the shipped file but its listener and its log, which `spawned` writes."""
    text = SHIPPED.read_text()
    return text[text.index("[group:demo]") : text.index("[log]")]


def ready_pids(running: Spawned) -> dict[str, list[int]]:
    """The process ids of each server's lives so far, by the server's name."""
    lives: dict[str, list[int]] = {}
    for line in running.log:
        if found := re.search(r"(\S+) \(pid (\d+)\) is ready", line):
            lives.setdefault(found[1], []).append(int(found[2]))
    return lives


def sockets_in(directory: Path) -> list[Path]:
    return list(directory.rglob("*.sock"))


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def backends(port: int, requests: int) -> list[bytes | None]:
    """Who answered each of so many requests."""
    answers = [await fetch(port, b"/hello") for _ in range(requests)]
    assert [answer.status for answer in answers] == [200] * requests
    return [answer.field(b"x-backend") for answer in answers]


@in_loop
async def test_the_shipped_servers_answer_http_and_websockets(tmp_path: Path) -> None:
    async with spawned(tmp_path, shipped_routes()) as running:
        assert len(set(await backends(running.port, 4))) == 2
        async with await connect(running.port) as client:
            await client.send(handshake(target=b"/ws") + frame(TEXT, b"hello", masked=True))
            assert (await client.response()).status == 101
            assert await receive_frame(client) == (TEXT, b"hello")


@in_loop
async def test_a_killed_server_is_started_again_while_the_other_serves(tmp_path: Path) -> None:
    async with spawned(tmp_path, shipped_routes()) as running:
        (killed, (first_life,)), _ = ready_pids(running).items()
        os.kill(first_life, signal.SIGKILL)
        await backends(running.port, 4)  # not one failure
        await eventually(lambda: len(ready_pids(running)[killed]) == 2)
        assert any(killed in line and "SIGKILL" in line for line in running.log)
        await eventually(lambda: not is_alive(first_life))
        assert len(set(await backends(running.port, 4))) == 2


@in_loop
async def test_a_stop_leaves_no_server_and_no_socket_behind(short_path: Path) -> None:
    async with spawned(short_path, shipped_routes()) as running:
        pids = [pid for lives in ready_pids(running).values() for pid in lives]
        assert len(pids) == len(sockets_in(short_path)) == 2
        async with await connect(running.port) as client:
            await client.send(get(b"/slow?seconds=0.5"))
            async with await connect(running.port) as talker:
                await talker.send(handshake(target=b"/ws"))
                assert (await talker.response()).status == 101
                running.signal(signal.SIGTERM)
                assert await receive_frame(talker) == closing(1001)
            assert (await client.response()).status == 200  # its server outlives the answer
        assert await running.exit_code(within_s=8) == 0
        assert not any(is_alive(pid) for pid in pids)
        assert not sockets_in(short_path)


@in_loop
async def test_a_stop_need_not_wait_for_servers_that_never_answer(tmp_path: Path) -> None:
    routes = "[http]\ncommand = <python> -uc \"print('born'); import time; time.sleep(1000)\" <sock>\n"
    async with spawned(tmp_path, routes, started="born") as running:
        running.signal(signal.SIGTERM)
        assert await running.exit_code(within_s=5) == 0


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the parent's death is seen on Linux alone")
@in_loop
async def test_a_killed_proxy_takes_its_servers_with_it(tmp_path: Path) -> None:
    async with spawned(tmp_path, shipped_routes()) as running:
        pids = [pid for lives in ready_pids(running).values() for pid in lives]
        assert all(is_alive(pid) for pid in pids)
        running.signal(signal.SIGKILL)
        await running.exit_code(within_s=10)
        await eventually(lambda: not any(is_alive(pid) for pid in pids))
