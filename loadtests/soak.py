"""A soak: steady requests and WebSockets while the proxy is reloaded, drained, upgraded and its processes are killed.

    python -m loadtests.soak --seconds 60                     about a minute; exit status 1 if anything was lost
    python -m loadtests.soak --seconds 1800 --processes 2     half an hour

Everything is on loopback. What a killed process carried is lost with it, and excused; nothing else is. At the end the
memory and the descriptors of the proxy are held against those after a sixth of the time, both while nothing is done to
it and every WebSocket is there. The last third of the time is without upgrades and kills: a process that is replaced
takes what it has leaked with it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from time import perf_counter
from typing import IO

import uvloop

from loadtests.measure import FORK_SERVER, anonymous_bytes, process_name, process_tree
from loadtests.peers import free_ports
from loadtests.soak_clients import HttpClient, Tally, WebSocketClient

ROOT = Path(__file__).resolve().parent.parent
CONNECTIONS = 50  # that share the requests: each one often enough to meet every change
MESSAGE_EVERY_S = 5.0  # on each WebSocket
START_LIMIT_S = 20.0
EXCUSED_S = 1.0  # after a kill: what the process carried shows as lost within that
FIRST_LOOK = 1 / 6  # of the time: pools have grown and all code has run
LAST_LIFE = 2 / 3  # of the time: nobody's life ends any more, so that what leaks adds up
ENDS_LIVES = ("upgrade", "kill")
MORE_DESCRIPTORS = 60  # are no leak: pools grow and shrink

INI = """\
[frontend]
host = 127.0.0.1
port = {port}
processes = {processes}
shutdown_timeout = {shutdown}s
takeover_socket = {directory}/takeover
[admin]
port = {admin}
[log]
access = off
[group:origin]
server1 = 127.0.0.1:{origin}
server2 = 127.0.0.2:{origin}
server2_weight = {weight}
max_workers = 50
min_workers = 5
[http]
group = origin
algorithm = weighted-round-robin
[websocket]
path_prefix = /ws
group = origin
algorithm = weighted-round-robin
"""


class Proxy:
    """The proxy under test, whichever process it is by now."""

    def __init__(self, directory: Path, options: argparse.Namespace, origin: int) -> None:
        self.port, self.admin_port = free_ports(2)
        self.pid = 0
        self.generation = 0
        self._path = directory / "soak.ini"
        self._options = options
        self.origin = origin
        self._log = (directory / "log").open("w+b")

    def write(self, weight: int) -> None:
        """Write the file anew."""
        self._path.write_text(
            INI.format(
                port=self.port,
                admin=self.admin_port,
                origin=self.origin,
                processes=self._options.processes,
                shutdown=self._options.shutdown,
                directory=self._path.parent,
                weight=weight,
            )
        )

    async def start(self) -> None:
        """Start it and wait until it is ready."""
        self.write(1)
        command = [sys.executable, "-m", "wsproxy", str(self._path)]
        self.pid = spawn(command, self._log)
        await until(self.is_ready)

    async def is_ready(self) -> bool:
        """What /readyz says."""
        with suppress(OSError):
            await self.ask("/readyz")
            return True
        return False

    async def ask(self, path: str, content: object = None) -> object:
        """One question to the admin API. Raises OSError."""
        data = None if content is None else json.dumps(content).encode()
        url = f"http://127.0.0.1:{self.admin_port}{path}"
        request = urllib.request.Request(url, data, {"Content-Type": "application/json"})

        def call() -> object:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return json.loads(answer.read())

        return await asyncio.to_thread(call)

    async def websockets(self) -> int:
        """How many are open. Raises OSError."""
        status = await self.ask("/status")
        assert isinstance(status, dict)
        return sum(backend["websockets"] for backend in status["backends"])

    def children(self) -> list[int]:
        """Its other processes; one that will succeed it is none of them."""
        return [pid for pid in process_tree(self.pid)[1:] if b"wsproxy.supervisor" in _command(pid)]

    def data_planes(self) -> list[int]:
        """Those of them that carry traffic."""
        return [pid for pid in self.children() if process_name(pid) != FORK_SERVER]

    def memory_bytes(self) -> int:
        """What all its processes have of memory: pages of files are shared with others of this machine."""
        return anonymous_bytes([self.pid, *self.children()])

    def descriptors(self) -> int:
        """The same of open descriptors."""
        return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in (self.pid, *self.children()))

    def log(self) -> str:
        """All it has said."""
        self._log.seek(0)
        return self._log.read().decode(errors="replace")

    def end(self) -> None:
        """End it, and wait for that."""
        for number, seconds in ((signal.SIGTERM, 15.0), (signal.SIGKILL, 5.0)):
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)
            until = perf_counter() + seconds
            while _is_alive(self.pid) and perf_counter() < until:
                _reap()
        self._log.close()


class Trouble:
    """What is done to the proxy, in turn. pause: held while nothing may be. ends_lives: processes, too."""

    def __init__(self, proxy: Proxy, tally: Tally, options: argparse.Namespace) -> None:
        self._proxy = proxy
        self._tally = tally
        self._kinds = [kind for kind in options.kinds if kind != "kill" or options.processes > 1]
        self._every_s = options.every
        self.done: list[str] = []
        self.pause = asyncio.Lock()
        self.ends_lives = True
        self.every_kind = asyncio.Event()

    async def run(self) -> None:
        """Until cancelled."""
        turn = 0
        while True:
            await asyncio.sleep(self._every_s)
            kind = self._kinds[turn % len(self._kinds)]
            if self.ends_lives or kind not in ENDS_LIVES:
                async with self.pause:
                    await getattr(self, f"_{kind}")()
                self.done.append(kind)
            turn += 1
            if turn == len(self._kinds):
                self.every_kind.set()

    async def _reload(self) -> None:
        self._proxy.write(random.randint(1, 9))
        await self._proxy.ask("/reload", {})

    async def _drain(self) -> None:
        name = {"backend": f"127.0.0.{random.randint(1, 2)}:{self._proxy.origin}", "group": "origin"}
        await self._proxy.ask("/backends/drain", name)
        await asyncio.sleep(1)
        await self._proxy.ask("/backends/enable", name)

    async def _upgrade(self) -> None:
        """Start a successor and wait until it is the one that runs."""
        before = self._proxy.pid
        os.kill(before, signal.SIGUSR2)
        mark = "serves from now on"
        count = self._proxy.log().count(mark)

        async def is_there() -> bool:
            return self._proxy.log().count(mark) > count

        await until(is_there)
        line = next(line for line in reversed(self._proxy.log().splitlines()) if mark in line)
        self._proxy.pid = int(line.split(f" {mark}")[0].rpartition(" ")[2])
        self._proxy.generation += 1

    async def _kill(self) -> None:
        self._tally.excuse_until = perf_counter() + EXCUSED_S
        os.kill(random.choice(self._proxy.data_planes()), signal.SIGKILL)


async def soak(options: argparse.Namespace) -> int:
    """Run it; the exit status."""
    with tempfile.TemporaryDirectory() as directory:
        (origin_port,) = free_ports(1)
        origin = spawn([sys.executable, "-m", "loadtests.origin", str(origin_port)])
        proxy = Proxy(Path(directory), options, origin_port)
        try:
            await proxy.start()
            return await _load(proxy, options)
        finally:
            proxy.end()
            os.kill(origin, signal.SIGKILL)
            _reap()


async def _load(proxy: Proxy, options: argparse.Namespace) -> int:
    tally = Tally()
    trouble = Trouble(proxy, tally, options)
    interval_s = CONNECTIONS / options.requests
    clients: list[HttpClient | WebSocketClient]
    clients = [HttpClient(proxy.port, tally, interval_s) for _ in range(CONNECTIONS)]
    clients += [WebSocketClient(proxy.port, tally, MESSAGE_EVERY_S) for _ in range(options.websockets)]
    tasks = [asyncio.create_task(client.run()) for client in clients]
    await asyncio.sleep(min(options.every, options.seconds * FIRST_LOOK))
    troubling = asyncio.create_task(trouble.run())
    await asyncio.sleep(options.seconds * FIRST_LOOK)
    looks = [await _look(proxy, trouble, options)]
    await asyncio.wait([troubling], timeout=options.seconds * (LAST_LIFE - FIRST_LOOK))
    until_all = asyncio.create_task(trouble.every_kind.wait())  # on a busy machine each takes longer
    await asyncio.wait([troubling, until_all], timeout=START_LIMIT_S, return_when=asyncio.FIRST_COMPLETED)
    until_all.cancel()
    trouble.ends_lives = False
    await asyncio.wait([troubling], timeout=options.seconds * (1 - LAST_LIFE))
    failed = troubling.exception() if troubling.done() else None
    looks.append(await _look(proxy, trouble, options))
    troubling.cancel()
    for task in tasks:
        task.cancel()
    broken = [each for each in await asyncio.gather(*tasks, return_exceptions=True) if isinstance(each, Exception)]
    report = {
        **vars(tally),
        "done": trouble.done,
        "generations": proxy.generation,
        "memory_mib": [round(look["memory"] / 2**20, 1) for look in looks],
        "descriptors": [look["descriptors"] for look in looks],
        "websockets": [look["websockets"] for look in looks],
        "errors": [line for line in proxy.log().splitlines() if "Traceback" in line or "internal error" in line],
    }
    print(json.dumps(report, indent=1))
    if failed is not None or broken:
        print(f"the soak itself failed: {failed!r} {broken[:3]!r}", file=sys.stderr)
        print(proxy.log()[-3000:], file=sys.stderr)
    complaints = leaks(looks[0], looks[1], options.growth)
    sys.stderr.writelines(f"{complaint}\n" for complaint in complaints)
    return int(bool(tally.lost or report["errors"] or failed or broken or complaints))


def leaks(first: dict[str, int], last: dict[str, int], growth: float) -> list[str]:
    """What has become more than it may, in words."""
    found = []
    grown = last["memory"] / first["memory"] - 1
    if grown > growth:
        found.append(f"memory has grown by {grown:.0%}")
    if last["descriptors"] > first["descriptors"] * (1 + growth) + MORE_DESCRIPTORS:
        found.append(f"descriptors have grown from {first['descriptors']} to {last['descriptors']}")
    if last["websockets"] < first["websockets"]:
        found.append(f"{first['websockets'] - last['websockets']} WebSockets did not come again")
    return found


async def _look(proxy: Proxy, trouble: Trouble, options: argparse.Namespace) -> dict[str, int]:
    """What the proxy has while it is left alone, once all WebSockets have come again."""
    async with trouble.pause:
        with suppress(TimeoutError):

            async def are_back() -> bool:
                return await proxy.websockets() >= int(options.websockets)

            await until(are_back)
        return {
            "memory": proxy.memory_bytes(),
            "descriptors": proxy.descriptors(),
            "websockets": await proxy.websockets(),
        }


def spawn(command: list[str], log: IO[bytes] | None = None) -> int:
    """Start a process; its id."""
    return subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log).pid


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Return once it holds. Raises TimeoutError."""
    async with asyncio.timeout(START_LIMIT_S):
        while not await condition():  # noqa: ASYNC110 - of another process there is no event
            await asyncio.sleep(0.1)


def _command(pid: int) -> bytes:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def _is_alive(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def _reap() -> None:
    with suppress(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.soak", description=(__doc__ or "").partition("\n")[0])
    kinds = ("reload", "upgrade", "drain", "kill")
    split: Callable[[str], list[str]] = lambda text: text.split(",")  # noqa: E731
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--requests", type=float, default=500.0, help="a second")
    parser.add_argument("--websockets", type=int, default=1000)
    parser.add_argument("--every", type=float, default=6.0, help="seconds between two troubles")
    parser.add_argument("--kinds", type=split, default=list(kinds), help=f"of trouble, in turn ({','.join(kinds)})")
    parser.add_argument("--shutdown", type=int, default=8, help="shutdown_timeout, seconds")
    parser.add_argument("--growth", type=float, default=0.05, help="of memory and descriptors that is no leak yet")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Exit status 0 if nothing was lost that should not be."""
    return uvloop.run(soak(parse_arguments(argv)))


if __name__ == "__main__":
    sys.exit(main())
