"""What is learned from answers that name a session: the edit that sees their heads, the filter that sees their bodies.

Knows exchanges and the group's memory of sessions. Nothing of an answer is changed.
"""

from __future__ import annotations

from typing import Final

from wsproxy.balancing.named_sessions import NAMING_BYTES, NamedSessions, named_in
from wsproxy.exchange import Exchange, HeadEdit, ResponseFilter
from wsproxy.http.messages import CHUNKED, ResponseHead, field_values

LARGEST_BYTES: Final = 4096
"""An answer that names a session has about 100 bytes; with its first messages behind it a few hundred."""

TYPES: Final = (b"text/plain", b"application/octet-stream", b"application/javascript", b"text/javascript")
"""What engine.io sends it as: text, since version 4 always; the others are old clients' and JSONP's."""


def naming_edit(sessions: NamedSessions) -> HeadEdit:
    """An edit that has the bodies of answers looked at which may name a session, and leaves heads as they are."""

    def edit(response: ResponseHead, exchange: Exchange) -> ResponseHead:
        if isinstance(exchange.filter, NamingFilter):
            exchange.filter = exchange.filter.inner  # of an attempt that came to nothing
        preference = exchange.preference
        if preference is not None and not preference.value and _may_name(response):
            exchange.filter = NamingFilter(sessions, exchange)
        return response

    return edit


def _may_name(response: ResponseHead) -> bool:
    if response.status != 200 or not (response.length == CHUNKED or 0 < response.length <= LARGEST_BYTES):
        return False
    types, codings = (field_values(response.fields, name) for name in (b"content-type", b"content-encoding"))
    return len(types) == 1 and types[0].lower().startswith(TYPES) and not codings


class NamingFilter:
    """Looks at the beginning of one body, and passes it on: to the client, or to the filter that was there before."""

    def __init__(self, sessions: NamedSessions, exchange: Exchange) -> None:
        self.inner: ResponseFilter | None = exchange.filter
        self._sessions = sessions
        self._exchange = exchange
        self._seen = b""

    def begin(self, response: ResponseHead) -> ResponseHead | None:
        """Nothing is changed here."""
        self._seen = b""
        return response if self.inner is None else self.inner.begin(response)

    def feed(self, data: bytes) -> bytes:
        """Note what is named as soon as it can be read: the client may be back before the answer has ended."""
        if len(self._seen) < NAMING_BYTES:
            self._seen += data[:NAMING_BYTES]
            if session := named_in(self._seen):
                exchange = self._exchange
                self._sessions.note(session, exchange.backend_name, exchange.client.loop.time())
        return data if self.inner is None else self.inner.feed(data)

    def end(self) -> bytes:
        """The end of the body."""
        return b"" if self.inner is None else self.inner.end()

    def abort(self) -> None:
        """It has broken off; what it has named may be asked for all the same."""
        if self.inner is not None:
            self.inner.abort()
