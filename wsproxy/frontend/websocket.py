"""The opening handshake of a WebSocket on its way to a backend, up to the relay that it becomes.

Knows the route's limits and what a 101 must say; the relay itself is `relay`'s business.
"""

from __future__ import annotations

from time import perf_counter

from wsproxy.errors import Failure, Side, bad_answer
from wsproxy.exchange import Exchange
from wsproxy.frontend.forward import forward
from wsproxy.frontend.identity import ClientIdentity
from wsproxy.frontend.reconnect import ReconnectingRelay, Resumption, prepare
from wsproxy.frontend.relay import Relay
from wsproxy.frontend.relays import Relays
from wsproxy.frontend.route import Route
from wsproxy.frontend.service import HttpService
from wsproxy.http.codec import encode_response
from wsproxy.http.messages import RequestHead, field_values
from wsproxy.ws.deflate import ExtensionError
from wsproxy.ws.handshake import check_response, mismatch, origin_allowed
from wsproxy.ws.inspect import InspectState, inspectors

ORIGIN_REFUSED = Failure(Side.CLIENT, 403, "this origin may not connect")


async def open_websocket(
    exchange: Exchange, route: Route, relays: Relays, service: HttpService, identity: ClientIdentity
) -> Relay | None:
    """Bring a handshake to a backend; the relay that now is to run, or None where there was another answer.

    Then `exchange` says how it went, as for any request. Raises BrokenResourceError when the client is gone.
    """
    totals = relays.totals
    peer = identity.peer
    if _origin_refused(exchange.head, relays):
        totals.handshakes["origin"] += 1
        exchange.failure = ORIGIN_REFUSED
        return None
    if (refusal := relays.try_reserve(peer)) is not None:
        totals.handshakes["limit"] += 1
        exchange.failure = refusal
        return None
    if relays.terms.settings.on_backend_loss == "reconnect":
        prepare(exchange.head)
        if exchange.sent is not exchange.head:
            prepare(exchange.sent)
    relay: Relay | None = None
    try:
        await forward(exchange, route)
        relay = _relay(exchange, route, relays, service)
    finally:
        if relay is None:
            relays.release(peer)
            if exchange.upstream is not None:
                exchange.upstream.abort()
            totals.handshakes["refused" if exchange.failure is None else "failed"] += 1
    if relay is not None:
        totals.handshakes["opened"] += 1
        relay.peer = peer
        if service.access is not None:
            relay.access_entry = service.access.opened(exchange, identity.address(exchange.head))
    return relay


def _origin_refused(head: RequestHead, relays: Relays) -> bool:
    allowed = relays.terms.settings.allowed_origins
    if not allowed:
        return False
    origins = field_values(head.fields, b"Origin")
    if len(origins) > 1:
        return True
    return not origin_allowed(origins[0] if origins else None, head.authority, allowed)


def _relay(exchange: Exchange, route: Route, relays: Relays, service: HttpService) -> Relay | None:
    """Answer the client with the upstream's 101 if that is sound; `exchange.failure` says where it is not."""
    upstream, response = exchange.upstream, exchange.response
    if upstream is None or response is None:
        return None
    settings = relays.terms.settings
    problem = check_response(response)
    misfit = mismatch(exchange.head, response) if problem is None else None
    if settings.inspect or settings.on_backend_loss == "reconnect":
        problem = problem or misfit  # the proxy itself has a part in what was agreed on
    inspected: tuple[InspectState, InspectState] | None = None
    resumption: Resumption | None = None
    if problem is None:
        try:
            if settings.inspect:
                inspected = inspectors(response, settings.max_message_size_bytes)
            if settings.on_backend_loss == "reconnect":
                resumption = Resumption(exchange, response, route)
        except ExtensionError as error:
            problem = f"this route cannot follow the extension {error}"
    if problem is not None:
        upstream.abort()
        service.warn(f"{route.settings.name} {exchange.backend_name}: bad handshake answer: {problem}")
        exchange.upstream = None
        exchange.keep_alive = False  # the client may have sent frames already
        exchange.failure = bad_answer(problem)
        return None
    if misfit is not None:
        service.warn(f"{route.settings.name} {exchange.backend_name}: a client will refuse its 101: {misfit}")
    for edit in route.edits:
        response = edit(response, exchange)
    acceptance = encode_response(response, False, False, 1)
    exchange.client.write(acceptance)
    exchange.answered = True
    exchange.answered_bytes += len(acceptance)
    exchange.ended_at = perf_counter()
    route.totals.record(exchange)
    backend = route.group.backends.get(exchange.backend_name)
    if resumption is not None:
        resumable = ReconnectingRelay(exchange.client, upstream, backend, relays, service)
        resumable.begin(resumption)
        relay: Relay = resumable
    else:
        relay = Relay(exchange.client, upstream, backend, relays, service)
    if inspected is not None:
        relay.inspect(*inspected)
    return relay
