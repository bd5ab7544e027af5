"""How processes are kept alive, with real ones that are killed or cannot start."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import anyio
import pytest

from tests.integration.harness import RawServer, eventually, fetch, http_route, in_loop, logged, ok
from wsproxy.net.listen import open_sockets
from wsproxy.net.shared_memory import SharedMemory
from wsproxy.observe import merging
from wsproxy.supervisor import children as module
from wsproxy.supervisor.child import Child
from wsproxy.supervisor.children import CRASH_LOOP, Children
from wsproxy.supervisor.following import GroupState, ServerState
from wsproxy.supervisor.forks import Forks
from wsproxy.supervisor.orders import Orders
from wsproxy.supervisor.source import Source


class Keeper:
    """Children, and the orders they get."""

    def __init__(self, text: str, count: int = 2) -> None:
        self.text = text
        (self.socket,) = open_sockets("127.0.0.1", 0)
        self.port = self.socket.getsockname()[1]
        self.children = Children(count, self.orders, SharedMemory())

    def orders(self) -> Orders:
        source = Source(self.text, "test.ini", "/")
        states = tuple(
            GroupState(group.name, tuple(ServerState(server) for server in group.servers))
            for group in source.load().groups
        )
        return Orders(source, self.children.count, b"x" * 32, {"frontend": [self.socket]}, states)


@asynccontextmanager
async def kept(text: str, count: int = 2) -> AsyncIterator[Keeper]:
    keeper = Keeper(text, count)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(keeper.children.run)
        await keeper.children.up.wait()
        yield keeper
        tasks.cancel_scope.cancel()
    keeper.socket.close()


def ini(port: int) -> str:
    return f"[frontend]\nhost = 127.0.0.1\nport = 0\n[log]\naccess = off\n{http_route(port)}"


@in_loop
async def test_what_a_process_has_counted_outlives_it() -> None:
    async with RawServer(ok()) as server, kept(ini(server.port), count=1) as keeper:
        for _ in range(3):
            assert (await fetch(keeper.port)).status == 200
        (figures,) = await keeper.children.snapshots()
        (child,) = keeper.children.serving
        with logged() as log:
            os.kill(child.pid, signal.SIGKILL)
            await eventually(lambda: keeper.children.deaths == 1)
        assert log.of("ERROR") == ["process 1 has ended (SIGKILL), starts again at once"]
        await eventually(lambda: bool(keeper.children.serving))
        new, past = await keeper.children.snapshots()
        assert [each.frontends[0].accepted for each in (figures, new, past)] == [3, 0, 3]
        assert past.processes == ()


@in_loop
async def test_what_is_remembered_of_servers_that_have_gone_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merging, "MOST_NAMES", 0)
    async with RawServer(ok()) as server, kept(ini(server.port), count=1) as keeper:
        assert (await fetch(keeper.port)).status == 200
        await keeper.children.snapshots()
        keeper.text = ini(1)
        (child,) = keeper.children.serving
        os.kill(child.pid, signal.SIGKILL)
        await eventually(lambda: keeper.children.deaths == 1)
        assert keeper.children.past is not None
        assert (keeper.children.past.frontends[0].accepted, list(keeper.children.past.backends())) == (1, [])


@in_loop
async def test_a_crash_loop_is_said_aloud_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RestartState", lambda **_: _AtOnce())
    async with RawServer(ok()) as server, kept(ini(server.port)) as keeper:
        with logged() as log:
            for death in range(1, CRASH_LOOP + 1):
                await eventually(lambda: 0 in keeper.children.alive and keeper.children.alive[0].serving)
                assert keeper.children.trouble == ""
                os.kill(keeper.children.alive[0].pid, signal.SIGKILL)
                await eventually(lambda death=death: keeper.children.deaths == death)  # type: ignore[misc]
            assert keeper.children.trouble == "process 1 keeps ending (SIGKILL)"
            assert log.of("CRITICAL") == ["process 1 keeps ending: the others go on without it"]
            assert (await fetch(keeper.port)).status == 200


class _AtOnce:
    """Waits for nothing."""

    def delay_s(self, lived_s: float) -> float:
        return 0.01


@in_loop
async def test_one_that_cannot_start_says_why(tmp_path: Path) -> None:
    text = f"[frontend]\nhost = 127.0.0.1\nport = 0\ntls_certificate = {tmp_path}/no.pem\ntls_key = {tmp_path}/no.key\n"
    with logged() as log:
        async with kept(text + http_route(1), count=1) as keeper:
            assert not keeper.children.serving
    assert any("process 1 has ended" in line and "no.pem" in line for line in log.of("ERROR"))


@in_loop
async def test_one_that_does_not_follow_is_replaced() -> None:
    async with RawServer(ok()) as server, kept(ini(server.port)) as keeper:
        first = keeper.children.alive[0]
        assert await keeper.children.oblige("commit", {"states": []}) == 0  # nothing was prepared: both refuse
        await eventually(lambda: keeper.children.deaths == 2)
        await eventually(lambda: len(keeper.children.serving) == 2)
        assert keeper.children.alive[0] is not first
        assert (await fetch(keeper.port)).status == 200


@in_loop
async def test_one_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_EVERY_S", 0.1)
    monkeypatch.setattr(module, "HANGS_S", 0.5)
    async with RawServer(ok()) as server, kept(ini(server.port)) as keeper:
        hung = keeper.children.alive[1]
        os.kill(hung.pid, signal.SIGSTOP)
        await eventually(lambda: keeper.children.deaths == 1)
        assert hung.reason == "it does not answer"
        await eventually(lambda: len(keeper.children.serving) == 2)


@in_loop
async def test_they_end_when_told_to() -> None:
    async with RawServer(ok()) as server, kept(ini(server.port)) as keeper:
        pids = [child.pid for child in keeper.children.serving]
        await keeper.children.stop()
        await keeper.children.ended.wait()
        await eventually(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids))
        assert keeper.children.deaths == 0


@in_loop
async def test_one_that_is_forked_while_they_end_does_not_serve(monkeypatch: pytest.MonkeyPatch) -> None:
    start = Child.start

    async def slow(index: int, forks: Forks) -> Child:
        child = await start(index, forks)
        await keeper.children.stop()
        return child

    async with RawServer(ok()) as server, kept(ini(server.port)) as keeper:
        monkeypatch.setattr(Child, "start", slow)
        with logged() as log, anyio.fail_after(5):
            os.kill(keeper.children.serving[0].pid, signal.SIGKILL)
            await keeper.children.ended.wait()
        assert not log.of("INFO")  # nobody served any more


@pytest.mark.parametrize("asked_before", [0, 1])
@in_loop
async def test_one_that_was_killed_before_it_could_follow_was_killed(asked_before: int) -> None:
    async with RawServer(ok()) as server, kept(ini(server.port)) as keeper:
        with logged() as log:
            victim = keeper.children.alive[0]
            os.kill(victim.pid, signal.SIGKILL)
            _wait_for_the_end(victim.pid)
            for _ in range(asked_before):  # a reload asks to prepare first
                await keeper.children.ask_all("figures")
            await keeper.children.oblige("figures", {})
            await eventually(lambda: keeper.children.deaths == 1)
        assert "process 1 has ended (SIGKILL), starts again at once" in log.of("ERROR")


def _wait_for_the_end(pid: int) -> None:
    """Before the loop can hear of it."""
    with suppress(FileNotFoundError, ProcessLookupError):
        while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
            pass
