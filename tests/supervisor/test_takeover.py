"""The two ends of a handover, each against what the other may do wrong: nothing of it may cost the traffic."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import socket
import struct
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import anyio
import pytest

from tests.integration.harness import Proxy, RawServer, eventually, fetch, http_route, in_loop, logged, ok, proxy
from wsproxy.net.listen import open_sockets
from wsproxy.supervisor import predecessor, takeover
from wsproxy.supervisor.channel import Channel, ChannelError, RefusedError
from wsproxy.supervisor.predecessor import HandedSockets, Predecessor, TakeoverError
from wsproxy.supervisor.takeover import Handover


def message(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


async def wait_at(running: Proxy, path: Path) -> Handover:
    """Have a proxy wait for successors at `path`."""
    handover = Handover(running.application, str(path), ["false"], None)
    running.application.handover = handover
    running.application.services.start_soon(handover.run)
    await eventually(path.exists)
    return handover


async def connected(path: Path) -> socket.socket:
    end = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    end.connect(str(path))
    end.setblocking(False)
    return end


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        message(b"[]"),
        message(b"\xff{"),
        message(b'{"body":{}}'),
        message(b'{"sockets":1,"body":{}}'),
        message(b'{"sockets":-1,"body":{}}'),
        message(b'{"sockets":0,"body":7}'),
        message(b'{"sockets":0}'),
    ],
)
@in_loop
async def test_whoever_talks_nonsense_is_turned_away(data: bytes, tmp_path: Path) -> None:
    async with RawServer(ok()) as server, proxy(http_route(server.port)) as running:
        await wait_at(running, tmp_path / "takeover")
        with logged() as log, await connected(tmp_path / "takeover") as end:
            await asyncio.get_running_loop().sock_sendall(end, data)
            await eventually(lambda: any("has not taken over" in line for line in log.of("ERROR")))
        assert (await fetch(running.port)).status == 200
        with await connected(tmp_path / "takeover") as end:  # the next one is heard
            assert await asyncio.get_running_loop().sock_recv(end, 1)


@in_loop
async def test_want_of_descriptors_ends_no_traffic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(takeover, "ACCEPT_AGAIN_S", 0.01)
    async with RawServer(ok()) as server, proxy(http_route(server.port)) as running:
        await wait_at(running, tmp_path / "takeover")
        with logged() as log, await connected(tmp_path / "takeover") as end:
            limits = resource.getrlimit(resource.RLIMIT_NOFILE)
            resource.setrlimit(resource.RLIMIT_NOFILE, (_lowest_free(), limits[1]))
            try:
                await eventually(lambda: bool(log.of("WARNING")))
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, limits)
            assert "a successor cannot come in: Too many open files" in log.of("WARNING")
            await eventually(lambda: _has_something(end))
        assert (await fetch(running.port)).status == 200


def _lowest_free() -> int:
    descriptor = os.open(os.devnull, os.O_RDONLY)
    os.close(descriptor)
    return descriptor


def _has_something(end: socket.socket) -> bool:
    with suppress(BlockingIOError):
        return bool(end.recv(1))
    return False


@asynccontextmanager
async def one_that_runs(path: Path) -> AsyncIterator[socket.socket]:
    """Where a successor looks for a proxy."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(str(path))
        listening.listen(1)
        listening.setblocking(False)
        yield listening


async def met(path: Path) -> Predecessor | None:
    """Whom a successor meets at `path`, within a moment."""
    async with anyio.create_task_group() as tasks:
        with anyio.fail_after(5):
            found = await Predecessor.meet(str(path), tasks)
        tasks.cancel_scope.cancel()
    return found


@in_loop
async def test_one_that_hangs_is_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "takeover"
    async with one_that_runs(path):
        with suppress(BlockingIOError):
            waiting = []
            while True:
                end = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                waiting.append(end)
                end.setblocking(False)
                end.connect(str(path))
        assert await met(path) is None
        for end in waiting:
            end.close()


@in_loop
async def test_one_that_goes_away_at_once_is_not_waited_for(tmp_path: Path) -> None:
    async with one_that_runs(tmp_path / "takeover") as listening, anyio.create_task_group() as tasks:

        async def hang_up() -> None:
            end, _ = await asyncio.get_running_loop().sock_accept(listening)
            end.close()

        tasks.start_soon(hang_up)
        with logged() as log:
            assert await met(tmp_path / "takeover") is None
        assert [line for line in log.of("WARNING") if "gives nothing away: starting anyway" in line]


@in_loop
async def test_what_another_user_offers_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predecessor, "peer_of", lambda _: (4711, os.getuid() + 1))
    async with one_that_runs(tmp_path / "takeover"):
        with logged() as log:
            assert await met(tmp_path / "takeover") is None
        assert [line for line in log.of("WARNING") if f"process 4711 of user {os.getuid() + 1} has it" in line]


@in_loop
async def test_another_users_process_gets_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with RawServer(ok()) as server, proxy(http_route(server.port)) as running:
        await wait_at(running, tmp_path / "takeover")
        monkeypatch.setattr(takeover, "peer_of", lambda _: (4711, os.getuid() + 1))
        with logged() as log, await connected(tmp_path / "takeover") as end:
            assert await asyncio.get_running_loop().sock_recv(end, 1) == b""
            assert log.of("WARNING") == [f"process 4711 of user {os.getuid() + 1} may not take over"]


@pytest.mark.parametrize("body", [{}, {"listeners": ["frontend"], "secret": ""}, {"listeners": [], "secret": 7}])
@in_loop
async def test_what_a_version_of_another_day_gives_is_refused(body: dict[str, object], tmp_path: Path) -> None:
    async with one_that_runs(tmp_path / "takeover") as listening, anyio.create_task_group() as tasks:
        refused = ""

        async def give() -> None:
            nonlocal refused
            end, _ = await asyncio.get_running_loop().sock_accept(listening)
            channel = Channel(end)
            with pytest.raises(RefusedError) as error:
                await channel.ask("take", body)
            refused = str(error.value)
            channel.close()

        tasks.start_soon(give)
        assert await met(tmp_path / "takeover") is None
        assert "takes over in another way" in refused


GIVES = """
import anyio, socket, sys, time
from wsproxy.supervisor.channel import Channel
async def give():
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(sys.argv[1])
        listening.listen(1)
        print("there", flush=True)
        end, _ = listening.accept()
    channel = Channel(end)
    await channel.ask("take", {"listeners": [], "secret": ""})
    if sys.argv[2] == "withdraws":
        channel.close()
    time.sleep(60)
anyio.run(give)
"""


@asynccontextmanager
async def giver(path: Path, way: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process that gives its listeners away, and then does otherwise."""
    command = [sys.executable, "-c", GIVES, str(path), way]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    assert await process.stdout.readline() == b"there\n"
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


@in_loop
async def test_one_that_withdraws_goes_on_and_we_do_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predecessor, "ENDING_S", 0.1)
    async with giver(tmp_path / "takeover", "withdraws") as process:
        with pytest.raises(ExceptionGroup) as group:
            async with anyio.create_task_group() as tasks:
                assert await Predecessor.meet(str(tmp_path / "takeover"), tasks) is not None
        (error,) = group.value.exceptions
        assert isinstance(error, TakeoverError)
        assert str(error) == f"process {process.pid} does not wait for us any more, and serves"


@in_loop
async def test_after_the_death_of_the_other_we_go_on(tmp_path: Path) -> None:
    async with giver(tmp_path / "takeover", "dies") as process, anyio.create_task_group() as tasks:
        assert await Predecessor.meet(str(tmp_path / "takeover"), tasks) is not None
        with logged() as log:
            process.send_signal(signal.SIGKILL)
            await eventually(
                lambda: log.of("WARNING") == [f"process {process.pid} has ended before we served: going on alone"]
            )


@in_loop
async def test_one_that_is_too_late_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(takeover, "READY_S", 0.3)
    monkeypatch.setattr(takeover, "LOOK_S", 0.05)
    async with RawServer(ok()) as server, proxy(http_route(server.port)) as running:
        handover = await wait_at(running, tmp_path / "takeover")
        asked = []

        async def come_up(kind: str, _: object, sockets: list[socket.socket]) -> dict[str, object]:
            asked.append(kind)
            for each in sockets:
                each.close()
            return {"serves": False}

        with logged() as log:
            channel = Channel(await connected(tmp_path / "takeover"))
            await channel.answer(come_up)  # until it is given up
            channel.close()
            await eventually(lambda: handover.heir is None)
        assert asked[0] == "take"
        assert asked.count("serve") > 1
        assert [line for line in log.of("ERROR") if "it does not serve after 0.3 s): going on" in line]
        assert (await fetch(running.port)).status == 200


@in_loop
async def test_one_that_stops_has_nothing_to_give(tmp_path: Path) -> None:
    async with RawServer(ok()) as server, proxy(http_route(server.port)) as running:
        await wait_at(running, tmp_path / "takeover")
        (frontend,) = running.application.listeners.frontends
        frontend.stop()
        with logged() as log, await connected(tmp_path / "takeover") as end:
            assert await asyncio.get_running_loop().sock_recv(end, 1) == b""
            assert [line for line in log.of("ERROR") if "do not listen any more" in line]


@in_loop
async def test_a_lost_answer_is_an_error_of_the_channel() -> None:
    ours, theirs = socket.socketpair()
    channel = Channel(ours)
    with theirs:
        theirs.sendall(message(b'{"sockets":0,"answer":1}'))
        with pytest.raises(ChannelError, match="cannot be understood"):
            await channel.ask("look")
    channel.close()


def test_sockets_of_a_port_of_any_kind_are_taken_by_name() -> None:
    (one,) = open_sockets("127.0.0.1", 0)
    handed = HandedSockets()
    handed.give(["frontend"], [one])
    assert handed.are_in_use
    assert handed.take("frontend", "127.0.0.1", 0) == [one]
    one.close()
