"""One listener's world: its settings, its routes, and the sessions and relays that live on it.

Knows what its sessions share; a session's own life is `session`'s business.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections import Counter
from collections.abc import Awaitable, Iterable, Iterator
from typing import Final, Protocol

from wsproxy.balancing.routing import RouteTable
from wsproxy.config.model import FrontendSettings
from wsproxy.exchange import Exchange, HeadEdit
from wsproxy.frontend.entrance import Entrance
from wsproxy.frontend.own_answers import OwnAnswers
from wsproxy.frontend.relay import Relay
from wsproxy.frontend.relays import Relays
from wsproxy.frontend.route import Route
from wsproxy.frontend.session import ClientSession
from wsproxy.http.codec import with_fields, with_via
from wsproxy.http.messages import HeadLimits, MalformedRequestError, RequestHead
from wsproxy.http.redirects import https_required
from wsproxy.http.replies import strict_transport_security
from wsproxy.http.target import normal_path
from wsproxy.net.deadlines import Deadlines
from wsproxy.net.listen import Listener
from wsproxy.net.stream import Stream
from wsproxy.net.tls import TlsIdentities
from wsproxy.net.turns import AcceptTurn
from wsproxy.observe.entries import Refusal, WebSocketEntry
from wsproxy.ws.control import GOING_AWAY, SERVICE_RESTART
from wsproxy.ws.handshake import check_request
from wsproxy.ws.relay import RelayState

LINGER_SHARE: Final = 0.5
"""The part of `shutdown_timeout` for which idle connections of a proxy that was replaced may send a last request."""

_logger = logging.getLogger("wsproxy.frontend")


class AccessRecorder(Protocol):
    """Who writes access lines."""

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


class Frontend:
    """A listener and what its sessions share.

    http_routes, websocket_routes: the routes of each kind that this frontend serves. stopping: no new work is taken.
    lingers: but for one last request of each connection. ending: sessions whose client is only to read its last answer.
    ended: the last connection is gone. scheme: what its clients use. answer_fields: lines that each answer gets.
    answers: what it answers by itself. via: its name in Via, or b"". edits: what is done to the head of every answer.
    refused: requests that no route got, by status.
    https_port: where its requests are redirected to, None where they are served; set before the first one comes.
    """

    def __init__(
        self,
        settings: FrontendSettings,
        routes: Iterable[Route],
        deadlines: Deadlines,
        access: AccessRecorder | None,
        identities: TlsIdentities | None = None,
    ) -> None:
        self._listener: Listener | None = None
        self._entrance: Entrance | None = None
        self.deadlines = deadlines
        self.access = access
        self.stopping = False
        self.lingers = False
        self.scheme = "http" if identities is None else "https"
        self.identities = identities
        self.https_port: int | None = None
        self.use(settings)
        self.sessions: set[ClientSession] = set()
        self.ending: set[ClientSession] = set()
        self.sockets: list[socket.socket] = []
        self.turn: AcceptTurn | None = None
        self.ended = asyncio.Event()
        self._relayed: list[Relays] = []
        self.use_routes(routes)
        self._request_prefix = os.urandom(6).hex().encode()  # tells processes and restarts apart
        self._requests = 0
        self.refused: Counter[int] = Counter()

    def use(self, settings: FrontendSettings) -> None:
        """Take over limits, timeouts and pages; what decides how connections come in needs another frontend.

        Raises ErrorPageError for a page that cannot be read.
        """
        self.answer_fields = b"" if settings.hsts_s is None else strict_transport_security(settings.hsts_s)
        self.answers = OwnAnswers(settings.error_pages, self.deadlines, self.answer_fields)
        self.settings = settings
        self.limits = HeadLimits(
            head_bytes=settings.max_header_size_bytes,
            fields=settings.max_headers,
            underscores=settings.underscores_in_headers,
        )
        self.via = b"" if settings.via is None else settings.via.encode("ascii")
        self.edits = tuple(_edits(self.via, self.answer_fields))
        if self._listener is not None:
            self._listener.use_limit(settings.max_connections)
        if self._entrance is not None:
            self._entrance.use(settings)

    def use_routes(self, routes: Iterable[Route]) -> None:
        """Lead the next requests to these routes; those under way go where they were going."""
        settings = self.settings
        mine = [route for route in routes if route.settings.frontend in (None, settings.name)]
        if settings.redirect_https:
            mine = []
        self.http_routes = RouteTable([(route.settings, route) for route in mine if route.settings.kind == "http"])
        self.websocket_routes = RouteTable(
            [(route.settings, route) for route in mine if route.settings.kind == "websocket"]
        )
        still_open = [relays for relays in self._relayed if relays.open]
        self._relayed = [route.relays for route in mine if route.relays is not None]
        self._relayed += [relays for relays in still_open if relays not in self._relayed]

    async def run(self, sockets: list[socket.socket]) -> None:
        """Serve on listening `sockets` until `stop`, then until the last connection has ended."""
        settings = self.settings
        self.sockets = sockets
        self._entrance = Entrance(settings, self.identities) if Entrance.is_needed(settings) else None
        self._listener = Listener(settings.name, sockets, self._serve, settings.max_connections, self._entrance)
        self._listener.turn = self.turn
        try:
            await self._listener.run()
        finally:
            self.ended.set()

    def _serve(self, stream: Stream) -> Awaitable[Relay | None]:
        return ClientSession(stream, self).run()

    @property
    def tasks(self) -> asyncio.TaskGroup:
        """Where sessions and relays run."""
        if self._listener is None:
            raise RuntimeError("the frontend does not listen")
        return self._listener.tasks

    def route(self, head: RequestHead) -> Route:
        """The route of a request.

        Raises MalformedRequestError: 404 when there is none, 405 when there is one for other methods, 426 when there is
        one for WebSockets, or what a handshake lacks; HttpsRequiredError.
        """
        path = normal_path(head.target)
        if head.upgrade:
            route = self.websocket_routes.match(head.method, head.authority, path, head.fields)
            if route is not None:
                if (refusal := check_request(head)) is not None:
                    if route.relays is not None:
                        route.relays.totals.handshakes["invalid"] += 1
                    raise MalformedRequestError(refusal.status, refusal.message)
                return route
            head.upgrade = b""  # not a WebSocket here: an ordinary request, now and whenever it is repeated
        route = self.http_routes.match(head.method, head.authority, path, head.fields)
        if route is None:
            if self.https_port is not None:
                raise https_required(head, self.https_port)
            allowed = b", ".join(self.http_routes.methods(head.authority, path, head.fields))
            if allowed:
                raise MalformedRequestError(405, "no route for this method", b"Allow: %b\r\n" % allowed)
            if self.websocket_routes.match(head.method, head.authority, path, head.fields) is not None:
                raise MalformedRequestError(426, "only WebSockets are served here")
            raise MalformedRequestError(404, "no route for this request")
        return route

    def next_request_id(self) -> bytes:
        """An id that no other request of this or another process has."""
        self._requests += 1
        return b"%b%08x" % (self._request_prefix, self._requests)

    def warn(self, message: str) -> None:
        """Say what a backend did wrong."""
        _logger.warning("%s: %s", self.settings.name, message)

    # Who is there.

    @property
    def connections(self) -> int:
        """Those of clients, WebSockets among them."""
        return 0 if self._listener is None else self._listener.connections

    @property
    def accepted(self) -> int:
        """How many there have been."""
        return 0 if self._listener is None else self._listener.accepted

    def enter(self, session: ClientSession) -> None:
        """A session begins."""
        self.sessions.add(session)
        self.deadlines.watch(session)

    def leave(self, session: ClientSession) -> None:
        """A session is over, or has become a relay."""
        self.sessions.discard(session)
        self.ending.discard(session)
        self.deadlines.forget(session)

    @property
    def relays(self) -> list[Relay]:
        """The WebSockets that came in here."""
        return [relay for relays in self._relayed for relay in relays.open if relay.frontend is self]

    # Stopping.

    def stop(self) -> None:
        """Accept nothing new, end what is idle, let what is in flight end, drain the WebSockets with 1001."""
        self.stopping = True
        if self._listener is not None:
            self._listener.close()
        for session in tuple(self.sessions):
            session.stop()
        for relays in self._relayed:
            relays.drain([relay for relay in relays.open if relay.frontend is self], GOING_AWAY)

    def hand_over(self) -> None:
        """Another process accepts in our place: have clients go there, none of them in the middle of anything.

        A connection ends with its next answer, as that one can say so: closing one that is idle may cross a request
        on its way. What is idle for long is closed in the end.
        """
        self.stopping = self.lingers = True
        if self._listener is not None:
            self._listener.close()
        for relays in self._relayed:
            relays.drain([relay for relay in relays.open if relay.frontend is self], SERVICE_RESTART)
        asyncio.get_running_loop().call_later(self.settings.shutdown_timeout_s * LINGER_SHARE, self._end_lingering)

    def _end_lingering(self) -> None:
        self.lingers = False
        for session in tuple(self.sessions):
            session.stop()

    def retire(self) -> None:
        """Another frontend takes the place of this one: end HTTP connections in order, and keep WebSockets."""
        self.stopping = True
        if self._listener is not None:
            self._listener.close()
        for session in tuple(self.sessions):
            session.stop()

    def abort(self) -> None:
        """End everything that is left."""
        for session in tuple(self.sessions):
            session.abort()
        for relays in self._relayed:
            relays.abort()


def _edits(via: bytes, lines: bytes) -> Iterator[HeadEdit]:
    if via:
        yield lambda response, _: with_via(response, via)
    if lines:
        yield lambda response, _: with_fields(response, lines)
