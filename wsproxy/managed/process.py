"""One life of one managed server: a process in a group of its own, whose output goes to the log.

Knows processes, signals and lines; neither sockets nor what the server is for. The group is the server's own so that a
Ctrl-C in the terminal reaches the proxy alone, which drains before it ends its servers, and so that whatever the server
itself has started goes with it.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from contextlib import suppress
from typing import Final

import anyio
from anyio.abc import Process

from wsproxy.managed import guard

_logger = logging.getLogger("wsproxy.managed")

LINE_BYTES: Final = 8 * 1024
"""What is kept of one line: a stack trace's longest fits, a dump without line ends does not fill the log."""
OUTPUT_GRACE_S: Final = 0.5
"""How long to wait for the rest of the output once a server has ended; its children may hold the pipe open for ever."""


class OutputLines:
    """Cuts a server's output into lines of text."""

    __slots__ = ("_held", "_skipping")

    def __init__(self) -> None:
        self._held = b""
        self._skipping = False  # inside the rest of a line that was longer than LINE_BYTES

    def feed(self, data: bytes) -> list[str]:
        """Return the lines that `data` completes, without line ends; what is not UTF-8 is replaced."""
        *ended, self._held = (self._held + data).split(b"\n")
        lines = []
        for line in ended:
            if not self._skipping:
                lines.append(_text(line))
            self._skipping = False
        if len(self._held) > LINE_BYTES:
            if not self._skipping:
                lines.append(_text(self._held))
            self._skipping = True
            self._held = b""
        return lines

    def end(self) -> list[str]:
        """Return what came after the last line end."""
        rest, self._held = self._held, b""
        return [_text(rest)] if rest and not self._skipping else []


def _text(line: bytes) -> str:
    cut = line[:LINE_BYTES].rstrip(b"\r").decode("utf-8", "replace")
    return cut + " (cut)" if len(line) > LINE_BYTES else cut


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"signal {number}"


class ServerProcess:
    """A running server; made by `start`."""

    def __init__(self, name: str, process: Process) -> None:
        self._name = name
        self._process = process
        self._lines = OutputLines()

    @property
    def pid(self) -> int:
        """Its process id, which is its group's too."""
        return self._process.pid

    @classmethod
    async def start(
        cls, name: str, command: tuple[str, ...], environment: dict[str, str], directory: str | None
    ) -> ServerProcess:
        """Start `command` under the guard, in `directory`.

        A program or a directory that is not there shows as exit status 127 and a line of output that says so. Raises
        OSError when the system has no process to give.
        """
        # -I and -S: nothing but the standard library, so that the guard costs its server 15 ms and no surprises.
        argv = [sys.executable, "-I", "-S", guard.__file__, str(os.getpid()), directory or ".", *command]
        with anyio.CancelScope(shield=True):  # it takes milliseconds; cut off half-way, it might leave a process behind
            process = await anyio.open_process(
                argv,
                stdin=subprocess.DEVNULL,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
            )
        return cls(name, process)

    async def wait(self) -> str:
        """Log what it says until it ends; return how it ended, in words. May be cancelled and called again."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._log_output)
            code = await self._process.wait()
            tasks.cancel_scope.deadline = anyio.current_time() + OUTPUT_GRACE_S
        self._log(self._lines.end())
        return f"killed by {_signal_name(-code)}" if code < 0 else f"exit status {code}"

    def ask_to_end(self) -> None:
        """Send TERM; `wait` returns once it heeds that."""
        if self._process.returncode is None:
            self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """What did not heed TERM."""
        if self._process.returncode is None:
            _logger.warning("%s did not end in time: killed", self._name)
            self._signal(signal.SIGKILL)

    async def stop(self, timeout_s: float) -> None:
        """End it and all it has started: TERM, then KILL for what is left after `timeout_s`. Cannot be cancelled."""
        with anyio.CancelScope(shield=True):
            if self._process.returncode is None:
                self._signal(signal.SIGTERM)
                with anyio.move_on_after(timeout_s) as waiting:
                    await self.wait()
                if waiting.cancelled_caught:
                    _logger.warning("%s did not end within %g s of SIGTERM: killed", self._name, timeout_s)
            self._signal(signal.SIGKILL)
            await self._process.aclose()

    def _signal(self, how: signal.Signals) -> None:
        with suppress(ProcessLookupError, PermissionError):  # nobody is left (on macOS: but zombies)
            os.killpg(self.pid, how)

    async def _log_output(self) -> None:
        if self._process.stdout:
            async for data in self._process.stdout:
                self._log(self._lines.feed(data))

    def _log(self, lines: list[str]) -> None:
        for line in lines:
            _logger.info("%s: %s", self._name, line)
