"""One life of one data plane process, as the parent sees it: started, told, asked, waited for, killed.

Knows the process and its channel; what is said over it is others' business.
"""

from __future__ import annotations

import socket
from typing import Self

import anyio

from wsproxy.observe.snapshot import Snapshot
from wsproxy.supervisor.channel import Channel
from wsproxy.supervisor.exit_code import in_words
from wsproxy.supervisor.forks import Forked, Forks


class Child:
    """A process that runs. index: its place among the processes, from 0. latest: its figures when last asked.

    serving: it accepts connections. heard_at: when it last answered a look, on the loop's clock. reason: why it had to
    be ended.
    """

    def __init__(self, index: int, process: Forked, channel: Channel) -> None:
        self.index = index
        self.channel = channel
        self.serving = False
        self.heard_at = 0.0
        self.reason = ""
        self.started_at = anyio.current_time()
        self.latest: Snapshot | None = None
        self._process = process

    @classmethod
    async def start(cls, index: int, forks: Forks) -> Self:
        """Have it forked; it waits for its first request then. Raises OSError."""
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                process = await forks.fork(theirs)
        except BaseException:
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
        self._process.kill()
