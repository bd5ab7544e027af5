"""The product under a service manager and a log rotation: what it says, which sockets it takes, how it leaves."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import anyio
import pytest

from tests.integration.harness import RawServer, Wire, connect, eventually, fetch, get, http_route, in_loop, ok
from tests.integration.websocket_wire import acceptance, close, handshake
from tests.system.harness import START_LIMIT_S, Spawned


@asynccontextmanager
async def service(
    directory: Path, text: str, variables: dict[str, str] | None = None, listening: socket.socket | None = None
) -> AsyncIterator[Spawned]:
    """Run the product as a service manager does: with variables, and with a socket as descriptor 3."""
    path = directory / "proxy.ini"
    path.write_text(text)
    command = [sys.executable, "-m", "wsproxy", str(path)]
    if listening is not None:  # only the process itself knows its id, which the protocol wants
        command = ["/bin/sh", "-c", 'LISTEN_PID=$$ exec "$@"', "sh", *command]
    process = await asyncio.create_subprocess_exec(
        *command,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | (variables or {}),
        preexec_fn=_as_descriptor_3(listening),
        close_fds=listening is None,
    )
    running = Spawned(process)
    try:
        await running.wait_until("listening on")
        yield running
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await running.exit_code(within_s=10)


def _as_descriptor_3(listening: socket.socket | None) -> Callable[[], None] | None:
    if listening is None:
        return None
    descriptor = listening.fileno()

    def move() -> None:
        os.dup2(descriptor, 3)
        os.set_inheritable(3, True)

    return move


class Manager:
    """The other end of $NOTIFY_SOCKET."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.socket.setblocking(False)

    async def heard(self) -> dict[str, str]:
        """The next thing it is told."""
        with anyio.fail_after(START_LIMIT_S):
            data = await asyncio.get_running_loop().sock_recv(self.socket, 4096)
        return dict(line.split("=", 1) for line in data.decode().split("\n"))


FRONTEND = "[frontend]\nhost = 127.0.0.1\nport = 0\n"


@in_loop
async def test_the_service_manager_hears_of_start_reload_and_stop(tmp_path: Path) -> None:
    manager = Manager(tmp_path / "notify")
    async with RawServer(ok()) as server:
        text = FRONTEND + http_route(server.port) + "[log]\naccess = off\n"
        async with service(tmp_path, text, {"NOTIFY_SOCKET": str(manager.path)}) as running:
            assert (await manager.heard())["READY"] == "1"
            assert (await fetch(running.port)).status == 200
            running.signal(signal.SIGHUP)
            heard = await manager.heard()
            assert (heard["RELOADING"], heard["MONOTONIC_USEC"].isdecimal()) == ("1", True)
            assert (await manager.heard())["READY"] == "1"
            (tmp_path / "proxy.ini").write_text("nonsense")
            running.signal(signal.SIGHUP)
            assert (await manager.heard())["RELOADING"] == "1"
            assert (await manager.heard())["READY"] == "1", "a bad file is no reason to wait for the end of a reload"
            running.signal(signal.SIGTERM)
            assert (await manager.heard())["STOPPING"] == "1"
            assert await running.exit_code(within_s=5) == 0
    manager.socket.close()


@in_loop
async def test_the_watchdog_is_fed_by_the_loop_that_serves(tmp_path: Path) -> None:
    manager = Manager(tmp_path / "notify")
    variables = {"NOTIFY_SOCKET": str(manager.path), "WATCHDOG_USEC": "100000"}
    async with service(tmp_path, FRONTEND + http_route(1) + "[log]\naccess = off\n", variables) as running:
        heard = [await manager.heard() for _ in range(4)]
        assert [told for told in heard if "WATCHDOG" in told] == [{"WATCHDOG": "1"}] * 3
        running.signal(signal.SIGSTOP)
        with suppress(BlockingIOError):
            while True:
                manager.socket.recv(4096)
        with pytest.raises(TimeoutError), anyio.fail_after(0.3):
            await asyncio.get_running_loop().sock_recv(manager.socket, 4096)
        running.signal(signal.SIGCONT)
        assert await manager.heard() == {"WATCHDOG": "1"}
    manager.socket.close()


@in_loop
async def test_an_inherited_socket_is_the_frontends_and_keeps_who_came_before_the_start(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        async with RawServer(ok(b"served")) as server, await connect(port) as early:
            await early.send(get())
            text = f"[frontend]\nhost = 127.0.0.1\nport = {port}\n" + http_route(server.port)
            async with service(tmp_path, text, {"LISTEN_FDS": "1"}, listening) as running:
                assert running.port == port
                assert (await early.response()).body == b"served"
                running.signal(signal.SIGTERM)
                assert await running.exit_code(within_s=5) == 0


@in_loop
async def test_a_stop_goes_on_accepting_for_the_drain_delay_and_a_second_signal_ends_that(tmp_path: Path) -> None:
    async with RawServer(ok()) as server:
        text = FRONTEND + "drain_delay = 1h\n" + http_route(server.port) + "[log]\naccess = off\n"
        async with service(tmp_path, text) as running:
            running.signal(signal.SIGTERM)
            await eventually(lambda: any("accepting for 3600 s" in line for line in running.log))
            assert (await fetch(running.port)).status == 200
            running.signal(signal.SIGTERM)
            assert await running.exit_code(within_s=5) == 0


async def _lines(path: Path, count: int) -> list[str]:
    await eventually(lambda: path.exists() and path.read_text().count("\n") >= count)
    return path.read_text().splitlines()  # noqa: ASYNC240 - a small file


@in_loop
async def test_the_access_log_goes_on_in_a_new_file_when_told(tmp_path: Path) -> None:
    path, old = tmp_path / "access.log", tmp_path / "access.log.1"
    async with RawServer(ok()) as server:
        text = FRONTEND + http_route(server.port) + "[log]\naccess = access.log\naccess_format = $target\n"
        async with service(tmp_path, text) as running:
            await fetch(running.port, b"/1")
            assert await _lines(path, 1) == ["/1"]
            path.rename(old)
            running.signal(signal.SIGUSR1)
            await eventually(path.exists)
            await fetch(running.port, b"/2")
            assert await _lines(path, 1) == ["/2"]
            assert old.read_text() == "/1\n"


@in_loop
async def test_nobody_who_reads_standard_output_holds_a_request_up(tmp_path: Path) -> None:
    """The pipe takes 64 KiB; what comes after that waits, and is there when somebody reads again."""
    async with RawServer(ok()) as server:
        text = FRONTEND + http_route(server.port) + "[log]\naccess_format = $target\n"
        async with service(tmp_path, text) as running, await connect(running.port) as client:
            target = b"/" + b"x" * 5000
            for _ in range(40):
                await client.send(get(target))
                assert (await client.response()).status == 200
            running.signal(signal.SIGTERM)
            assert running.process.stdout is not None
            assert await running.process.stdout.read() == (target + b"\n") * 40
            assert await running.exit_code(within_s=5) == 0


async def _echo(wire: Wire) -> None:
    request = await wire.request()
    if not request.field(b"upgrade"):
        await wire.send(ok())
        return
    await wire.send(acceptance(request.head))
    await wire.until(b"\x88")
    await wire.send(close(1000))
    await wire.rest()


@in_loop
async def test_the_lines_of_requests_failures_and_websockets(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    async with RawServer(_echo) as server:
        routes = http_route(server.port, lines="path_prefix = /app") + http_route(server.port, section="websocket")
        text = FRONTEND + "trusted_proxies = 127.0.0.1\n" + routes + "[log]\nformat = json\naccess = access.log\n"
        async with service(tmp_path, text) as running:
            async with await connect(running.port) as client:
                await client.send(get(b"/app?token=abc", b"X-Forwarded-For: 192.0.2.7", b"X-Request-ID: id-1"))
                sent = len((await client.response()).head) + 4
                await client.send(get(b"/none"))
                reply = await client.response()
            async with await connect(running.port) as talker:
                await talker.send(handshake())
                await talker.response()
                await talker.send(close(1000, masked=True))
                await talker.rest()
            await server.stop()
            async with await connect(running.port) as client:
                await client.send(get(b"/app"))
                bad = await client.response()
            lines = [json.loads(line) for line in await _lines(path, 5)]
    request, refused, opened, closed, failed = lines
    assert (request["client"], request["request_id"], request["target"]) == ("192.0.2.7", "id-1", "/app?token=***")
    assert (request["status"], request["sent_bytes"], request["route"]) == (200, sent, "http")
    assert (request["attempts"], request["termination"]) == (1, "--")
    assert request["first_byte_ms"] > 0
    assert request["total_ms"] >= request["queue_ms"] + request["first_byte_ms"]
    assert (refused["status"], refused["termination"], refused["target"]) == (426, "PR", "/none")
    assert refused["sent_bytes"] == len(reply.head) + len(reply.body)
    assert (opened["event"], opened["status"], opened["route"]) == ("ws_open", 101, "websocket")
    assert (closed["event"], closed["closed_by"], closed["close_code"]) == ("ws_close", "client", 1000)
    assert (closed["termination"], closed["request_id"]) == ("CW", opened["request_id"])
    assert (failed["status"], failed["termination"]) == (502, "SC")
    assert failed["sent_bytes"] == len(bad.head) + len(bad.body)
    assert failed["reason"] == "the backend refused the connection"
