"""Whether a request may come in: what the process has room for and what its route's rate limits say.

Knows the counters of one route, and verdicts; the answer is the session's.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from wsproxy.frontend.overload import Overload
from wsproxy.frontend.request_totals import RequestTotals
from wsproxy.http.messages import MalformedRequestError, RequestHead
from wsproxy.limiting.gate import RouteGate, Verdict

_OVERLOAD_LINES: Final = b"Retry-After: 1\r\n"
"""Overload is looked at twice a second."""
_UNLIMITED: Final = Verdict(0.0, b"")


class NotAdmittedError(MalformedRequestError):
    """There is nothing wrong with the request, but it comes too early; `fields` say when it may come again."""

    def __init__(self, status: int, reason: str, fields: bytes, route: str) -> None:
        super().__init__(status, reason, fields)
        self.route = route
        self.may_go_on = True


class Refusals:
    """Where a route counts what it turns away: as answers, and handshakes of WebSockets as those too."""

    __slots__ = ("_answers", "_handshakes", "name")

    def __init__(self, name: str, answers: RequestTotals, handshakes: Counter[str] | None) -> None:
        self.name = name
        self._answers = answers
        self._handshakes = handshakes

    @property
    def are_of_handshakes(self) -> bool:
        """Whether the route's requests are handshakes."""
        return self._handshakes is not None

    def add(self, status: int, reason: str) -> None:
        """One more."""
        self._answers.whole[""][status].record(0.0)
        if self._handshakes is not None:
            self._handshakes[reason] += 1


class Gate:
    """What a request to a route has to pass. limits: the route's; overload: what the whole process has room for."""

    __slots__ = ("_refusals", "limits", "overload")

    def __init__(self, limits: RouteGate | None, overload: Overload | None, refusals: Refusals) -> None:
        self.limits = limits
        self.overload = overload
        self._refusals = refusals

    async def admit(self, head: RequestHead, client: str, is_first: bool) -> Verdict:
        """Ask for the client at this address.

        is_first: the request is the first of its connection. Raises NotAdmittedError.
        """
        if self.overload is not None:
            self._check_overload(self.overload, is_first)
        if self.limits is None:
            return _UNLIMITED
        verdict = self.limits.ask(head, client)
        if not isinstance(verdict, Verdict):
            verdict = await verdict
        if verdict.wait_s:
            self._refusals.add(429, "rate_limit")
            raise NotAdmittedError(429, "too many requests", verdict.refusal_lines, self._refusals.name)
        return verdict

    def _check_overload(self, overload: Overload, is_first: bool) -> None:
        excess = overload.excess(is_first, self._refusals.are_of_handshakes)
        if excess:
            self._refusals.add(503, "overload")
            error = NotAdmittedError(503, "the proxy is overloaded", _OVERLOAD_LINES, self._refusals.name)
            error.may_go_on = excess != "connections"
            raise error
