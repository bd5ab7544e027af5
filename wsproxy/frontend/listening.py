"""What every frontend is: listening sockets, the stages behind them, and the count of who came in.

Knows how connections come in; whom they meet there is up to each kind of frontend.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable
from typing import TYPE_CHECKING

from wsproxy.config.model import FrontendSettings
from wsproxy.frontend.entrance import Entrance
from wsproxy.net.listen import Listener, Successor
from wsproxy.net.stream import Stream
from wsproxy.net.tls import TlsIdentities
from wsproxy.net.turns import AcceptTurn

if TYPE_CHECKING:
    import socket


class ListeningFrontend(ABC):
    """A frontend of any protocol.

    identities: its certificates, if its clients use TLS. sockets: those it listens on. turn: of this process, where
    others wait at the same sockets. ended: the last connection is gone.
    """

    def __init__(self, identities: TlsIdentities | None) -> None:
        self.identities = identities
        self.sockets: list[socket.socket] = []
        self.turn: AcceptTurn | None = None
        self.ended = asyncio.Event()
        self._listener: Listener | None = None
        self._entrance: Entrance | None = None
        self._accepted_before = 0

    @property
    @abstractmethod
    def settings(self) -> FrontendSettings:
        """Those of its listener."""

    @abstractmethod
    def _serve(self, stream: Stream) -> Awaitable[Successor | None]:
        """Serve a connection that has come in."""

    def _entrance_for(self, settings: FrontendSettings) -> Entrance | None:
        """The stages before a connection is served, None where there are none."""
        return Entrance(settings, self.identities) if Entrance.is_needed(settings) else None

    async def run(self, sockets: list[socket.socket]) -> None:
        """Serve on listening `sockets` until `stop`, then until the last connection has ended."""
        settings = self.settings
        self.sockets = sockets
        self._entrance = self._entrance_for(settings)
        self._listener = Listener(settings.name, sockets, self._serve, settings.max_connections, self._entrance)
        self._listener.turn = self.turn
        try:
            await self._listener.run()
        finally:
            self.ended.set()

    @property
    def connections(self) -> int:
        """Those of clients, whatever has become of them."""
        return 0 if self._listener is None else self._listener.connections

    @property
    def accepted(self) -> int:
        """How many there have been."""
        return self._accepted_before + (0 if self._listener is None else self._listener.accepted)

    def _count_on_from(self, old: ListeningFrontend) -> None:
        """Take the place of another, which accepts no more."""
        self._accepted_before = old.accepted

    def _use_way_in(self, settings: FrontendSettings) -> None:
        """Take over limits and timeouts; what decides how connections come in needs another frontend."""
        if self._listener is not None:
            self._listener.use_limit(settings.max_connections)
        if self._entrance is not None:
            self._entrance.use(settings)

    def _close_listener(self, lets_in: bool = False) -> None:
        """Accept nothing new. lets_in: who was accepted, and has not come in yet, may still do so."""
        if self._listener is not None:
            self._listener.close(lets_in)
