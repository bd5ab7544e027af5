"""A proxy hands over to its successor: nobody is refused, nothing is lost, and a bad successor changes nothing."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import stat
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import anyio
import pytest

from tests.integration.harness import RawServer, Wire, connect, eventually, fetch, get, http_route, in_loop, ok
from tests.integration.websocket_wire import acceptance, close, closing, handshake, open_websocket, receive_frame
from tests.system.harness import Spawned, spawned
from wsproxy.net.listen import open_sockets
from wsproxy.supervisor.meeting import usual_path
from wsproxy.supervisor.predecessor import HandedSockets


@asynccontextmanager
async def replaceable(directory: Path, routes: str, frontend: str = "shutdown_timeout = 5s") -> AsyncIterator[Spawned]:
    """The product with a place to be taken over at; whoever serves in the end is killed."""
    async with spawned(directory, routes, f"takeover_socket = {directory}/takeover\n{frontend}") as running:
        try:
            await eventually((directory / "takeover").exists)
            yield running
        finally:
            for pid in successors(running):  # they hold the pipe of the log, too
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def successors(running: Spawned) -> list[int]:
    return [int(pid) for pid in re.findall(r"process (\d+) (?:is to take|takes) over", "\n".join(running.log))]


async def taken_over(running: Spawned) -> int:
    """The successor's id, once it serves and the other has ended."""
    await running.wait_for("serves from now on")
    with anyio.fail_after(15):
        assert await running.process.wait() == 0
    return successors(running)[-1]


class Talk:
    """A server's script: requests, and WebSockets that echo the Close they get."""

    async def __call__(self, wire: Wire) -> None:
        while True:
            request = await wire.request()
            if request.field(b"upgrade"):
                await wire.send(acceptance(request.head))
                _, payload = await receive_frame(wire)
                await wire.send(close(int.from_bytes(payload[:2])))
                return
            await wire.send(ok())


@pytest.mark.parametrize("lines", ["", "processes = 2"])
@in_loop
async def test_a_signal_brings_a_successor(lines: str, tmp_path: Path) -> None:
    async with RawServer(Talk()) as server:
        routes = f"[admin]\nport = 0\n{http_route(server.port)}{http_route(server.port, section='websocket')}"
        async with (
            replaceable(tmp_path, routes, f"shutdown_timeout = 5s\n{lines}") as running,
            await connect(running.port) as idle,
            await connect(running.port) as talker,
        ):
            await idle.send(get())
            assert (await idle.response()).field(b"connection") is None
            await talker.send(handshake())
            assert (await talker.response()).status == 101

            running.signal(signal.SIGUSR2)
            assert await receive_frame(talker) == closing(1012)
            await talker.send(close(1012, masked=True))
            await running.wait_for("serves from now on")
            assert (await fetch(running.port)).status == 200
            await idle.send(get())  # a kept connection may send one more request, and is told that it was the last
            last = await idle.response()
            assert (last.status, last.field(b"connection")) == (200, b"close")
            assert await idle.rest() == b""
            pid = await taken_over(running)
            assert (await fetch(running.port)).status == 200
            os.kill(pid, signal.SIGTERM)
            await eventually(lambda: not os.path.exists(f"/proc/{pid}") or _is_zombie(pid))
            assert not (tmp_path / "takeover").exists()


def _is_zombie(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    return True


@pytest.mark.parametrize("lines", ["", "processes = 2"])
@in_loop
async def test_a_websocket_whose_turn_never_came_is_told_to_come_again_too(lines: str, tmp_path: Path) -> None:
    async with RawServer(Talk()) as server:
        route = http_route(server.port, section="websocket", lines="drain_rate = 1/m")
        async with AsyncExitStack() as stack:
            frontend = f"shutdown_timeout = 500ms\n{lines}"
            running = await stack.enter_async_context(replaceable(tmp_path, route, frontend))
            clients = [await stack.enter_async_context(await open_websocket(running.port)) for _ in range(4)]
            running.signal(signal.SIGUSR2)
            assert [await receive_frame(client) for client in clients] == [closing(1012)] * 4
            assert [await client.rest() for client in clients] == [b""] * 4
            await taken_over(running)


@in_loop
async def test_an_idle_connection_is_closed_in_the_end(tmp_path: Path) -> None:
    async with (
        RawServer(ok()) as server,
        replaceable(tmp_path, http_route(server.port), "shutdown_timeout = 1s") as running,
        await connect(running.port) as idle,
    ):
        await idle.send(get())
        await idle.response()
        running.signal(signal.SIGUSR2)
        assert await idle.rest() == b""
        await taken_over(running)


@in_loop
async def test_a_second_instance_takes_over_with_another_file(tmp_path: Path) -> None:
    async with (
        RawServer(ok(b"one")) as one,
        RawServer(ok(b"two")) as two,
        replaceable(tmp_path, http_route(one.port)) as running,
    ):
        path = tmp_path / "proxy.ini"
        path.write_text(path.read_text().replace(f":{one.port}", f":{two.port}"))
        command = [sys.executable, "-m", "wsproxy", str(path), "--takeover"]
        second = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.DEVNULL)
        try:
            assert await taken_over(running) == second.pid
            assert (await fetch(running.port)).body == b"two"
        finally:
            second.kill()
            await second.wait()


@in_loop
async def test_a_successor_that_cannot_start_changes_nothing(tmp_path: Path) -> None:
    async with RawServer(ok()) as server, replaceable(tmp_path, http_route(server.port)) as running:
        path = tmp_path / "proxy.ini"
        path.write_text(path.read_text() + "nonsense = 1\n")
        running.signal(signal.SIGUSR2)
        await running.wait_for("the successor has ended (exit status 2) before it served: going on")
        assert (await fetch(running.port)).status == 200
        assert [line for line in running.log if "unknown key 'nonsense'" in line]


@in_loop
async def test_a_successor_whose_listener_is_taken_changes_nothing(tmp_path: Path) -> None:
    async with RawServer(ok()) as server, replaceable(tmp_path, http_route(server.port)) as running:
        path = tmp_path / "proxy.ini"
        path.write_text(path.read_text() + f"[frontend:b]\nhost = 127.0.0.1\nport = {server.port}\n")
        running.signal(signal.SIGUSR2)
        await running.wait_for("has not taken over")
        assert (await fetch(running.port)).status == 200


@in_loop
async def test_the_service_manager_is_told_who_serves(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.setblocking(False)
        os.environ["NOTIFY_SOCKET"] = str(tmp_path / "notify")
        try:
            async with RawServer(ok()) as server, replaceable(tmp_path, http_route(server.port)) as running:
                running.signal(signal.SIGUSR2)
                pid = await taken_over(running)
        finally:
            del os.environ["NOTIFY_SOCKET"]
        told = []
        with suppress(BlockingIOError):
            while True:
                told.append(manager.recv(4096).decode().partition("\n")[0])
    assert told == ["READY=1", "READY=1", f"MAINPID={pid}"]  # the successor's first word is heard where all are


@in_loop
async def test_with_nobody_to_take_over_from_it_starts(tmp_path: Path) -> None:
    async with RawServer(ok()) as server:
        path = tmp_path / "proxy.ini"
        path.write_text(f"[frontend]\nhost = 127.0.0.1\nport = 0\ntakeover_socket = none\n{http_route(server.port)}")
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "wsproxy", str(path), "--takeover", stderr=asyncio.subprocess.PIPE
        )
        running = Spawned(process)
        try:
            await running.wait_until("listening on")
            assert any("nobody to take over from" in line for line in running.log)
            assert (await fetch(running.port)).status == 200
        finally:
            process.kill()
            await running.exit_code(within_s=10)


@in_loop
async def test_the_socket_is_for_its_user_alone(tmp_path: Path) -> None:
    async with RawServer(ok()) as server, replaceable(tmp_path, http_route(server.port)):
        assert stat.S_IMODE((tmp_path / "takeover").stat().st_mode) == 0o600


def test_the_usual_place_is_one_of_the_ini_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path))
    one, other = usual_path("a.ini"), usual_path("b.ini")
    assert one != other
    assert one == usual_path(str(Path("a.ini").resolve()))
    assert Path(one).parent == tmp_path


def test_a_place_that_others_can_write_to_is_none(short_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(short_path))
    directory = short_path / f"wsproxy-{os.getuid()}"
    assert Path(usual_path("a.ini")).parent == directory
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    directory.chmod(0o777)
    with pytest.raises(PermissionError):
        usual_path("a.ini")


def test_each_section_gets_the_sockets_of_its_address() -> None:
    (one,), (two,), (three,) = (open_sockets("127.0.0.1", 0) for _ in range(3))
    ports = [each.getsockname()[1] for each in (one, two, three)]
    handed = HandedSockets()
    handed.give(["frontend", "frontend:old", "admin"], [one, two, three])
    assert handed.take("frontend", "127.0.0.1", ports[1]) == [two]  # it has moved there
    assert handed.take("frontend:any", "127.0.0.1", 0) == []
    assert handed.take("admin", "127.0.0.1", 0) == [three]
    assert handed.take("frontend:old", "127.0.0.1", 1) == []
    assert handed.close() == [f"stored-127.0.0.1.{ports[0]}"]
    assert (one.fileno(), two.fileno() >= 0) == (-1, True)
    two.close()
    three.close()
