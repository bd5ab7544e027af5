"""PURE: what binds a client to its backend: a signed cookie, or a hash of something that each of its requests has.

A `sid` in the query is engine.io's: a backend has made it up, and where it is known which one, that is where it leads.

A cookie holds a MAC over the group's and the backend's name and neither of them: nobody can make one, nor read from it
what stands behind the proxy. Bindings are kept nowhere else, so a reload loses none, and with a `sticky_secret` a
restart neither.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Final

from wsproxy.balancing.named_sessions import PARAMETER, NamedSessions
from wsproxy.balancing.policy import C, Candidate
from wsproxy.balancing.request_key import KeyOf, cookie_finder, key_of
from wsproxy.balancing.ring import Ring
from wsproxy.config.model import RequestKey, RouteSettings
from wsproxy.http.messages import RequestHead

_MAC_BYTES: Final = 16  # nobody guesses one, and a cookie stays short
_CLIENT: Final = RequestKey("ip")


class Preference:
    """Where one request belongs.

    key: for the policy of its route. value: what it is bound by, b"" when it is not. bound_to: the name of the only
    backend that it is to go to now, or "". named_by: the backend that made the value up, "" where nobody knows of one.
    cookie: lines for an answer of the backend so named, b"" where the client has them already; None without cookies.
    """

    __slots__ = ("bound_to", "cookie", "key", "named_by", "value")

    def __init__(self, key: bytes, value: bytes, cookie: Callable[[str], bytes] | None) -> None:
        self.key = key
        self.value = value
        self.cookie = cookie
        self.bound_to = self.named_by = ""


class Affinity:
    """What a route asks of each request before it chooses a backend. Made anew when the route's settings change.

    sessions: those that backends of its group have named, where it binds by that; they outlive the affinity.
    """

    def __init__(self, settings: RouteSettings, secret: bytes, sessions: NamedSessions | None = None) -> None:
        written = settings.sticky_secret
        self._secret = secret if written is None else written.encode()
        self._group = settings.group.encode()  # routes that share a group share the binding
        self._ttl_s = settings.sticky_ttl_s
        self._policy_key: KeyOf | None = None
        if settings.algorithm == "ip-hash":
            self._policy_key = key_of(_CLIENT)
        elif settings.algorithm == "hash" and settings.hash_key is not None:
            self._policy_key = key_of(settings.hash_key)
        sticky = settings.sticky
        is_named = sticky is not None and sticky.source == "query" and sticky.name == PARAMETER
        self.sessions = sessions if is_named else None
        self._cookie_name = b""
        self._sticky_key: KeyOf | None = None
        if sticky is not None and sticky.source == "cookie":
            self._cookie_name = (sticky.name or _default_cookie_name(settings.group)).encode()
            self._cookies = cookie_finder(self._cookie_name)
        elif sticky is not None:
            self._sticky_key = key_of(sticky)
        self._candidates: Sequence[Candidate] = ()
        self._values: dict[str, bytes] = {}  # of the candidates, by name and the other way round
        self._names: dict[bytes, str] = {}
        self._ring: Ring | None = None

    @staticmethod
    def is_needed(settings: RouteSettings) -> bool:
        """Whether these settings ask anything of a request."""
        return settings.sticky is not None or settings.algorithm in ("hash", "ip-hash")

    def preference(self, head: RequestHead, client: str, is_secure: bool, now: float = 0.0) -> Preference:
        """What a request of the client at this address says. is_secure: it came over TLS. now: in seconds."""
        key = b"" if self._policy_key is None else self._policy_key(head, client)
        if self._cookie_name:
            return self._by_cookie(key, head, is_secure)
        preference = Preference(key, b"" if self._sticky_key is None else self._sticky_key(head, client), None)
        if self.sessions is not None and preference.value:
            preference.named_by = self.sessions.backend_of(preference.value, now)
        return preference

    def _by_cookie(self, key: bytes, head: RequestHead, is_secure: bool) -> Preference:
        shown = self._cookies(head)

        def line(backend: str) -> bytes:
            value = self._values.get(backend) or self._value(backend)
            return b"" if value in shown[:1] else self._line(value, is_secure)

        return Preference(key, shown[0] if shown else b"", line)

    def narrow(self, preference: Preference, candidates: Sequence[C], tried: Sequence[str]) -> Sequence[C]:
        """Only the backend that a request is bound to; all, where it is to none that can be had and is not `tried`."""
        preference.bound_to = ""
        if not preference.value or not candidates:
            return candidates
        if candidates is not self._candidates:
            self._learn(candidates)
        name = preference.named_by if self._ring is not None else self._names.get(preference.value, "")
        bound = [candidate for candidate in candidates if candidate.name == name and name not in tried]
        if not bound and self._ring is not None:
            walk = (candidates[index] for index in self._ring.walk(preference.value))
            first = next((candidate for candidate in walk if candidate.name not in tried), None)
            bound = [] if first is None else [first]
        if not bound:
            return candidates
        preference.bound_to = bound[0].name
        return tuple(bound)

    def _learn(self, candidates: Sequence[Candidate]) -> None:
        self._candidates = candidates
        if self._cookie_name:
            self._values = {candidate.name: self._value(candidate.name) for candidate in candidates}
            self._names = {value: name for name, value in self._values.items()}
        else:
            self._ring = Ring(candidates)

    # Cookies.

    def _value(self, backend: str) -> bytes:
        mac = hmac.digest(self._secret, self._group + b"\0" + backend.encode(), "sha256")
        return mac[:_MAC_BYTES].hex().encode()

    def _line(self, value: bytes, is_secure: bool) -> bytes:
        ttl = b"" if self._ttl_s is None else b"; Max-Age=%d" % max(1, int(self._ttl_s))
        secure = b"; Secure" if is_secure else b""
        return b"Set-Cookie: %b=%b; Path=/%b; HttpOnly; SameSite=Lax%b\r\n" % (self._cookie_name, value, ttl, secure)


def _default_cookie_name(group: str) -> str:
    """One for each group, so that none takes another's for its own; it says nothing of the inside."""
    return f"wsproxy_{blake2b(group.encode(), digest_size=4).hexdigest()}"
