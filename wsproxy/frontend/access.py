"""Who writes access lines, as much of it as the sessions and relays of a frontend need."""

from __future__ import annotations

from typing import Protocol

from wsproxy.exchange import Exchange
from wsproxy.http.messages import RequestHead
from wsproxy.observe.entries import Refusal, WebSocketEntry
from wsproxy.ws.relay import RelayState


class AccessRecorder(Protocol):
    """Takes note of what is over; must not wait."""

    def record(self, exchange: Exchange, client: str) -> None:
        """An exchange has ended."""
        ...

    def refused(self, refusal: Refusal, client: str, head: RequestHead | None) -> None:
        """A request was refused before it became an exchange."""
        ...

    def opened(self, exchange: Exchange, client: str) -> WebSocketEntry:
        """A WebSocket has opened; what is returned belongs to `closed`."""
        ...

    def closed(self, entry: WebSocketEntry, state: RelayState) -> None:
        """It is over."""
        ...
