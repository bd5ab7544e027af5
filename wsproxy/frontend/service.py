"""What one frontend serves, how, and to whom: its settings, routes and own answers, and the sessions it has.

Knows what sessions share; how connections come in is the frontend's business, a session's own life `session`'s.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Protocol

from wsproxy.balancing.routing import RouteTable
from wsproxy.config.model import FrontendSettings
from wsproxy.exchange import HeadEdit
from wsproxy.frontend.access import AccessRecorder
from wsproxy.frontend.own_answers import OwnAnswers
from wsproxy.frontend.route import Route
from wsproxy.http.codec import with_fields, with_via
from wsproxy.http.fast_codec import known_request_lines
from wsproxy.http.messages import HeadLimits, MalformedRequestError, RequestHead
from wsproxy.http.redirects import https_required
from wsproxy.http.replies import strict_transport_security
from wsproxy.http.target import normal_path
from wsproxy.net.deadlines import Deadlines, Expirable
from wsproxy.ws.control import GOING_AWAY
from wsproxy.ws.handshake import check_request

_logger = logging.getLogger("wsproxy.frontend")


class Session(Expirable, Protocol):
    """A connection that is served, as much of it as concerns all of them together."""

    @property
    def buffered_bytes(self) -> int:
        """What is held for it."""
        ...

    def stop(self) -> None:
        """Come to an end: at once where nothing is under way."""
        ...

    def abort(self) -> None:
        """End at once."""
        ...


class HttpService:
    """What the sessions of a frontend share.

    http_routes, websocket_routes: the routes of each kind. access: who writes its lines. scheme: what its clients use.
    https_port: where its requests are redirected to, None where they are served; set before the first one comes.
    stopping: no new work is taken. lingers: but for one last request of each connection. parting_code: what WebSockets
    are told that must go because of that.
    answers: what it answers by itself. via: its name in Via, or b"". edits: what is done to the head of every answer.
    refused: requests that no route got, by status. sessions: those that are served, until they have become relays.
    known_lines: what its clients' heads have said before.
    ending: those of them whose client is only to read its last answer.
    """

    def __init__(
        self, settings: FrontendSettings, deadlines: Deadlines, access: AccessRecorder | None, is_secure: bool
    ) -> None:
        self.deadlines = deadlines
        self.access = access
        self.scheme = "https" if is_secure else "http"
        self.https_port: int | None = None
        self.stopping = False
        self.lingers = False
        self.parting_code = GOING_AWAY
        self.refused: Counter[int] = Counter()
        self.known_lines = known_request_lines()
        self.sessions: set[Session] = set()
        self.ending: set[Session] = set()
        self.use(settings)
        self.use_routes(())
        self._request_prefix = os.urandom(6).hex().encode()  # tells processes and restarts apart
        self._requests = 0

    def use(self, settings: FrontendSettings) -> None:
        """Take over limits, timeouts and pages. Raises ErrorPageError for a page that cannot be read."""
        lines = b"" if settings.hsts_s is None else strict_transport_security(settings.hsts_s)
        self.answers = OwnAnswers(settings.error_pages, self.deadlines, lines)
        self.settings = settings
        self.limits = HeadLimits(
            head_bytes=settings.max_header_size_bytes,
            fields=settings.max_headers,
            underscores=settings.underscores_in_headers,
        )
        self.via = b"" if settings.via is None else settings.via.encode("ascii")
        self.edits = tuple(_edits(self.via, lines))

    def use_routes(self, routes: Iterable[Route]) -> None:
        """Lead the next requests to these routes; those under way go where they were going."""
        by_kind: dict[str, list[Route]] = {"http": [], "websocket": []}
        for route in routes:
            by_kind[route.settings.kind].append(route)
        self.http_routes = RouteTable([(route.settings, route) for route in by_kind["http"]])
        self.websocket_routes = RouteTable([(route.settings, route) for route in by_kind["websocket"]])

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

    # Who is served.

    def enter(self, session: Session) -> None:
        """A session begins."""
        self.sessions.add(session)
        self.deadlines.watch(session)

    def leave(self, session: Session) -> None:
        """A session is over, or has become a relay."""
        self.sessions.discard(session)
        self.ending.discard(session)
        self.deadlines.forget(session)

    def stop_sessions(self) -> None:
        """End what is idle, and the others after the answer in flight."""
        for session in tuple(self.sessions):
            session.stop()


def _edits(via: bytes, lines: bytes) -> Iterator[HeadEdit]:
    if via:
        yield lambda response, _: with_via(response, via)
    if lines:
        yield lambda response, _: with_fields(response, lines)
