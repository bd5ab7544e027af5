"""Compression of a route's answers: looks at each head, and has those that gain by it go through a filter.

Knows exchanges; which answers may be compressed, and how, is `http.compression`'s. It stands behind the edits of heads,
so that it sees one as the client would get it, and before all that put a filter in front of its own: those see bodies
as the server sent them. An answer that is left alone passes as without it.
"""

from __future__ import annotations

from wsproxy.config.content_settings import CompressionSettings
from wsproxy.exchange import Exchange
from wsproxy.http.accept import preferred_coding
from wsproxy.http.compression import CompressionFilter, may_compress, with_vary
from wsproxy.http.messages import ResponseHead, field_values


class Compression:
    """An edit of final answers that gives the exchange a filter where the client accepts one of its codings."""

    def __init__(self, settings: CompressionSettings) -> None:
        self._settings = settings

    def __call__(self, response: ResponseHead, exchange: Exchange) -> ResponseHead:
        """The head, which says that it depends on Accept-Encoding if it does; the filter changes the rest."""
        head = exchange.head
        exchange.filter = None  # what an attempt that came to nothing has left
        if response.status == 304:
            return with_vary(response)
        if not may_compress(response, self._settings):
            return response
        coding = preferred_coding(field_values(head.fields, b"accept-encoding"), self._settings.codings)
        if coding and head.minor_version > 0:
            exchange.filter = CompressionFilter(coding, self._settings.level)
        return with_vary(response)
