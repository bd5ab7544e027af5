"""The fork server and who asks it, with real processes that are forked, killed, and left behind."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from loadtests.measure import process_name
from tests.integration.harness import eventually, in_loop, logged
from wsproxy.net.shared_memory import SharedMemory
from wsproxy.net.turns import AcceptTurns
from wsproxy.supervisor import forks as module
from wsproxy.supervisor.fork_server import FORK_NAME
from wsproxy.supervisor.forks import Forked, Forks, ForkServer


@asynccontextmanager
async def fork_server() -> AsyncIterator[Forks]:
    forks = Forks((AcceptTurns(1).descriptor, SharedMemory().descriptor))
    try:
        yield forks
    finally:
        await forks.close()


async def fork(forks: Forks) -> tuple[Forked, socket.socket]:
    """A process that waits for its orders, and the parent's end of its channel: closed, it ends."""
    ours, theirs = socket.socketpair()
    with theirs:
        try:
            return await forks.fork(theirs), ours
        except OSError:
            ours.close()
            raise


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


@in_loop
async def test_one_server_forks_them_all_and_tells_how_each_has_ended() -> None:
    async with fork_server() as forks:
        first, its = await fork(forks)
        second, others = await fork(forks)
        (server,) = {parent_of(first.pid), parent_of(second.pid)}
        assert server != os.getpid()
        assert process_name(server) == FORK_NAME
        second.kill()
        assert await second.wait() == -signal.SIGKILL
        second.kill()  # nobody else has its id by now
        its.close()
        assert await first.wait() == 0
        others.close()
    assert process_name(server) == ""


@in_loop
async def test_a_process_has_only_its_own_channel() -> None:
    async with fork_server() as forks:
        first, its = await fork(forks)
        second, others = await fork(forks)
        its.close()  # nobody else holds the other end, so it ends
        assert await first.wait() == 0
        others.close()
        assert await second.wait() == 0


@in_loop
async def test_those_forked_outlive_the_server_and_their_end_is_seen() -> None:
    with logged() as log:
        async with fork_server() as forks:
            killed, its = await fork(forks)
            left, others = await fork(forks)
            server = parent_of(left.pid)
            os.kill(server, signal.SIGKILL)
            await eventually(lambda: parent_of(left.pid) != server)
            new, third = await fork(forks)
            assert parent_of(new.pid) not in (server, parent_of(left.pid))
            killed.kill()
            with anyio.fail_after(10):
                assert await killed.wait() in (None, -signal.SIGKILL)  # whose child it is by now may know
            others.close()
            with anyio.fail_after(10):
                assert await left.wait() in (None, 0)
            its.close()
            third.close()
    assert log.of("WARNING") == ["the fork server has ended before its time: the next process has another"]


@in_loop
async def test_an_end_is_seen_though_the_server_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TELL_S", 0.05, raising=False)
    with logged() as log:
        async with fork_server() as forks:
            forked, its = await fork(forks)
            os.kill(parent_of(forked.pid), signal.SIGSTOP)
            forked.kill()
            with anyio.fail_after(10):
                assert await forked.wait() in (None, -signal.SIGKILL)
            new, others = await fork(forks)  # nobody waits for one that hangs
            others.close()
            assert await new.wait() == 0
            its.close()
    assert log.of("WARNING") == [
        f"the fork server does not say how process id {forked.pid} has ended: ending it",
        "the fork server has ended before its time: the next process has another",
    ]


PR_SET_CHILD_SUBREAPER = 36  # <linux/prctl.h>


@pytest.fixture
def orphans() -> Iterator[None]:
    """They become this process's children, as all do that are process 1's."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    yield
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 0)


@pytest.mark.usefixtures("orphans")
@pytest.mark.parametrize("order", ["server first", "server last"])
@in_loop
async def test_one_who_inherits_orphans_waits_for_them(order: str) -> None:
    async with fork_server() as forks:
        forked, its = await fork(forks)
        server = parent_of(forked.pid)
        os.kill(server, signal.SIGSTOP)  # it will say nothing
        for victim in (server, forked.pid) if order == "server first" else (forked.pid, server):
            os.kill(victim, signal.SIGKILL)
        with anyio.fail_after(10):
            assert await forked.wait() == -signal.SIGKILL
        assert process_name(forked.pid) == ""
        its.close()


@in_loop
async def test_a_server_that_cannot_be_asked_has_gone_though_nobody_has_said_so() -> None:
    server = await ForkServer.start((AcceptTurns(1).descriptor, SharedMemory().descriptor))
    await _ask(server)
    its = server._process.pid
    os.kill(its, signal.SIGKILL)
    os.waitid(os.P_PID, its, os.WEXITED | os.WNOWAIT)  # noqa: ASYNC222 - the loop is not to hear of it
    with pytest.raises(ConnectionError):
        await _ask(server)
    assert server.is_gone
    await server.close()


@in_loop
async def test_what_can_no_longer_be_watched_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    def pidfd_open(pid: int) -> int:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(os, "pidfd_open", pidfd_open)
    async with fork_server() as forks:
        forked, its = await fork(forks)
        os.kill(parent_of(forked.pid), signal.SIGKILL)
        with anyio.fail_after(10):
            assert await forked.wait() is None
        assert its.recv(1) == b""  # it has ended
        its.close()


@in_loop
async def test_what_a_server_leaves_unanswered_the_next_one_is_asked() -> None:
    async with fork_server() as forks:
        first, its = await fork(forks)
        server = parent_of(first.pid)
        os.kill(server, signal.SIGSTOP)
        async with anyio.create_task_group() as tasks:
            asked = anyio.Event()

            async def ask() -> None:
                asked.set()
                second, others = await fork(forks)
                assert parent_of(second.pid) not in (server, parent_of(first.pid))
                others.close()

            tasks.start_soon(ask)
            await asked.wait()
            os.kill(server, signal.SIGKILL)
        its.close()


@in_loop
async def test_a_server_that_hangs_is_ended_and_the_next_one_forks(monkeypatch: pytest.MonkeyPatch) -> None:
    async with fork_server() as forks:
        first, its = await fork(forks)
        os.kill(parent_of(first.pid), signal.SIGSTOP)
        monkeypatch.setattr(module, "FORK_S", 0.05)
        with pytest.raises(TimeoutError, match=r"does not answer within 0\.05 s"):
            await fork(forks)
        monkeypatch.undo()
        its.close()
        with anyio.fail_after(10):
            assert await first.wait() in (None, 0)
        second, others = await fork(forks)
        others.close()
        assert await second.wait() == 0


STARTS = """
import sys
import anyio
from wsproxy.net.loop import has_uvloop
from wsproxy.supervisor import fork_server
fork_server.import_the_rest()
before = set(sys.modules)
anyio.run(anyio.sleep, 0, backend="asyncio", backend_options={"use_uvloop": has_uvloop()})
print(sorted(set(sys.modules) - before))
"""


@in_loop
async def test_an_event_loop_imports_nothing_that_the_server_has_not() -> None:
    ended = await anyio.run_process([sys.executable, "-c", STARTS])
    assert ended.stdout.decode().strip() == "[]"


@in_loop
async def test_what_a_process_maps_it_shares_with_the_server() -> None:
    async with fork_server() as forks:
        forked, its = await fork(forks)
        server = parent_of(forked.pid)
        await eventually(lambda: bool(_libraries(forked.pid, "uvloop")))  # it starts an event loop
        assert _libraries(forked.pid, "uvloop") <= _libraries(server, "uvloop")
        its.close()
        assert await forked.wait() == 0


def _libraries(pid: int, name: str) -> set[str]:
    return {line.split()[-1] for line in Path(f"/proc/{pid}/maps").read_text().splitlines() if name in line}


@in_loop
async def test_the_server_leaves_nothing_open_when_it_ends() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.shutdown(socket.SHUT_WR)
        python = [sys.executable, "-X", "dev", "-W", "error"]
        command = [*python, "-m", "wsproxy.supervisor", *([str(theirs.fileno())] * 3)]
        ended = await anyio.run_process(command, stderr=subprocess.PIPE, pass_fds=[theirs.fileno()])
    assert ended.stderr == b""


FULL = """
import errno, os, sys
def fork(): raise OSError(errno.EAGAIN, "")
os.fork = fork
from wsproxy.supervisor.fork_server import main
sys.exit(main(sys.argv[1:]))
"""


@in_loop
async def test_a_system_without_room_for_another_process_says_so() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        command = [sys.executable, "-c", FULL, *([str(theirs.fileno())] * 3)]
        process = await anyio.open_process(command, stdout=None, stderr=None, pass_fds=[theirs.fileno()])
    server = ForkServer(process, ours)
    with pytest.raises(BlockingIOError, match="temporarily unavailable"):
        await _ask(server)
    with pytest.raises(BlockingIOError):  # it goes on, and keeps nothing of what it could not do
        await _ask(server)
    assert len(os.listdir(f"/proc/{process.pid}/fd")) < 16
    await server.close()
    assert process.returncode == 0


async def _ask(server: ForkServer) -> Forked:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        return await server.fork(theirs)
