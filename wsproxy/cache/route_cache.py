"""How one route answers from the cache: at once where it can, else by a fetch that others may share.

Knows exchanges, and how to have one forwarded; what may be used is decided by the answers and the terms they are kept
on. The usual hit never leaves `at_once`, which has no coroutine: a look-up, a comparison of times, one write.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from copy import copy
from dataclasses import dataclass
from functools import partial
from typing import Final, Generic, TypeVar

from anyio import BrokenResourceError

from wsproxy.cache import outcomes
from wsproxy.cache.asked import Asked
from wsproxy.cache.cache import Cache
from wsproxy.cache.fetch import Fetch, Order
from wsproxy.cache.flights import Flight
from wsproxy.cache.replies import encoded_hit, lines_of_hit, reply, status_line
from wsproxy.cache.selecting import SAFE, also_changed, key_of
from wsproxy.cache.stored import StoredAnswer
from wsproxy.errors import CLIENT_LEFT, Failure, Side
from wsproxy.exchange import Exchange
from wsproxy.http.codec import encode_response
from wsproxy.http.messages import RequestHead, ResponseHead
from wsproxy.net.stream import Stream

R = TypeVar("R")

JOINED_BYTES: Final = 16 * 1024
"""A body up to this is joined with its head: above it two writes cost less than the copy."""
AT_ONCE_BYTES: Final = 64 * 1024
"""The largest body that is written without looking whether the client takes it: what a socket takes in anyway."""
ROUNDS: Final = 3
"""How often a request looks again after it has waited for others' fetches, before it goes by itself."""

NOT_KEPT: Final = Failure(Side.CLIENT, 504, "nothing is kept that answers this request")
"""`only-if-cached` (RFC 9111 section 5.2.1.7)."""

_forwarded_host: Final = re.compile(rb"(?m)^X-Forwarded-Host: ([^\r]*)\r").search
_conditions: Final = (b"if-none-match", b"if-modified-since", b"if-range", b"range")


@dataclass(frozen=True, slots=True)
class CacheRules:
    """What a route says of its answers. cache_control: takes the place of the server's own, b"" leaves it."""

    route: str
    cache_control: bytes = b""


class RouteCache(Generic[R]):
    """Answers the exchanges of one route, R being what `forward` knows it by."""

    def __init__(self, rules: CacheRules, cache: Cache, forward: Callable[[Exchange, R], Awaitable[None]]) -> None:
        self._rules = rules
        self._cache = cache
        self._forward = forward
        cache.route_names.add(rules.route)

    # Without a wait.

    def at_once(self, exchange: Exchange) -> Callable[[Exchange, R], Awaitable[None]] | None:
        """Answer from memory what can be, `exchange.failure` then says if the client has gone; else: who goes on.

        What it looked up goes along, so that it lasts as long as the exchange does, and nobody looks it up again.
        """
        cache = self._cache
        memory = cache.memory
        client = exchange.client
        if memory is None or client.write_paused or not self._is_ours(exchange):
            return self.answer
        asked = cache.asked.read(exchange.sent.fields)
        key = self._key(exchange)
        found = memory.look_up(key, asked)
        now = cache.clock()
        if found is None or len(found.body) > AT_ONCE_BYTES or not _may_use(found, asked, now):
            return partial(self._look_further, key, asked)
        self._send(exchange, found, asked, now, outcomes.HIT)
        return None

    def _is_ours(self, exchange: Exchange) -> bool:
        """Whether it may be answered from what is kept, as far as its request line tells."""
        cache, head = self._cache, exchange.head
        if head.method not in cache.methods or exchange.body is not None:
            return False
        return not cache.ignored_paths or not head.target.startswith(cache.ignored_paths)

    def _key(self, exchange: Exchange) -> bytes:
        head = exchange.head
        key = key_of(self._rules.route, _scheme(exchange), head.authority, head.target)
        if head.claims is None:
            return key
        host = _forwarded_host(exchange.identity)  # where a trusted proxy names another, servers may answer for that
        return key if host is None or host[1] == head.authority else b"%b %b" % (key, host[1])

    # With one.

    async def answer(self, exchange: Exchange, route: R) -> None:
        """Answer from what is kept, or have it fetched."""
        if exchange.head.method not in SAFE:
            await self._change(exchange, route)
            return
        asked = self._cache.asked.read(exchange.sent.fields)  # as servers see it: so Vary means it
        key = self._key(exchange) if self._is_ours(exchange) else b""
        await self._look_further(key, asked, exchange, route)

    async def _look_further(self, key: bytes, asked: Asked, exchange: Exchange, route: R) -> None:
        """Answer a request for `key`, b"" for one that nothing is kept for; by a fetch if need be."""
        if not key or asked.is_for_origin:
            self._note(exchange, outcomes.BYPASS)
            await self._forward(exchange, route)
            return
        for _ in range(ROUNDS):
            found = await self._cache.store.find(key, asked)
            if exchange.abandoned is not None:
                exchange.failure = exchange.abandoned
                return
            if found is not None and await self._use(exchange, found, key, asked, route):
                return
            if asked.only_if_cached:
                exchange.failure = NOT_KEPT
                return
            flight = self._cache.flights.of(key)
            if flight is None or not self._may_share(key, asked, found):
                await self._fetch(exchange, route, Order(key, asked, found, not asked.no_store))
                return
            if await self._wait(exchange, flight, asked):
                return
        await self._fetch(exchange, route, Order(key, asked, None, not asked.no_store))

    async def _use(self, exchange: Exchange, found: StoredAnswer, key: bytes, asked: Asked, route: R) -> bool:
        """Answer with what is kept if that is allowed, fresh or stale."""
        now = self._cache.clock()
        if found.is_fresh_for(asked.limits, now):
            outcome = outcomes.HIT
        elif found.may_be_stale(asked.limits, now):
            outcome = outcomes.STALE
            self._refresh(exchange, route, Order(key, asked, found, may_keep=True, is_silent=True))
        else:
            return False
        await self._give(exchange, found, asked, outcome)
        return True

    def _may_share(self, key: bytes, asked: Asked, found: StoredAnswer | None) -> bool:
        """Whether others may want just what this request fetches."""
        if asked.no_store or asked.is_authorized or self._cache.flights.is_solitary(key, self._cache.clock()):
            return False
        return found is not None or not (asked.range or asked.is_conditional)

    async def _wait(self, exchange: Exchange, flight: Flight, asked: Asked) -> bool:
        """Wait for another's fetch; True when that has answered this request too, or nobody waits for it any more."""
        await flight.wait(exchange, self._cache.settings.wait_timeout_s)
        if exchange.abandoned is not None:
            exchange.failure = exchange.abandoned
            return True
        landed = flight.landed
        if landed is None or not landed.fits(asked):
            return False
        if not landed.answer.is_fresh_for(asked.limits, self._cache.clock()):
            return False
        await self._give(exchange, landed.answer, asked, outcomes.COLLAPSED)
        return True

    async def _fetch(self, exchange: Exchange, route: R, order: Order) -> None:
        """Ask the server, for this request and for who waits meanwhile."""
        cache, sent = self._cache, exchange.sent
        may_share = cache.flights.of(order.key) is None and self._may_share(order.key, order.asked, order.stored)
        flight = cache.flights.begin(order.key) if may_share else None
        fetch = Fetch(cache, order, exchange, self._rules.cache_control, flight)
        if order.stored is not None:
            exchange.sent = _validating(sent, order.stored)
        try:
            await self._forward(exchange, route)
        finally:
            fetch.finish()
            exchange.sent = sent
        answer, outcome = fetch.answer, fetch.outcome
        if answer is None and (rescue := self._rescue(exchange, order)) is not None:
            exchange.failure = None
            answer, outcome = rescue, outcomes.STALE
        if answer is not None and exchange.failure is None:
            await self._give(exchange, answer, order.asked, outcome)
        else:
            self._note(exchange, outcome)

    def _rescue(self, exchange: Exchange, order: Order) -> StoredAnswer | None:
        """What may be given in place of an answer that could not be had (RFC 5861 section 4)."""
        stored = order.stored
        if stored is None or exchange.failure is None or exchange.answered or exchange.abandoned is not None:
            return None
        is_ours = exchange.failure.side is Side.CLIENT  # the request itself was at fault
        may = stored.may_be_stale_on_error(order.asked.limits, self._cache.clock())
        return stored if may and not is_ours else None

    def _refresh(self, exchange: Exchange, route: R, order: Order) -> None:
        """Have a stale answer fetched anew by nobody's request, unless that is under way."""
        cache = self._cache
        if order.stored is None or cache.flights.of(order.key) is not None:
            return
        head = _validating(exchange.sent, order.stored)
        head.method, head.minor_version = b"GET", 0  # to HTTP/1.0 no interim answer is passed
        silent = Exchange(head, None, Stream(exchange.client.loop), exchange.route, exchange.identity)
        flight = cache.flights.begin(order.key)
        fetch = Fetch(cache, order, silent, self._rules.cache_control, flight)
        if not cache.start(self._run_silent(silent, route, fetch)):
            fetch.finish()

    async def _run_silent(self, exchange: Exchange, route: R, fetch: Fetch) -> None:
        try:
            await self._forward(exchange, route)
        finally:
            fetch.finish()

    async def _change(self, exchange: Exchange, route: R) -> None:
        """Forward a request that may change something; what it changes is no longer used once that is answered."""
        self._note(exchange, outcomes.BYPASS)
        exchange.edits = (self._invalidate, *exchange.edits)
        await self._forward(exchange, route)

    def _invalidate(self, response: ResponseHead, exchange: Exchange) -> ResponseHead:
        """RFC 9111 section 4.4, as an edit: before the client knows that its change is done."""
        if response.status < 400:
            head, scheme = exchange.head, _scheme(exchange)
            others = also_changed(response.fields, scheme, head.authority, head.target)
            self._cache.changed(scheme, head.authority, (head.target, *others))
        return response

    # What the client gets.

    async def _give(self, exchange: Exchange, answer: StoredAnswer, asked: Asked, outcome: str) -> None:
        """Answer, and wait until the client has taken so much that there is room for another answer."""
        await _taken(exchange)
        if exchange.failure is None:
            self._send(exchange, answer, asked, self._cache.clock(), outcome)
            await _taken(exchange)

    def _send(self, exchange: Exchange, answer: StoredAnswer, asked: Asked, now: float, outcome: str) -> None:
        """Write the answer; `exchange.failure` says when the client has gone."""
        head = exchange.head
        is_usual = exchange.keep_alive and head.minor_version == 1 and not exchange.edits
        if asked.is_plain and is_usual and outcome is outcomes.HIT:
            exchange.response = answer.head
            out, body = encoded_hit(answer, now), answer.body if head.method == b"GET" else b""
        else:
            lines = lines_of_hit(answer, now) if outcome is outcomes.HIT else _lines(answer, now, outcome)
            response, body = reply(answer, head.method, asked, lines)
            response, body = self._edited(exchange, answer, response, body)
            exchange.response = response
            out = encode_response(response, False, not exchange.keep_alive, head.minor_version)
        self._note(exchange, outcome)
        exchange.answered = True
        exchange.answered_bytes = len(out) + len(body)
        try:
            if len(body) <= JOINED_BYTES:
                exchange.client.write(out + body)
            else:
                exchange.client.write(out)
                exchange.client.write(body)
        except BrokenResourceError:
            exchange.failure = CLIENT_LEFT

    def _edited(
        self, exchange: Exchange, answer: StoredAnswer, response: ResponseHead, body: bytes
    ) -> tuple[ResponseHead, bytes]:
        """The answer as this client gets it: edited as one of the server that sent it, which this binds nobody to."""
        exchange.preference, exchange.backend_name = None, answer.backend
        for edit in exchange.edits:
            response = edit(response, exchange)
        exchange.backend_name = ""
        through, exchange.filter = exchange.filter, None
        return (response, body) if through is None else self._cache.coded(answer, response, body, through)

    def _note(self, exchange: Exchange, outcome: str) -> None:
        exchange.cache_result = outcome
        self._cache.totals.results[outcome] += 1


def _may_use(found: StoredAnswer, asked: Asked, now: float) -> bool:
    """Whether what is kept answers the request as it is."""
    if asked.is_plain:
        return now < found.fresh_until
    return not (asked.no_store or asked.is_for_origin) and found.is_fresh_for(asked.limits, now)


def _lines(answer: StoredAnswer, now: float, outcome: str) -> bytes:
    told = {
        outcomes.REVALIDATED: b"hit; fwd=stale; fwd-status=304",
        outcomes.COLLAPSED: b"fwd=uri-miss; collapsed",
        outcomes.STALE: b"hit; ttl=%d" % (answer.fresh_until - now),
    }
    return b"Age: %d\r\n%b" % (answer.age_s(now), status_line(told[outcome]))


def _scheme(exchange: Exchange) -> bytes:
    """What the client's request came by, as the server is told."""
    return b"https" if b"\r\nX-Forwarded-Proto: https\r\n" in exchange.identity else b"http"


def _validating(head: RequestHead, stored: StoredAnswer) -> RequestHead:
    """The request that asks whether what is kept still holds, in place of the client's own conditions."""
    more = copy(head)
    more.fields = _without(head.fields, _conditions) + stored.conditions
    return more


def _without(fields: bytes, names: tuple[bytes, ...]) -> bytes:
    lines = fields.splitlines(keepends=True)
    return b"".join(line for line in lines if line.partition(b":")[0].lower() not in names)


async def _taken(exchange: Exchange) -> None:
    """Wait while the client has more to take than it should."""
    if exchange.client.write_paused and exchange.failure is None:
        try:
            await exchange.client.drain_or_abort()
        except BrokenResourceError:
            exchange.failure = CLIENT_LEFT
