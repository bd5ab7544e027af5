"""Whether a request may come in: what the process has room for and what its route's rate limits say.

Knows routes and verdicts; the answer is the session's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from wsproxy.http.messages import MalformedRequestError
from wsproxy.limiting.gate import RouteGate, Verdict

if TYPE_CHECKING:
    from wsproxy.frontend.overload import Overload
    from wsproxy.frontend.route import Route
    from wsproxy.http.messages import RequestHead

_OVERLOAD_LINES: Final = b"Retry-After: 1\r\n"
"""Overload is looked at twice a second."""
_UNLIMITED: Final = Verdict(0.0, b"")


class Gate:
    """What a request to a route has to pass. limits: the route's; overload: what the whole process has room for."""

    __slots__ = ("limits", "overload")

    def __init__(self, limits: RouteGate | None, overload: Overload | None) -> None:
        self.limits = limits
        self.overload = overload


class NotAdmittedError(MalformedRequestError):
    """There is nothing wrong with the request, but it comes too early; `fields` say when it may come again."""

    def __init__(self, status: int, reason: str, fields: bytes, route: str) -> None:
        super().__init__(status, reason, fields)
        self.route = route
        self.may_go_on = True


async def admit(head: RequestHead, route: Route, client: str, is_first: bool) -> Verdict:
    """Ask the gate of a route, which has one, for the client at this address.

    is_first: the request is the first of its connection. Raises NotAdmittedError.
    """
    gate = route.gate
    assert gate is not None  # noqa: S101 - only a route with a gate is asked
    if gate.overload is not None:
        _check_overload(gate.overload, route, is_first)
    if gate.limits is None:
        return _UNLIMITED
    verdict = gate.limits.ask(head, client)
    if not isinstance(verdict, Verdict):
        verdict = await verdict
    if verdict.wait_s:
        _count(route, 429, "rate_limit")
        raise NotAdmittedError(429, "too many requests", verdict.refusal_lines, route.settings.name)
    return verdict


def _check_overload(overload: Overload, route: Route, is_first: bool) -> None:
    excess = overload.excess(is_first, route.relays is not None)
    if excess:
        _count(route, 503, "overload")
        error = NotAdmittedError(503, "the proxy is overloaded", _OVERLOAD_LINES, route.settings.name)
        error.may_go_on = excess != "connections"
        raise error


def _count(route: Route, status: int, outcome: str) -> None:
    route.totals.whole[""][status].record(0.0)
    if route.relays is not None:
        route.relays.totals.handshakes[outcome] += 1
