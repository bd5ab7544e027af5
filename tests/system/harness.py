"""The product as its users run it: `python -m wsproxy FILE` in a process of its own.

Knows command line, signals and /proc. Clients and servers are those of the integration tests.
"""

from __future__ import annotations

import asyncio
import os
import re
import resource
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import anyio

START_LIMIT_S = 60.0
"""What a start may take on a busy machine."""


class Spawned:
    """A running proxy process.

    log: the lines it wrote to standard error so far. port: where it listens, once it does.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.log: list[str] = []
        self.port = 0
        self._reading: asyncio.Task[None] | None = None

    async def wait_until(self, mark: str) -> None:
        """Read the log up to a line that holds `mark`, then go on reading it in the background."""
        assert self.process.stderr is not None
        with anyio.fail_after(START_LIMIT_S):
            while not (self.log and mark in self.log[-1]):
                line = (await self.process.stderr.readline()).decode()
                assert line, f"the proxy ended: {self.log}"
                self.log.append(line.rstrip())
        if found := re.search(r"listening on \S+:(\d+)", self.log[-1]):
            self.port = int(found[1])
        self._reading = asyncio.create_task(self._read())

    async def wait_for(self, mark: str) -> None:
        """Wait for a later line that holds `mark`."""
        with anyio.fail_after(START_LIMIT_S):
            while not any(mark in line for line in self.log):  # noqa: ASYNC110 - of lines there is no event
                await anyio.sleep(0.01)

    async def _read(self) -> None:
        assert self.process.stderr is not None
        while line := await self.process.stderr.readline():
            self.log.append(line.decode().rstrip())

    def signal(self, number: int) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    async def exit_code(self, within_s: float) -> int:
        """The exit code, which must come in time."""
        with anyio.fail_after(within_s):
            code = await self.process.wait()
            if self._reading is not None:
                await self._reading
            return code

    @property
    def peak_bytes(self) -> int:
        """The most memory that was resident, ever."""
        return self._status("VmHWM")

    @property
    def resident_bytes(self) -> int:
        """The memory that is resident now."""
        return self._status("VmRSS")

    def _status(self, name: str) -> int:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(rf"{name}:\s+(\d+) kB", status)
        assert found is not None
        return int(found[1]) * 1024


@asynccontextmanager
async def spawned(
    directory: Path,
    routes: str,
    frontend: str = "",
    files: int | None = None,
    started: str = "listening on",
    whole: str | None = None,
    prefix: Sequence[str] = (),
) -> AsyncIterator[Spawned]:
    """Run the product on a free port, up to the log line that holds `started`; it is killed at the end if need be.

    files: its limit of descriptors. whole: all of the file instead. prefix: a command that runs it.
    """
    path = directory / "proxy.ini"
    path.write_text(whole or f"[frontend]\nhost = 127.0.0.1\nport = 0\n{frontend}\n[log]\naccess = off\n{routes}")

    def limit() -> None:
        if files is not None:
            resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))

    process = await asyncio.create_subprocess_exec(
        *prefix,
        sys.executable,
        *("-m", "wsproxy", str(path)),
        stderr=asyncio.subprocess.PIPE,
        preexec_fn=limit,
        env=os.environ | {"TMPDIR": str(directory)},  # where the sockets of managed servers are
    )
    running = Spawned(process)
    try:
        await running.wait_until(started)
        yield running
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await running.exit_code(within_s=10)


async def run_to_end(*arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of `python -m wsproxy ARGUMENTS`."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "wsproxy", *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    with anyio.fail_after(START_LIMIT_S):
        out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()
