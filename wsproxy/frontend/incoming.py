"""What comes in over one connection: heads, the routes that they go to, and the exchanges that are made of them.

Knows the service and the client's stream; when something is read, and what becomes of it, is the session's business.
"""

from __future__ import annotations

from time import perf_counter
from typing import Final

from wsproxy.exchange import Exchange, StageClock
from wsproxy.frontend.body import ClientBody, Watch, body_of
from wsproxy.frontend.identity import ClientIdentity
from wsproxy.frontend.route import Route
from wsproxy.frontend.service import HttpService
from wsproxy.http.messages import MalformedRequestError, RequestHead
from wsproxy.http.repeats import RequestReader
from wsproxy.http.via import has_passed, via_line
from wsproxy.net.stream import ReadTimeoutError, Stream


class Incoming:
    """The requests of one connection. identity: whose they are. read: a `RequestReader`'s. route: of the last one."""

    __slots__ = ("_known", "_routes", "_service", "_stream", "identity", "read", "route")

    def __init__(self, stream: Stream, service: HttpService) -> None:
        self._stream = stream
        self._service = service
        self.identity = ClientIdentity(stream.peer, service)
        self.read: Final = RequestReader(service.limits, service.known_lines).read
        self.route: Route
        self._known: RequestHead | None = None  # the last head, and the table that led to its route
        self._routes = service.http_routes

    async def rest_of_head(self) -> tuple[RequestHead, int]:
        """Wait for the end of a head that has begun. Raises MalformedRequestError, EndOfStream and its kin."""
        while True:
            try:
                await self._stream.more()
            except ReadTimeoutError:
                raise MalformedRequestError(408, "the request head did not come in time") from None
            if (parsed := self.read(self._stream.buffer)) is not None:
                return parsed

    def route_of(self, head: RequestHead) -> Route:
        """Where a request goes: a repeated one goes where it went. Raises MalformedRequestError."""
        routes = self._service.http_routes
        if head is not self._known or routes is not self._routes:
            self.route = self._service.route(head)
            self._known, self._routes = head, routes
        return self.route

    def exchange_of(self, head: RequestHead, route: Route, watch: Watch) -> Exchange:
        """Raises MalformedRequestError: 413 for a body that says by itself that it is too large, 508 for a loop."""
        service = self._service
        body: ClientBody | None = None
        if head.length:
            body = body_of(head, self._stream, service.settings.max_body_size_bytes, watch)
        request_id, identity = self.identity.introduce(head)
        if service.via:
            if has_passed(head.fields, service.via):
                raise MalformedRequestError(508, "the request has come through here before")
            identity += via_line(head.minor_version, service.via)
        exchange = Exchange(head, body, self._stream, route.settings, identity)
        exchange.request_id = request_id
        exchange.edits = service.edits + route.edits
        if route.prepare is not None:
            route.prepare(exchange, self.identity.address(head), self.identity.scheme(head))
        if route.affinity is not None:
            address, is_secure = self.identity.address(head), service.scheme == "https"
            exchange.preference = route.affinity.preference(head, address, is_secure, service.deadlines.now)
        exchange.started_at = perf_counter()
        if service.access is not None:
            exchange.stages = StageClock(exchange.started_at)
        return exchange
