"""Three servers under steady load, and all that can happen to one of them: hardly a client notices, and nothing leaks.

WSPROXY_CHAOS_S is how long each trouble lasts, 3 seconds by default.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.integration.harness import LOST, Wire, connect, eventually, get, refused_port
from tests.system.harness import Spawned, spawned

TROUBLE_S = float(os.environ.get("WSPROXY_CHAOS_S", "2"))
CLIENTS = 12
PAUSE_S = 0.05
"""Between two requests of a client: 240 a second in all."""
FAILING_SHARE = 0.001
INTERVAL_S, RISE = 0.5, 2
SLACK_S = 1.75
"""Besides `interval` x `rise`: a start of the sweep, a turn of round-robin, and a busy machine."""
ANSWER_WITHIN_S = 10.0
LEAKED_BYTES = 24 * 1024**2

linux = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="descriptors are counted in /proc (Linux)")

ROUTE = f"""
[http]
algorithm = round-robin
retries = 1
retry_status = 500
connect_timeout = 500ms
response_timeout = 500ms
max_workers = 20
enable_health_check = yes
health_check_interval = {INTERVAL_S:g}s
health_check_timeout = 400ms
health_check_fall = 2
health_check_rise = {RISE}
outlier_time = 2s
"""


class MoodyServer:
    """An upstream server in a process of its own."""

    def __init__(self, name: str, port: int) -> None:
        self.name = name
        self.port = port
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Listen."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "tests.system.moody_server", str(self.port), self.name),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert self._process.stdout is not None
        assert await self._process.stdout.readline() == b"ready\n"

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def be(self, mood: str) -> None:
        """Have it answer in another way."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(mood.encode() + b"\n")

    async def kill(self) -> None:
        """End it at once."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()


class Load:
    """Steady requests, and what came of them. seen_at: when each server last answered (monotonic)."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.outcomes: Counter[str] = Counter()
        self.failures: list[str] = []
        self.trouble = "no trouble"
        self.seen_at: dict[str, float] = {}

    async def client(self) -> None:
        """One request after the other, over one connection for as long as that lasts."""
        while True:
            try:
                async with await connect(self._port) as wire:
                    may_go_on = True
                    while may_go_on:
                        with anyio.fail_after(ANSWER_WITHIN_S):
                            may_go_on = await self._ask(wire)
                        await anyio.sleep(PAUSE_S)  # what makes the load steady
            except (*LOST, TimeoutError) as error:
                self._count(f"{type(error).__name__}")

    async def _ask(self, wire: Wire) -> bool:
        """One request; True when the connection may go on."""
        await wire.send(get())
        answer = await wire.response()
        wire.received.clear()
        if answer.status == 200:
            self.outcomes["well"] += 1
            self.seen_at[answer.body.decode()] = time.monotonic()
        else:
            self._count(f"{answer.status} {answer.body!r}")
        return answer.field(b"connection") != b"close"

    def _count(self, failure: str) -> None:
        self.outcomes["failed"] += 1
        self.failures.append(f"{self.trouble}: {failure}")

    async def is_used_again(self, server: MoodyServer, within_s: float) -> None:
        """Return once this server answers again, which must be so in time."""
        since = time.monotonic()
        with anyio.move_on_after(within_s) as scope:
            await eventually(lambda: self.seen_at.get(server.name, 0.0) > since)
        assert not scope.cancelled_caught, f"{server.name} is not used {within_s} s after {self.trouble}"


class Names:
    """The hosts file of a proxy in a mount namespace of its own, so that names come and go as the test says."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._usual = Path("/etc/hosts").read_text()
        self.set("")

    def set(self, line: str) -> None:
        """One name besides the usual ones."""
        self._path.write_text(f"{self._usual}\n{line}\n")

    @property
    def command(self) -> tuple[str, ...]:
        """What to run a program with that is to see this file."""
        as_root = () if os.geteuid() == 0 else ("-r",)
        script = 'mount --bind "$0" /etc/hosts && exec "$@"'
        return ("unshare", *as_root, "-m", "sh", "-c", script, str(self._path))

    async def are_possible(self) -> bool:
        """Whether this machine lets us have such a namespace."""
        try:
            process = await asyncio.create_subprocess_exec(
                *self.command, "true", stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
            )
        except FileNotFoundError:
            return False
        return await process.wait() == 0


@asynccontextmanager
async def moody_servers() -> AsyncIterator[list[MoodyServer]]:
    servers = [MoodyServer(name, await refused_port()) for name in ("ann", "bob", "cat")]
    try:
        for server in servers:
            await server.start()
        yield servers
    finally:
        for server in servers:
            await server.kill()


class Figures:
    """What the proxy holds."""

    def __init__(self, running: Spawned) -> None:
        process = Path(f"/proc/{running.process.pid}")
        self.descriptors = len(list((process / "fd").iterdir()))
        resident = (process / "statm").read_text().split()[1]
        self.memory_bytes = int(resident) * os.sysconf("SC_PAGE_SIZE")


@linux
@pytest.mark.timeout(300 + 20 * TROUBLE_S)
def test_trouble_with_one_of_three_servers_under_load(tmp_path: Path) -> None:
    anyio.run(_trouble, tmp_path, backend_options={"use_uvloop": True})


async def _trouble(tmp_path: Path) -> None:
    names = Names(tmp_path / "hosts")
    has_names = await names.are_possible()
    admin_port = await refused_port()
    async with moody_servers() as servers:
        ann, bob, cat = servers
        host = "cat.chaos.test" if has_names else "127.0.0.1"
        known = f"127.0.0.1 {host}"
        names.set(known)
        route = f"{ROUTE}server1 = 127.0.0.1:{ann.port}\nserver2 = 127.0.0.1:{bob.port}\nserver3 = {host}:{cat.port}\n"
        route += f"[admin]\nport = {admin_port}\n"
        async with spawned(tmp_path, route, prefix=names.command if has_names else ()) as running:
            load = Load(running.port)
            async with asyncio.TaskGroup() as tasks:
                clients = [tasks.create_task(load.client()) for _ in range(CLIENTS)]
                for server in servers:
                    await load.is_used_again(server, 5)
                before = Figures(running)
                await _all_troubles(load, servers)
                if has_names:
                    load.trouble = "a name that does not resolve"
                    names.set("")
                    await anyio.sleep(TROUBLE_S)
                    names.set(known)
                    await load.is_used_again(cat, 2 * RISE * INTERVAL_S)
                after = Figures(running)
                for client in clients:
                    client.cancel()
            _judge(load, running)
            assert after.descriptors <= before.descriptors + 3 * CLIENTS, "connections are left behind"
            assert after.memory_bytes - before.memory_bytes < LEAKED_BYTES
            with anyio.move_on_after(ANSWER_WITHIN_S):  # the clients have left just now, some in the middle
                while not all(map(is_at_rest, await _backends(admin_port))):  # noqa: ASYNC110 - it is asked for
                    await anyio.sleep(PAUSE_S)
            backends = await _backends(admin_port)
            assert all(map(is_at_rest, backends)), backends


def is_at_rest(backend: dict[str, Any]) -> bool:
    """Whether a server is well, and nothing of the load is left with it."""
    return bool(backend["queue"] == 0 and backend["workers"] <= 20 and backend["state"] == "up")


async def _backends(admin_port: int) -> list[dict[str, Any]]:
    """What the proxy says of its servers."""
    async with await connect(admin_port) as wire:
        await wire.send(b"GET /status HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        found: list[dict[str, Any]] = json.loads((await wire.response()).body)["backends"]
        return found


async def _all_troubles(load: Load, servers: list[MoodyServer]) -> None:
    """One after the other, each with another server in order."""
    ann, bob, cat = servers
    back_s = INTERVAL_S * RISE + SLACK_S

    load.trouble = "a kill"
    await ann.kill()
    await anyio.sleep(TROUBLE_S)
    await ann.start()
    await load.is_used_again(ann, back_s)

    load.trouble = "a short absence"  # health checks may not have noticed
    await bob.kill()
    await bob.start()
    await load.is_used_again(bob, back_s)

    load.trouble = "a stop"
    bob.send(signal.SIGSTOP)
    await anyio.sleep(TROUBLE_S)
    bob.send(signal.SIGCONT)
    await load.is_used_again(bob, back_s)

    for server, mood in ((cat, "slow 0.3"), (ann, "reset"), (bob, "oops 0.3")):
        load.trouble = mood
        server.be(mood)
        await anyio.sleep(TROUBLE_S)
        server.be("well")
        await load.is_used_again(server, 2 * back_s)  # an ejection for bad answers is not cut short


def _judge(load: Load, running: Spawned) -> None:
    total = load.outcomes.total()
    failed = load.outcomes["failed"]
    print(f"{failed} of {total} requests failed: {Counter(load.failures)}")
    assert total > TROUBLE_S * CLIENTS / PAUSE_S, "there was no steady load"
    assert failed < FAILING_SHARE * total, f"{failed} of {total} failed: {Counter(load.failures)}"
    assert not [line for line in running.log if "Traceback" in line or "internal error" in line], running.log
