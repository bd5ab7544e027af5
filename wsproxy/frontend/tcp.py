"""A `[tcp:NAME]` section at run time: its listener, and for each client a connection to one of its servers.

Knows a group, a policy and the stages of a connection's beginning; what the two sides say is nobody's business here.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from time import perf_counter
from typing import TYPE_CHECKING, Final, Protocol

from wsproxy.backend.backend import Backend
from wsproxy.backend.group import Group
from wsproxy.balancing.policy import Policy
from wsproxy.config.model import FrontendSettings, TcpSettings
from wsproxy.errors import connect_failed
from wsproxy.frontend.entrance import Entrance, RefusedError
from wsproxy.frontend.listening import ListeningFrontend
from wsproxy.frontend.overload import Overload
from wsproxy.frontend.tcp_relay import TcpRelay
from wsproxy.http.proxy_header import proxy_header
from wsproxy.net.deadlines import Deadlines
from wsproxy.net.dial import DialError, OutOfDescriptorsError
from wsproxy.net.stream import Stream
from wsproxy.net.tls import TlsIdentities
from wsproxy.observe.tcp_entry import TcpEnd

if TYPE_CHECKING:
    import socket

SAY_EVERY_S: Final = 60.0
"""Clients that find no server are worth a line, but not one for each."""

NO_SERVER: Final = "no_server"
REFUSED: Final = "refused"
OVERLOAD: Final = "overload"
"""Results of connections that reached no server: none is healthy, none took them, or the proxy has no room."""

_logger = logging.getLogger("wsproxy.tcp")


class TcpRecorder(Protocol):
    """Who writes access lines."""

    def tcp(self, end: TcpEnd, client: str) -> None:
        """A connection is over."""
        ...


class TcpTotals:
    """The counters of a section: connections that are over by (backend, result), bytes of those by backend."""

    __slots__ = ("client_bytes", "connections", "upstream_bytes")

    def __init__(self) -> None:
        self.connections: Counter[tuple[str, str]] = Counter()
        self.client_bytes: Counter[str] = Counter()
        self.upstream_bytes: Counter[str] = Counter()

    def add(self, end: TcpEnd) -> None:
        """One more is over."""
        self.connections[end.backend, end.result] += 1
        if end.backend:
            self.client_bytes[end.backend] += end.client_bytes
            self.upstream_bytes[end.backend] += end.upstream_bytes


class TcpFrontend(ListeningFrontend):
    """A listener whose connections go to the servers of a group, one each.

    overload: what the process has room for; set before the first connection. relays: what is open now, and which
    backend holds it.
    """

    def __init__(
        self,
        settings: TcpSettings,
        group: Group,
        policy: Policy,
        deadlines: Deadlines,
        identities: TlsIdentities | None = None,
    ) -> None:
        super().__init__(identities)
        self.tcp = settings
        self.group = group
        self.policy = policy
        self.overload: Overload | None = None
        self.relays: dict[TcpRelay, Backend] = {}
        self.totals = TcpTotals()
        self._access: TcpRecorder | None = None
        self._deadlines = deadlines
        self._loop = asyncio.get_running_loop()
        self._said_at = -SAY_EVERY_S
        group.watchers.append(self)

    @property
    def settings(self) -> FrontendSettings:
        """Those of its listener."""
        return self.tcp.listener

    def use(self, settings: TcpSettings, group: Group, policy: Policy) -> None:
        """Take over other settings with the same way in, and maybe other servers; open connections stay as they are."""
        self.tcp = settings
        self.policy = policy
        if group is not self.group:
            group.watchers.append(self)  # the old group goes, and still tells us of what we hold there
            self.group = group
        self._use_way_in(settings.listener)

    def use_access(self, access: TcpRecorder | None) -> None:
        """Have this one write the access lines, or nobody."""
        self._access = access

    def go_on_from(self, old: TcpFrontend) -> None:
        """Take the place of another of this name, which accepts no more: both count in one place from now on."""
        self._count_on_from(old)
        self.totals = old.totals

    async def run(self, sockets: list[socket.socket]) -> None:
        """Serve on listening `sockets` until `stop`, then until the last connection has ended."""
        try:
            await super().run(sockets)
        finally:
            if self in self.group.watchers:
                self.group.watchers.remove(self)

    def _entrance_for(self, settings: FrontendSettings) -> Entrance:
        return Entrance(settings, self.identities, self._admit)

    # One connection.

    def _admit(self, client: str) -> None:
        """Turn a client away while the process has no room for more. Raises RefusedError."""
        if self.overload is not None and self.overload.excess(is_first=True, is_handshake=False):
            self._note(TcpEnd(self.tcp.name, "", OVERLOAD, 0, None, 0.0), client)
            raise RefusedError("the proxy is overloaded")

    def _note(self, end: TcpEnd, client: str) -> None:
        self.totals.add(end)
        if self._access is not None:
            self._access.tcp(end, client)

    async def _serve(self, stream: Stream) -> None:
        started_at = perf_counter()
        client = stream.peer
        found, attempts = await self._connect(stream)
        connected_at = perf_counter()
        name, result = "", REFUSED if attempts else NO_SERVER
        client_bytes = upstream_bytes = 0
        if found is None:
            stream.close()
        elif stream.closed:
            found[1].abort()
            result = "client_lost"
        else:
            backend, upstream = found
            relay = TcpRelay(stream, upstream, self.tcp.idle_timeout_s, self._deadlines)
            self.relays[relay] = backend
            backend.acquire_lease()
            backend.tcp_connections += 1
            try:
                if self.tcp.send_proxy is not None:
                    upstream.try_write(proxy_header(self.tcp.send_proxy, stream.peer_endpoint, stream.own_endpoint))
                await relay.run()
            finally:
                del self.relays[relay]
                backend.tcp_connections -= 1
                backend.release_lease()
            name, result = backend.name, relay.ending or "cut"
            client_bytes, upstream_bytes = relay.client.received_bytes, relay.upstream.received_bytes
        now = perf_counter()
        connect_s = connected_at - started_at if attempts else None
        total_s = now - started_at
        self._note(
            TcpEnd(self.tcp.name, name, result, attempts, connect_s, total_s, client_bytes, upstream_bytes), client
        )

    async def _connect(self, stream: Stream) -> tuple[tuple[Backend, Stream] | None, int]:
        """A connection to the first server that takes one, in the order of the policy; and how many were asked."""
        servers = self.group.healthy.snapshot()
        if servers is None:
            servers = await self.group.healthy.wait_snapshot()
        attempts = 0
        for backend in self.policy.order(servers, stream.peer.encode()) if servers else ():
            if stream.closed:
                break
            attempts += 1
            began_at = perf_counter()
            try:
                upstream = await backend.pool.dial(self.tcp.connect_timeout_s)
            except OutOfDescriptorsError as error:
                self._say(str(error))
                break
            except DialError as error:
                self._say(str(error))
                backend.guard.failed(connect_failed(str(error), error.timed_out), began_at, backend.pool.exchanges)
            else:
                if backend.guard.watching:
                    backend.guard.went_well(began_at)
                return (backend, upstream), attempts
        if not attempts and not stream.closed:
            self._say("no healthy server")
        return None, attempts

    def _say(self, reason: str) -> None:
        now = self._loop.time()
        if now - self._said_at >= SAY_EVERY_S:
            self._said_at = now
            _logger.warning("%s: %s", self.tcp.name, reason)

    # Who must go.

    def backend_leaving(self, backend: Backend) -> None:
        """A backend is let go: what it still holds may end by itself for `shutdown_timeout`."""
        if any(held is backend for held in self.relays.values()):
            self._loop.call_later(self.settings.shutdown_timeout_s, self._cut, backend)

    def _cut(self, backend: Backend) -> None:
        for relay, held in tuple(self.relays.items()):
            if held is backend and backend.leaving:
                relay.end()

    def stop(self) -> None:
        """Accept nothing new; open connections go on until they end, or until `abort`."""
        self._close_listener()

    def retire(self) -> None:
        """Another accepts in our place: who was accepted here comes in, and goes on like the others."""
        self._close_listener(lets_in=True)

    hand_over = retire

    def abort(self) -> None:
        """End everything that is left."""
        for relay in tuple(self.relays):
            relay.abort()
