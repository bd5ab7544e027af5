"""Whom a backend's requests are addressed to, and the heads they are written with.

Knows exchanges; not connections.
"""

from __future__ import annotations

from dataclasses import dataclass

from wsproxy.exchange import Exchange
from wsproxy.http.codec import encode_request, with_host


@dataclass(frozen=True, slots=True)
class Authority:
    """The Host a backend would have: it gets that if it `is_own` (written as a URL), or if the client sent none."""

    value: bytes
    is_own: bool
    base_path: bytes = b""  # of its URL: stands before every path that is asked for

    def head_of(self, exchange: Exchange) -> bytes:
        """The request's head for this backend, which may want a Host of its own."""
        head = exchange.sent
        own_host = not head.authority or (self.is_own and not exchange.route.preserve_host)
        if not own_host and not self.base_path:
            return encode_request(head, exchange.identity)
        fields, target = head.fields, head.target  # another attempt may go to a backend that gets the client's own
        if own_host:
            with_host(head, self.value)
        if self.base_path and target.startswith(b"/"):
            head.target = self.base_path + target
        encoded = encode_request(head, exchange.identity)
        head.fields, head.target = fields, target
        return encoded
