"""Who may use the admin listener: addresses, a token, a browser's session, and pages of other sites kept out.

Knows settings and requests. A token comes as `Authorization: Bearer …`, never in a URL; a browser hands it in once and
gets a cookie that scripts cannot read and other sites cannot use. Without a token only this machine can connect (the
configuration sees to that), so pages in its browsers are what is left to fear: they are told apart by Host (a name that
was rebound to 127.0.0.1) and by Origin (a page that posts here, or opens a WebSocket).
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Callable
from http.cookies import CookieError, SimpleCookie
from ipaddress import ip_address
from typing import Final

from wsproxy.admin.messages import SAFE_METHODS, RefusalError, Request
from wsproxy.config.model import AdminSettings, IPNetwork
from wsproxy.http.forwarded import is_trusted
from wsproxy.ws.handshake import SAME_HOST, origin_allowed

COOKIE: Final = "wsproxy_session"
"""Cookies know hosts, not ports: who logs in to a second proxy of the same host is logged out of the first."""

SESSION_S: Final = 12 * 3600.0
"""A working day: a browser that was left open overnight asks again."""

SESSIONS: Final = 64
"""Logins at a time; one more ends the oldest, so that nobody can fill the memory."""


_HOST: Final = re.compile(r"(\[[^\]]*\]|[^:]*)(?::[0-9]*)?")


class Gatekeeper:
    """The rules of one admin listener."""

    def __init__(self, settings: AdminSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._sessions: dict[bytes, float] = {}  # by the digest of the cookie: until when it is good

    def use(self, settings: AdminSettings) -> None:
        """Take over other rules; with another token all sessions end."""
        if settings.token != self._settings.token:
            self._sessions.clear()
        self._settings = settings

    def check_peer(self, request: Request) -> None:
        """Raises RefusalError(403) for an address that is not in `allow`."""
        if not _is_in(request.peer, self._settings.allow):
            raise RefusalError(403, "this address may not come here (allow)")

    def check_page(self, request: Request) -> None:
        """Keep out what pages of other sites send. Raises RefusalError(403)."""
        if self._settings.token is None and not self._is_known_host(request.head.authority):
            raise RefusalError(403, "this Host is not one of the admin listener's")
        if request.method in SAFE_METHODS and not request.head.upgrade:
            return
        origin = request.field(b"origin")
        if origin is None:
            if request.field(b"sec-fetch-site") not in (None, "same-origin", "none") or self._session_of(request):
                raise RefusalError(403, "a browser has to say its Origin")
        elif not origin_allowed(origin.encode("latin-1"), request.head.authority, (SAME_HOST,)):
            raise RefusalError(403, "pages of other sites may not come here (Origin)")

    def check_caller(self, request: Request) -> None:
        """Raises RefusalError(401) for who presents neither the token nor a session."""
        if self._settings.token is None or self._has_token(request) or self._session_of(request):
            return
        raise RefusalError(401, "present the token", {"WWW-Authenticate": 'Bearer realm="wsproxy"'})

    def may_read_metrics(self, request: Request) -> bool:
        """Whether the address is one of `metrics_allow`, which need no token."""
        return bool(self._settings.metrics_allow) and _is_in(request.peer, self._settings.metrics_allow)

    def log_in(self, token: str) -> str | None:
        """The value of Set-Cookie for a caller with the right token, or None."""
        if not self._is_token(token):
            return None
        now = self._clock()
        self._sessions = {digest: until for digest, until in self._sessions.items() if until > now}
        while len(self._sessions) >= SESSIONS:
            del self._sessions[next(iter(self._sessions))]
        value = secrets.token_urlsafe(32)
        self._sessions[_digest(value)] = now + SESSION_S
        return f"{COOKIE}={value}; Path=/; Max-Age={SESSION_S:.0f}; HttpOnly; SameSite=Strict"

    def log_out(self, request: Request) -> str:
        """End the caller's session, if it has one; the value of Set-Cookie."""
        digest = self._session_of(request)
        if digest is not None:
            del self._sessions[digest]
        return f"{COOKIE}=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict"

    def _has_token(self, request: Request) -> bool:
        scheme, _, token = (request.field(b"authorization") or "").partition(" ")
        return scheme.lower() == "bearer" and self._is_token(token.strip())

    def _is_token(self, presented: str) -> bool:
        """In a time that says nothing of how much of it was right."""
        token = self._settings.token
        return token is not None and hmac.compare_digest(presented.encode("utf-8", "replace"), token.encode())

    def _session_of(self, request: Request) -> bytes | None:
        written = request.field(b"cookie")
        if written is None:
            return None
        try:
            morsel = SimpleCookie(written).get(COOKIE)
        except CookieError:
            return None
        if morsel is None:
            return None
        digest = _digest(morsel.value)
        return digest if self._sessions.get(digest, 0.0) > self._clock() else None

    def _is_known_host(self, authority: bytes) -> bool:
        match = _HOST.fullmatch(authority.decode("latin-1").lower())
        if match is None:
            return False
        host = match[1].strip("[]")
        if host in ("localhost", self._settings.host.lower()):
            return True
        try:
            ip_address(host)  # no name, so nobody's name was bound to it
        except ValueError:
            return False
        return True


def _digest(value: str) -> bytes:
    return hashlib.sha256(value.encode("utf-8", "replace")).digest()


def _is_in(peer: str, networks: tuple[IPNetwork, ...]) -> bool:
    return not networks or is_trusted(peer, networks)
