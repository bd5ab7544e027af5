"""One request to a server on behalf of the cache: what comes goes to the client, and a copy is kept if it may be.

Knows the exchange it belongs to as the one whose edits change what the client sees: what is kept is what the server
sent. It is the exchange's only edit of heads, and its filter of bodies where there is something to keep.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from wsproxy.cache.flights import Flight, Landed
from wsproxy.cache.freshness import Limits, Terms, terms_of
from wsproxy.cache.outcomes import EXPIRED, MISS, REVALIDATED, STALE
from wsproxy.cache.replies import forwarded_line
from wsproxy.cache.selecting import varies_by, with_cache_control
from wsproxy.cache.stored import StoredAnswer, stored_fields
from wsproxy.http.codec import with_line
from wsproxy.http.date import date_line
from wsproxy.http.messages import ResponseHead, field_values

if TYPE_CHECKING:
    from wsproxy.cache.asked import Asked
    from wsproxy.cache.cache import Cache
    from wsproxy.exchange import Exchange, ResponseFilter

SERVER_FAILED: Final = frozenset({500, 502, 503, 504})
"""Answers in place of which a stale one may be given (RFC 5861 section 4)."""

ABOUT_THE_REQUEST: Final = frozenset({206, 304, 412, 416})
"""Statuses that come of a request's own conditions and ranges, and say nothing of what others get."""

_ANYBODY: Final = Limits()


class Order:
    """What is fetched.

    key: what it is kept under. stored: what there is already, if anything. may_keep: whether the request allows a copy.
    is_silent: nobody waits for the answer.
    """

    __slots__ = ("asked", "is_silent", "key", "may_keep", "stored")

    def __init__(
        self, key: bytes, asked: Asked, stored: StoredAnswer | None, may_keep: bool, is_silent: bool = False
    ) -> None:
        self.key = key
        self.asked = asked
        self.stored = stored
        self.may_keep = may_keep
        self.is_silent = is_silent


class Fetch:
    """Carries out an order. answer: a kept answer that the client is to get instead of what the server sent.

    outcome: what has become of it. flight: who else waits for it.
    """

    def __init__(
        self, cache: Cache, order: Order, exchange: Exchange, cache_control: bytes, flight: Flight | None
    ) -> None:
        self.answer: StoredAnswer | None = None
        self.outcome = MISS if order.stored is None else EXPIRED
        self.flight = flight
        self._cache = cache
        self._order = order
        self._exchange = exchange
        self._cache_control = cache_control
        self._asked_at = cache.clock()
        self._edits = exchange.edits
        self._inner: ResponseFilter | None = None
        self._response: ResponseHead | None = None
        self._terms: Terms | None = None
        self._names: tuple[bytes, ...] = ()
        self._pieces: list[bytes] = []
        self._size = 0
        self._begun: ResponseHead | None = None
        exchange.edits = (self._decide,)

    def finish(self) -> None:
        """The server has answered or failed: who waits looks for himself, and the exchange is as it was."""
        self._forget()
        self._exchange.edits = self._edits
        self._exchange.filter = None
        if self.flight is not None:
            self.flight.land()

    # What the exchange's worker calls.

    def _decide(self, response: ResponseHead, exchange: Exchange) -> ResponseHead:
        """As the exchange's only edit: whether the head answers the client, and whether the body is kept.

        An answer that is only passed on goes the short way, without a filter.
        """
        self._forget()
        self._inner = exchange.filter = None
        order, now = self._order, self._cache.clock()
        if self._cache_control and response.status < 400:
            response = with_cache_control(response, self._cache_control)
        if self._replaces(response, now):
            self._begun, exchange.filter = None, self
            return response
        self._prepare(response, now)
        if order.is_silent:
            self._begun, exchange.filter = None, self
            return response
        shown = self._shown(response)
        if self._terms is not None:
            self._inner, exchange.filter = exchange.filter, self
        self._begun = shown
        return shown

    def _replaces(self, response: ResponseHead, now: float) -> bool:
        """Whether a kept answer takes the place of this one, which says no more than that it may."""
        stored = self._order.stored
        if stored is None:
            return False
        if response.status == 304 and stored.has_validator:
            self._confirm(stored, response, now)
            return True
        if response.status in SERVER_FAILED and stored.may_be_stale_on_error(self._order.asked.limits, now):
            self.answer, self.outcome = stored, STALE
            return True
        return False

    def begin(self, response: ResponseHead) -> ResponseHead | None:  # noqa: ARG002 - it has been decided
        """The head that goes to the client, None where none does."""
        begun = self._begun
        return begun if begun is None or self._inner is None else self._inner.begin(begun)

    def feed(self, data: bytes) -> bytes:
        """A piece of the body."""
        if self._terms is not None:
            self._size += len(data)
            if self._size > self._cache.settings.max_entry_size_bytes or not self._cache.fill(len(data)):
                self._give_up()
            else:
                self._pieces.append(data)
        if self._order.is_silent and self._terms is None and self.answer is None:
            self._exchange.abandon()  # nobody wants it any more: not to be read to its end, which may never come
        return data if self._inner is None else self._inner.feed(data)

    def end(self) -> bytes:
        """The body is whole: keep it."""
        if self._terms is not None and self._response is not None:
            self._keep(self._response, self._terms)
        self._forget()
        return b"" if self._inner is None else self._inner.end()

    def abort(self) -> None:
        """It is not."""
        self._forget()
        if self._inner is not None:
            self._inner.abort()

    # What is kept.

    def _prepare(self, response: ResponseHead, now: float) -> None:
        order, cache = self._order, self._cache
        if self._exchange.head.method == b"HEAD":
            self._compare(response, now)
            return
        if order.may_keep and not cache.passes.knows(response.fields):
            names = varies_by(response.fields)
            if names is not None and response.length <= cache.settings.max_entry_size_bytes:
                self._terms = terms_of(response, order.asked.is_authorized, self._asked_at, now, cache.defaults)
                self._response, self._names = response, names
            if self._terms is None and not order.asked.is_authorized and response.status == 200:
                cache.passes.add(response.fields)
        if self._terms is None:
            self._let_others_go(response)

    def _let_others_go(self, response: ResponseHead) -> None:
        """What comes is for this client alone: nobody else is to wait for it, nor for the next ones of the kind."""
        if response.status < 500 and response.status not in ABOUT_THE_REQUEST and self._order.may_keep:
            self._cache.flights.remember_solitary(self._order.key, self._cache.clock())
            if self._order.stored is not None:
                self._cache.store.forget(self._order.key)
        if self.flight is not None:
            self.flight.land()

    def _keep(self, response: ResponseHead, terms: Terms) -> None:
        order, cache, now = self._order, self._cache, self._cache.clock()
        fields = stored_fields(response, terms.omitted, now)
        body, backend = b"".join(self._pieces), self._exchange.backend_name
        answer = StoredAnswer(response.status, response.reason, fields, body, terms, now, backend)
        cache.store.keep(order.key, self._names, order.asked, answer)
        cache.totals.stored += 1
        self._share(answer, now)

    def _share(self, answer: StoredAnswer, now: float) -> None:
        """Give it to who waits; what must be asked for anew each time is nothing to wait for."""
        flights, key = self._cache.flights, self._order.key
        is_for_all = answer.is_fresh_for(_ANYBODY, now)
        if is_for_all:
            flights.forget_solitary(key)
        else:
            flights.remember_solitary(key, now)
        if self.flight is not None:
            self.flight.land(Landed(answer, self._names, self._order.asked) if is_for_all else None)

    def _confirm(self, stored: StoredAnswer, response: ResponseHead, now: float) -> None:
        """RFC 9111 section 4.3.4: the server says that what is kept still holds."""
        order, cache = self._order, self._cache
        self.outcome = REVALIDATED
        self.answer, names = self._refreshed(stored, response, now)
        if names is None or not order.may_keep:
            cache.store.forget(order.key)
            return
        self._names = names
        cache.store.keep(order.key, names, order.asked, self.answer)
        self._share(self.answer, now)

    def _refreshed(
        self, stored: StoredAnswer, response: ResponseHead, now: float
    ) -> tuple[StoredAnswer, tuple[bytes, ...] | None]:
        """What is kept with the newer fields, and what it varies by; None where it may not be kept any longer."""
        newer = response.fields if response.has_date else response.fields + date_line(now)
        updated = stored.updated(newer, stored.terms, now)
        whole = ResponseHead(stored.status, stored.reason, 1, updated.fields + _ages(response.fields), 0, True)
        terms = terms_of(whole, self._order.asked.is_authorized, self._asked_at, now, self._cache.defaults)
        names = varies_by(updated.fields)
        if terms is None:
            return updated, None
        return stored.updated(newer, terms, now), names

    def _compare(self, response: ResponseHead, now: float) -> None:
        """RFC 9111 section 4.3.5: an answer to HEAD freshens what is kept, or shows that it holds no longer."""
        stored, order = self._order.stored, self._order
        if stored is None or response.status != 200:
            return
        fields = response.fields
        length = b"%d" % len(stored.body)
        pairs = ((b"etag", stored.etag), (b"last-modified", stored.last_modified), (b"content-length", length))
        if any(values[0] != kept for name, kept in pairs if (values := field_values(fields, name))):
            self._cache.store.forget(order.key)
            return
        answer, names = self._refreshed(stored, response, now)
        if names is not None:
            self._cache.store.keep(order.key, names, order.asked, answer)

    def _give_up(self) -> None:
        """It is too large, or there is too much under way already."""
        self._cache.totals.refused += 1
        self._forget()
        if self._response is not None:
            self._let_others_go(self._response)

    def _forget(self) -> None:
        """Nothing is being kept."""
        if self._pieces:
            self._cache.empty(sum(map(len, self._pieces)))
        self._terms, self._pieces, self._size = None, [], 0

    # What the client sees.

    def _shown(self, response: ResponseHead) -> ResponseHead:
        line = forwarded_line(self._order.stored is not None, response.status, self._terms is not None)
        shown = with_line(response, line)
        for edit in self._edits:
            shown = edit(shown, self._exchange)
        return shown


def _ages(fields: bytes) -> bytes:
    """The Age lines of an answer, which are not among those that are kept."""
    return b"".join(b"Age: %b\r\n" % value for value in field_values(fields, b"age"))
