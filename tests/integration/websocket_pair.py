"""One relayed WebSocket with both of its ends in the test's hands.

Knows the harness and the wire; what the two ends say is the test's business.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio

from tests.integration.harness import LOST, PATIENCE_S, Proxy, RawServer, Wire, eventually, http_route, proxy
from tests.integration.websocket_wire import Received, accept, open_websocket, receive_frame
from wsproxy.frontend.relays import Relays
from wsproxy.frontend.totals import RelayTotals


def relays_of(running: Proxy, route: str = "websocket") -> Relays:
    """The WebSockets of a route."""
    (relays,) = (watcher for watcher in running.application.groups[route].group.watchers if isinstance(watcher, Relays))
    return relays


class Pair:
    """Both ends of one relayed WebSocket."""

    def __init__(self, client: Wire, upstream: Wire, running: Proxy) -> None:
        self.client = client
        self.upstream = upstream
        self.running = running

    @property
    def totals(self) -> RelayTotals:
        return relays_of(self.running).totals


@asynccontextmanager
async def relayed(lines: str = "", frontend: str = "", ahead_bytes: int | None = None) -> AsyncIterator[Pair]:
    """A WebSocket over a route with these lines more; at the end both sides go, and nothing of it may be left."""
    accepted: list[Wire] = []
    released = anyio.Event()

    async def script(wire: Wire) -> None:
        await accept(wire)
        accepted.append(wire)
        await released.wait()

    async with (
        RawServer(script) as server,
        proxy(http_route(server.port, lines=lines, section="websocket"), frontend) as running,
        await open_websocket(running.port) as client,
    ):
        await eventually(lambda: running.relays == 1)
        yield Pair(client, accepted[0], running)
        await client.close()
        await accepted[0].close()
        await eventually(lambda: running.relays == 0)
        released.set()


async def frames_until_end(wire: Wire, limit_s: float = PATIENCE_S) -> list[Received]:
    """All frames up to the end of the connection, which must come in time."""
    frames = []
    with anyio.fail_after(limit_s):
        while True:
            try:
                frames.append(await receive_frame(wire))
            except LOST:
                return frames


async def within(limit_s: float, receive: Callable[[Wire], Awaitable[Received]], wire: Wire) -> Received | None:
    """What is received in that time, or None."""
    with anyio.move_on_after(limit_s):
        return await receive(wire)
    return None
