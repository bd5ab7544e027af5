"""PURE: whether a server keeps its connections open between two exchanges, learnt from what it does.

A request that must not be sent twice is lost when the server ends a connection that we are just about to use again, and
nothing on the wire tells a request that was lost from one that was carried out. So such a request goes over a used
connection only where the server is known to keep them, and only while the connection was idle for much less time than
it took the server to end one. Others are sent once more, and are how the knowledge comes.
"""

from __future__ import annotations

from math import inf
from typing import Final

REMEMBERED_S: Final = 300.0
"""How long an unannounced end counts. Servers rarely change their ways; one that was only restarted costs its clients'
POSTs a new connection each (100 us) for so long."""

AT_ONCE_S: Final = 0.5
"""An end within this time counts as one right behind the answer: two ticks of the coarse clock."""

MARGIN: Final = 0.5
"""The share of the shortest idle time after which a connection was ended that another may be idle."""


class PersistenceState:
    """What is known of one server. Times are in seconds of any one clock."""

    __slots__ = ("_ended_after_s", "_ended_at", "_keeps")

    def __init__(self) -> None:
        self._keeps = False
        self._ended_at = -inf
        self._ended_after_s = inf

    def kept(self) -> None:
        """A connection was open some time after an answer, or was used again."""
        self._keeps = True

    def ended(self, now: float, idle_s: float) -> None:
        """The server has ended a connection that was idle for `idle_s`, and had not said that it would."""
        if idle_s < AT_ONCE_S:
            self._keeps = False
            idle_s = 0.0
        if now - self._ended_at < REMEMBERED_S:
            idle_s = min(idle_s, self._ended_after_s)
        self._ended_at = now
        self._ended_after_s = idle_s

    def may_reuse(self, now: float, idle_s: float, served: int) -> bool:
        """Whether a request that cannot be sent twice may go over a connection that was idle for `idle_s` and is open.

        served: the exchanges it has carried. A second one proves that the server keeps connections. That it is open
        still proves nothing here: on a busy machine the server, or we, may not have come to its end yet.
        """
        if served > 1:
            self._keeps = True
        if now - self._ended_at < REMEMBERED_S and idle_s >= self._ended_after_s * MARGIN:
            return False
        return self._keeps

    def is_unknown(self, now: float) -> bool:
        """Whether it would help to watch what becomes of an idle connection."""
        return not self._keeps and now - self._ended_at >= REMEMBERED_S
