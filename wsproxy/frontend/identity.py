"""Who a connection's client is, for the backend, for logs, and for the id that each of its requests has.

Knows the peer and what the service believes of its claims.
"""

from __future__ import annotations

from wsproxy.frontend.service import HttpService
from wsproxy.http.forwarded import believed_request_id, client_address, client_scheme, identity_fields
from wsproxy.http.messages import RequestHead


class ClientIdentity:
    """One peer of one service. peer: its address, or that which a PROXY header announced."""

    __slots__ = ("_authority", "_lines", "_service", "peer")

    def __init__(self, peer: str, service: HttpService) -> None:
        self.peer = peer
        self._service = service
        self._authority = self._lines = b""

    def address(self, head: RequestHead | None) -> str:
        """The client's address, for people: behind proxies that are trusted, as they tell it."""
        if head is None or head.claims is None:
            return self.peer
        return client_address(head.claims, self.peer, self._service.settings.trusted_proxies)

    def scheme(self, head: RequestHead) -> str:
        """What the client uses: http or https, behind proxies that are trusted, as they tell it."""
        if head.claims is None:
            return self._service.scheme
        return client_scheme(head.claims, self.peer, self._service.scheme, self._service.settings.trusted_proxies)

    def introduce(self, head: RequestHead) -> tuple[bytes, bytes]:
        """The id of a request, and the lines that tell the backend of it and of its client."""
        if head.claims is None and self._lines and self._authority == head.authority:
            fresh = self._service.next_request_id()
            return fresh, b"%bX-Request-ID: %b\r\n" % (self._lines, fresh)
        request_id = self.request_id(head)
        return request_id, self._all_lines(head, request_id)

    def request_id(self, head: RequestHead | None) -> bytes:
        """A trusted peer's id for the request, or a fresh one."""
        fresh = self._service.next_request_id()
        if head is None or head.claims is None:
            return fresh
        return believed_request_id(head.claims, self.peer, self._service.settings.trusted_proxies, fresh)

    def _all_lines(self, head: RequestHead, request_id: bytes) -> bytes:
        """All but the id is the same for all requests of most connections, and is remembered."""
        service = self._service
        trusted = service.settings.trusted_proxies
        lines = identity_fields(head.claims, self.peer, service.scheme, head.authority, trusted, request_id)
        if head.claims is None:
            self._authority = head.authority
            self._lines = lines[: lines.index(b"X-Request-ID: ")]
        return lines
