"""Whether a request may come in: what its route's rate limits say, counted where people look for it.

Knows routes and verdicts; the answer is the session's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from wsproxy.limiting.gate import Verdict

if TYPE_CHECKING:
    from wsproxy.frontend.route import Route
    from wsproxy.http.messages import RequestHead

TOO_MANY_REQUESTS: Final = 429


class TooManyRequestsError(Exception):
    """The client has to wait; `fields` are the lines that say for how long, `route` is the name of who says so."""

    status = TOO_MANY_REQUESTS

    def __init__(self, fields: bytes, route: str) -> None:
        super().__init__("too many requests")
        self.fields = fields
        self.route = route


async def admit(head: RequestHead, route: Route, client: str) -> Verdict:
    """Ask the gate of a route, which has one, for the client at this address. Raises TooManyRequestsError."""
    gate = route.gate
    assert gate is not None  # noqa: S101 - only a route with a gate is asked
    verdict = gate.ask(head, client)
    if not isinstance(verdict, Verdict):
        verdict = await verdict
    if verdict.wait_s:
        route.totals.whole[""][TOO_MANY_REQUESTS].record(0.0)
        if route.relays is not None:
            route.relays.totals.handshakes["rate_limit"] += 1
        raise TooManyRequestsError(verdict.refusal_lines, route.settings.name)
    return verdict
