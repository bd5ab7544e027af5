"""What a second process gains: one and two processes under the same load, each with the whole machine.

    python -m loadtests.processes

Load and origin need their share of the same cores, so the requests a second of two processes say little by themselves.
Two figures together do: the CPU time per request, with as many processes as there are cores and all of them busy, and
the work that is almost all the proxy's own (compressing 1 MiB), where load and origin take little. What a machine of
as many cores could do if load and origin were elsewhere is cores / CPU per request.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import cast

import uvloop

from loadtests.measure import cpu_seconds, process_tree
from loadtests.soak import free_port, spawn, until

INI = """\
[frontend]
host = 127.0.0.1
port = {port}
processes = {processes}
[log]
access = off
[http]
server1 = 127.0.0.1:{origin}
max_workers = 64
{lines}
"""
CONNECTIONS = 64
ROWS = {
    "HTTP 70 B": ("/70", ""),
    "compressing 1 MiB": ("/1m", "compress = gzip"),
}
REQUEST = b"GET %b HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept-Encoding: gzip\r\n\r\n"
END_OF_CHUNKS = b"\r\n0\r\n\r\n"


class Client(asyncio.Protocol):
    """One connection that asks again as soon as it was answered. answered: how often that was."""

    def __init__(self, target: str) -> None:
        self.answered = 0
        self._request = REQUEST % target.encode()
        self._held = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the first time."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Ask again behind a whole answer."""
        self._held += data
        head, _, body = self._held.partition(b"\r\n\r\n")
        is_chunked = b"transfer-encoding" in head.lower()
        if self._held.endswith(END_OF_CHUNKS) if is_chunked else len(body) >= 70:
            self._held = b""
            self.answered += 1
            if b"\r\nconnection: close" in head.lower():
                self._transport.close()
            else:
                self._transport.write(self._request)


async def measure(processes: int, row: str, origin: int, seconds: float) -> tuple[float, float]:
    """Requests a second, and microseconds of the proxy's CPU for each."""
    target, lines = ROWS[row]
    port = free_port()
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "proxy.ini"
        path.write_text(INI.format(port=port, processes=processes, origin=origin, lines=lines))
        with (Path(directory) / "log").open("wb") as log:
            pid = spawn([sys.executable, "-m", "wsproxy", str(path)], log)
            try:
                return await _load(pid, port, target, seconds)
            finally:
                os.kill(pid, 15)
                await asyncio.to_thread(os.waitpid, pid, 0)


async def _load(pid: int, port: int, target: str, seconds: float) -> tuple[float, float]:
    loop = asyncio.get_running_loop()

    async def is_up() -> bool:
        try:
            transport, _ = await loop.create_connection(asyncio.Protocol, "127.0.0.1", port)
        except OSError:
            return False
        transport.close()
        return True

    await until(is_up)
    clients = []
    for _ in range(CONNECTIONS):
        _, client = await loop.create_connection(lambda: Client(target), "127.0.0.1", port)
        clients.append(client)
    await asyncio.sleep(1)
    tree = process_tree(pid)
    before, began = cpu_seconds(tree), perf_counter()
    count = sum(client.answered for client in clients)
    await asyncio.sleep(seconds)
    count = sum(client.answered for client in clients) - count
    passed_s, spent_s = perf_counter() - began, cpu_seconds(tree) - before
    return count / passed_s, spent_s / count * 1e6


async def compare(rounds: int, seconds: float) -> None:
    """Print a line for each row."""
    origin_port = free_port()
    origin = spawn([sys.executable, "-m", "loadtests.origin", str(origin_port)])
    cores = os.cpu_count() or 1
    found: dict[tuple[str, int], list[tuple[float, float]]] = defaultdict(list)
    try:
        for _ in range(rounds):
            for row in ROWS:
                for processes in (1, 2):
                    found[row, processes].append(await measure(processes, row, origin_port, seconds))
    finally:
        os.kill(origin, 9)
        await asyncio.to_thread(os.waitpid, origin, 0)
    for row in ROWS:
        rates, costs = ([median(each[i] for each in found[row, count]) for count in (1, 2)] for i in (0, 1))
        print(f"{row}: {rates[0]:,.0f} and {rates[1]:,.0f} requests a second ({rates[1] / rates[0]:.2f} x);")
        print(f"    {costs[0]:,.1f} and {costs[1]:,.1f} us of CPU for each: two on two cores of their own")
        print(f"    could do {2 * costs[0] / costs[1]:.2f} x of what one does on one (this machine has {cores} cores)")


def main() -> None:
    """Read the command line and run."""
    about = (__doc__ or "").partition("\n")[0]
    parser = argparse.ArgumentParser(prog="python -m loadtests.processes", description=about)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0)
    options = parser.parse_args()
    uvloop.run(compare(options.rounds, options.seconds))


if __name__ == "__main__":
    main()
