"""One life of one data plane process, as the parent sees it: started, told, asked, waited for, killed.

Knows the process and its channel; what is said over it is others' business.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from typing import Self

import anyio
from anyio.abc import Process

from wsproxy.observe.snapshot import Snapshot
from wsproxy.supervisor.channel import Channel


class Child:
    """A process that runs. index: its place among the processes, from 0. latest: its figures when last asked.

    serving: it accepts connections. heard_at: when it last answered a look, on the loop's clock. reason: why it had to
    be ended.
    """

    def __init__(self, index: int, process: Process, channel: Channel) -> None:
        self.index = index
        self.channel = channel
        self.serving = False
        self.heard_at = 0.0
        self.reason = ""
        self.started_at = anyio.current_time()
        self.latest: Snapshot | None = None
        self._process = process

    @classmethod
    async def start(cls, index: int, turns: int, counts: int) -> Self:
        """Start the interpreter; the process waits for its first request then. Raises OSError.

        turns, counts: the descriptors of the accept turns and of the memory for what processes count together.
        """
        given = (turns, counts)
        ours, theirs = socket.socketpair()
        try:
            with theirs, anyio.CancelScope(shield=True):  # cut off half-way, it might leave a process behind
                process = await anyio.open_process(
                    [sys.executable, "-P", "-m", "wsproxy.supervisor", *map(str, (theirs.fileno(), *given))],
                    stdin=subprocess.DEVNULL,
                    stdout=None,
                    stderr=None,
                    env={**os.environ, "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)},
                    start_new_session=True,  # a Ctrl-C in the terminal is the parent's to act upon
                    pass_fds=(theirs.fileno(), *given),
                )
        except OSError:
            ours.close()
            raise
        return cls(index, process, Channel(ours))

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def number(self) -> int:
        """What it is called in the log: counted from 1."""
        return self.index + 1

    async def wait(self) -> str:
        """Wait for its end; how it ended, in words."""
        return in_words(await self._process.wait())

    def kill(self) -> None:
        """End it at once."""
        with suppress(ProcessLookupError):
            self._process.kill()


def in_words(code: int) -> str:
    """How a process has ended, by its return code."""
    if code >= 0:
        return f"exit status {code}"
    with suppress(ValueError):
        return signal.Signals(-code).name
    return f"signal {-code}"
