"""A group's servers as real processes on unix sockets: ready, gone, back again, and nothing left in the end."""

from __future__ import annotations

import logging
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from tests.integration.harness import eventually
from wsproxy.config.group_settings import Address, ManagedSettings, ServerSettings
from wsproxy.managed.restart import SHORT_LIVES
from wsproxy.managed.servers import ManagedServers

GRACE_S = 20.0  # ample for a busy machine; no test waits for it to pass

# Answers each connection with its process id, its directory and a variable, and holds it open.
SERVER = (
    "import os, socket, sys\n"
    "listener = socket.socket(socket.AF_UNIX); listener.bind(sys.argv[1]); listener.listen(); kept = []\n"
    "while True:\n"
    "    kept.append(listener.accept()[0])\n"
    "    try: kept[-1].sendall(f'{os.getpid()}|{os.getcwd()}|{os.environ.get(\"COLOUR\")}|{sys.argv[2]}'.encode())\n"
    "    except OSError: pass\n"
)
COMMAND = ("<python>", "-c", SERVER, "<sock>", "<name>")
TEMPLATE = ServerSettings(name="", address=Address(), max_workers=7)


class Sink:
    """Keeps what it is told, and lets the test wait for it."""

    def __init__(self) -> None:
        self.ready: dict[str, ServerSettings] = {}
        self.events: list[tuple[str, str]] = []
        self._changed = anyio.Event()

    async def server_ready(self, server: ServerSettings) -> None:
        self.ready[server.name] = server
        self._note("ready", server.name)

    async def server_leaving(self, name: str) -> None:
        self._note("leaving", name)

    async def server_gone(self, name: str, reason: str) -> None:
        self._note(f"gone: {reason}", name)

    def _note(self, what: str, name: str) -> None:
        self.events.append((what, name))
        self._changed.set()
        self._changed = anyio.Event()

    async def until(self, count: int) -> None:
        with anyio.fail_after(GRACE_S):
            while len(self.events) < count:
                await self._changed.wait()


class Delays:
    """Takes the place of the pause before a restart: notes how long it would be, and lets `count` of them pass."""

    def __init__(self, count: int = 0) -> None:
        self.noted: list[float] = []
        self._left = count
        self.exhausted = anyio.Event()

    async def __call__(self, delay_s: float) -> None:
        self.noted.append(delay_s)
        self._left -= 1
        if self._left < 0:
            self.exhausted.set()
            await anyio.sleep_forever()


def ask(server: ServerSettings) -> list[str]:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(GRACE_S)
        connection.connect(server.address.unix_path)
        return connection.recv(1000).decode().split("|")


@asynccontextmanager
async def running(managed: ManagedServers) -> AsyncIterator[None]:
    managed.stop_timeout_s = GRACE_S
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(managed.run)
        yield
        tasks.cancel_scope.cancel()


def test_each_server_is_ready_on_a_socket_of_its_own_and_gone_without_trace() -> None:
    async def main() -> None:
        sink = Sink()
        managed = ManagedServers(ManagedSettings(COMMAND, startup_servers=2), "http:api", TEMPLATE, sink)
        async with running(managed):
            await sink.until(2)
            servers = [sink.ready["http:api-1"], sink.ready["http:api-2"]]
            assert all(server.max_workers == 7 for server in servers)
            pids = [int(ask(server)[0]) for server in servers]
            assert len(set(pids)) == 2
            directory = Path(servers[0].address.unix_path).parent
            assert stat.S_IMODE(directory.stat().st_mode) == 0o700
            assert len(servers[0].address.unix_path) < 100
        for pid in pids:
            with pytest.raises(ProcessLookupError):
                os.kill(pid, 0)
        assert not directory.exists()
        assert {what for what, _ in sink.events} == {"ready"}

    anyio.run(main, backend_options={"use_uvloop": True})


def test_a_killed_server_is_gone_and_comes_back_under_its_name() -> None:
    async def main() -> None:
        sink, delays = Sink(), Delays(1)
        managed = ManagedServers(ManagedSettings(COMMAND), "web", TEMPLATE, sink, delays)
        async with running(managed):
            await sink.until(1)
            first = ask(sink.ready["web-1"])[0]
            os.kill(int(first), signal.SIGKILL)
            await sink.until(3)
            assert sink.events == [("ready", "web-1"), ("gone: killed by SIGKILL", "web-1"), ("ready", "web-1")]
            assert ask(sink.ready["web-1"])[0] != first
        assert delays.noted == [0.5]

    anyio.run(main, backend_options={"use_uvloop": True})


def test_environment_and_working_directory(tmp_path: Path) -> None:
    async def main() -> None:
        sink = Sink()
        settings = ManagedSettings(COMMAND, environment=(("COLOUR", "<sock>"),), working_directory=str(tmp_path))
        async with running(ManagedServers(settings, "web", TEMPLATE, sink)):
            await sink.until(1)
            server = sink.ready["web-1"]
            assert ask(server)[1:] == [str(tmp_path), server.address.unix_path, server.name]

    anyio.run(main, backend_options={"use_uvloop": True})


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        (ManagedSettings(("/no/such/program",)), "web-1 has ended (exit status 127), starts again in 0.5 s"),
        (ManagedSettings(("<python>", "-c", "exit(3)")), "web-1 has ended (exit status 3), starts again in 0.5 s"),
        (
            ManagedSettings(COMMAND, environment=(("X", "x" * 10_000_000),)),
            "web-1 has ended (cannot be started: [Errno 7] Argument list too long), starts again in 0.5 s",
        ),
    ],
)
def test_a_server_that_cannot_start_is_tried_ever_less_often(
    settings: ManagedSettings, line: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        sink, delays = Sink(), Delays(3)
        async with running(ManagedServers(settings, "web", TEMPLATE, sink, delays)):
            with anyio.fail_after(GRACE_S):
                await delays.exhausted.wait()
        assert delays.noted == [0.5, 1, 2, 4]
        assert sink.events == []  # never ready, so never gone

    with caplog.at_level(logging.INFO, "wsproxy.managed"):
        anyio.run(main, backend_options={"use_uvloop": True})
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert warnings[0] == line
    assert not any("Traceback" in record.getMessage() for record in caplog.records)


def test_a_server_that_dies_while_the_sink_is_being_told_is_told_of_as_gone() -> None:
    class KillingSink(Sink):
        async def server_ready(self, server: ServerSettings) -> None:
            os.kill(int(ask(server)[0]), signal.SIGKILL)
            await super().server_ready(server)

    async def main() -> None:
        sink = KillingSink()
        async with running(ManagedServers(ManagedSettings(COMMAND), "web", TEMPLATE, sink, Delays())):
            await sink.until(2)
        assert sink.events == [("ready", "web-1"), ("gone: killed by SIGKILL", "web-1")]

    anyio.run(main, backend_options={"use_uvloop": True})


def test_the_directorys_path_is_short_wherever_temporary_files_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(deep))

    async def main() -> None:
        sink = Sink()
        async with running(ManagedServers(ManagedSettings(COMMAND), "web", TEMPLATE, sink)):
            await sink.until(1)
            assert len(sink.ready["web-1"].address.unix_path) < 100
        assert list(deep.iterdir()) == []

    anyio.run(main, backend_options={"use_uvloop": True})


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can tie a process to its parent's life")
def test_no_server_outlives_a_proxy_that_was_killed() -> None:
    proxy = (
        "import anyio, sys\n"
        "from wsproxy.managed.servers import ManagedServers\n"
        "from tests.managed.test_servers import COMMAND, TEMPLATE, ManagedSettings\n"
        "class Sink:\n"
        "    async def server_ready(self, server): print(server.address.unix_path, flush=True)\n"
        "    async def server_leaving(self, name): pass\n"
        "    async def server_gone(self, name, reason): pass\n"
        "managed = ManagedServers(ManagedSettings(COMMAND), 'web', TEMPLATE, Sink())\n"
        "anyio.run(managed.run, backend_options={'use_uvloop': True})\n"
    )
    with subprocess.Popen([sys.executable, "-c", proxy], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        path = process.stdout.readline().strip()
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(GRACE_S)
            connection.connect(path)
            assert connection.recv(1000)
            process.kill()
            assert connection.recv(1000) == b""  # the end of the server is the end of its connections
    Path(path).unlink()
    Path(path).parent.rmdir()


class DrainingSink(Sink):
    """Takes its time to let a server go."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = anyio.Event()

    async def server_leaving(self, name: str) -> None:
        self._note("leaving", name)
        await self.unused.wait()


def states(managed: ManagedServers) -> dict[str, str]:
    return {server.name: server.state for server in managed.look()}


def test_one_more_is_started_up_to_the_most_and_the_youngest_let_go_down_to_the_first() -> None:
    async def main() -> None:
        sink = DrainingSink()
        managed = ManagedServers(ManagedSettings(COMMAND, max_servers=2), "web", TEMPLATE, sink)
        async with running(managed):
            await sink.until(1)
            assert managed.stop_one() is None
            assert managed.start_one() == "web-2"
            assert managed.start_one() is None
            await sink.until(2)
            pid = int(ask(sink.ready["web-2"])[0])
            assert (managed.ready, managed.wanted) == (2, 2)
            assert managed.stop_one() == "web-2"
            assert managed.stop_one() is None
            await sink.until(3)
            assert sink.events[2] == ("leaving", "web-2")
            os.kill(pid, 0)  # it lives until nothing uses it
            assert states(managed) == {"web-1": "ready", "web-2": "leaving"}
            sink.unused.set()
            await eventually(lambda: states(managed) == {"web-1": "ready"})
            with pytest.raises(ProcessLookupError):
                os.kill(pid, 0)
            assert managed.start_one() == "web-2"
            await sink.until(4)

    anyio.run(main, backend_options={"use_uvloop": True})


def test_another_command_replaces_each_server_after_another_is_ready() -> None:
    async def main() -> None:
        sink = DrainingSink()
        sink.unused.set()
        old = ManagedSettings(COMMAND, startup_servers=2, max_servers=2)
        managed = ManagedServers(old, "web", TEMPLATE, sink)
        async with running(managed):
            await sink.until(2)
            managed.use(replace(old, environment=(("COLOUR", "blue"),)), TEMPLATE)
            await sink.until(6)
            assert [name for what, name in sink.events[2:] if what == "leaving"] == ["web-1", "web-2"]
            assert sink.events[2] == ("ready", "web-3")  # the new one first
            await eventually(lambda: set(states(managed).values()) == {"ready"} and len(states(managed)) == 2)
            assert {ask(sink.ready[name])[2] for name in states(managed)} == {"blue"}

    anyio.run(main, backend_options={"use_uvloop": True})


def test_a_replacement_that_does_not_come_up_leaves_the_old_ones(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("wsproxy.managed.servers.REPLACE_LIMIT_S", 0.3)

    async def main() -> None:
        sink = DrainingSink()
        old = ManagedSettings(COMMAND)
        managed = ManagedServers(old, "web", TEMPLATE, sink, Delays())
        async with running(managed):
            await sink.until(1)
            managed.use(replace(old, command=("<python>", "-c", "exit(1)", "<sock>")), TEMPLATE)
            await eventually(lambda: any("does not become ready" in record.getMessage() for record in caplog.records))
            await eventually(lambda: states(managed) == {"web-1": "ready"})
        assert sink.events == [("ready", "web-1")]

    with caplog.at_level(logging.INFO, "wsproxy.managed"):
        anyio.run(main, backend_options={"use_uvloop": True})


def test_a_crash_loop_ends_and_a_reload_tries_again(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        sink, delays = Sink(), Delays(1000)
        settings = ManagedSettings(("<python>", "-S", "-c", "raise SystemExit(3)"))
        managed = ManagedServers(settings, "web", TEMPLATE, sink, delays)
        async with running(managed):
            await eventually(lambda: states(managed) == {"web-1": "failed"})
            assert len(delays.noted) == SHORT_LIVES - 1
            managed.revive()
            await eventually(lambda: len(delays.noted) > SHORT_LIVES)

    with caplog.at_level(logging.ERROR, "wsproxy.managed"):
        anyio.run(main, backend_options={"use_uvloop": True})
    assert "again and again (exit status 3)" in caplog.records[0].getMessage()


def test_readiness_is_asked_of_a_server_that_takes_connections() -> None:
    async def main() -> None:
        sink, asked = Sink(), 0

        async def is_ready(server: ServerSettings) -> bool:
            nonlocal asked
            asked += 1
            assert sink.events == []
            return asked == 3

        managed = ManagedServers(ManagedSettings(COMMAND), "web", TEMPLATE, sink)
        managed.is_ready = is_ready
        async with running(managed):
            await sink.until(1)
        assert asked == 3

    anyio.run(main, backend_options={"use_uvloop": True})
