"""PURE: which backend named a session, so that what a client brings back later leads to it.

engine.io, below socket.io, has its server make up a `sid` in the first answer to a client that polls; each request
after that, and the WebSocket that takes over, has it as a parameter. A hash of it would lead anywhere.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

SESSIONS: Final = 65_536
"""How many are remembered for each group, some 20 MiB: more that poll at a time are beyond one proxy process."""

TTL_S: Final = 300.0
"""For how long after its last use: a client that polls is back within a minute (`pingInterval` and `pingTimeout`)."""

PARAMETER: Final = "sid"
"""What engine.io calls it, in the query and in the answer."""

NAMING_BYTES: Final = 256
"""Where in an answer the name is: at its beginning."""

_naming: Final = re.compile(
    rb'[^{]{0,32}0\{\\?"sid\\?":\\?"([\w.~+/=-]{1,128})\\?"',  # version 3 has a length before it, JSONP a function too
)


def named_in(body: bytes) -> bytes:
    """The session that an answer with this beginning names, b"" for none (engine.io protocol, versions 3 and 4)."""
    found = _naming.match(body)
    return b"" if found is None else found[1]


class NamedSessions:
    """Those of one group. At most `limit`: the one that was used longest ago goes first.

    tell: who is told of each that is named, where others are to know it too.
    """

    def __init__(self, limit: int = SESSIONS, ttl_s: float = TTL_S) -> None:
        self.tell: Callable[[bytes, str], None] | None = None
        self._limit = limit
        self._ttl_s = ttl_s
        self._known: dict[bytes, tuple[str, float]] = {}  # name -> backend, time of the last use; the latest is last

    def __len__(self) -> int:
        return len(self._known)

    def note(self, session: bytes, backend: str, now: float) -> None:
        """A backend has named a session."""
        self.remember(session, backend, now)
        if self.tell is not None:
            self.tell(session, backend)

    def remember(self, session: bytes, backend: str, now: float) -> None:
        """It is known who has named a session."""
        known = self._known
        known.pop(session, None)
        known[session] = (backend, now)
        while len(known) > self._limit or next(iter(known.values()))[1] + self._ttl_s < now:
            del known[next(iter(known))]

    def backend_of(self, session: bytes, now: float) -> str:
        """The name of the backend that named it, "" where that is not known (any more)."""
        found = self._known.pop(session, None)
        if found is None or found[1] + self._ttl_s < now:
            return ""
        self._known[session] = (found[0], now)
        return found[0]
