"""A sink that keeps what it is told, and lets a test wait for it."""

from __future__ import annotations

from collections.abc import Sequence

import anyio

from wsproxy.discovery.found import Found

LIMIT_S = 90.0


class Sink:
    """sets: what was found, one set after the other, each told once or more. told: how often. reasons: why not."""

    def __init__(self) -> None:
        self.sets: list[list[Found]] = []
        self.told = 0
        self.reasons: list[str] = []
        self._changed = anyio.Event()

    async def found(self, servers: Sequence[Found]) -> None:
        self.told += 1
        if not self.sets or self.sets[-1] != list(servers):
            self.sets.append(list(servers))
        self._tell()

    def not_found(self, reason: str) -> None:
        self.reasons.append(reason)
        self._tell()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

    async def until(self, sets: int = 0, reasons: int = 0, told: int = 0) -> None:
        """Wait until it was told so often."""
        with anyio.fail_after(LIMIT_S):
            while len(self.sets) < sets or len(self.reasons) < reasons or self.told < told:
                await self._changed.wait()

    @property
    def addresses(self) -> list[list[str]]:
        return [[server.address for server in servers] for servers in self.sets]
