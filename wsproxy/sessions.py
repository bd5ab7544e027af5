"""Assembly: the WebSockets of this process as operators see them: found by name or by what they belong to.

Looks them up and hands on; how a relay closes is its own business.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping
from heapq import nlargest

from wsproxy.admin.control import ControlError, Selection, UnknownError
from wsproxy.figures import session_figures, session_id
from wsproxy.frontend.relay import Relay
from wsproxy.frontend.route import Route
from wsproxy.net.deadlines import Deadlines
from wsproxy.observe.snapshot import SessionFigures
from wsproxy.observe.tapped import Tapped
from wsproxy.taps import Taps
from wsproxy.ws.control import GOING_AWAY, SERVICE_RESTART, is_sendable

_logger = logging.getLogger("wsproxy.admin")


class Sessions:
    """The WebSockets of all routes; every method may raise ControlError."""

    def __init__(self, routes: Mapping[str, Route], deadlines: Deadlines) -> None:
        self._routes = routes
        self._deadlines = deadlines
        self._taps = Taps()

    def listed(self, selection: Selection, limit: int) -> list[SessionFigures]:
        """Those that fit, the longest idle first."""
        now = self._deadlines.now
        longest = nlargest(limit, self._selected(selection), key=lambda found: now - found[1].idle_since)
        return [session_figures(route, relay, now) for route, relay in longest]

    def close(self, session: str, code: int, reason: str) -> None:
        """Close one."""
        if not is_sendable(code):
            raise ControlError(f"{code} is no code that a Close may carry")
        self._named(session).begin_close(code, GOING_AWAY, reason)

    def tap(self, session: str, for_s: float) -> Tapped:
        """Note one's frames for a while."""
        tapped = self._taps.begin(session, self._named(session), for_s, asyncio.get_running_loop().time())
        _logger.info("%s is tapped for %d s by an operator", session, tapped.left_s)
        return tapped

    def tapped(self, session: str) -> Tapped:
        """What was noted."""
        return self._taps.seen(session, asyncio.get_running_loop().time())

    def drain(self, selection: Selection) -> int:
        """Close all that fit with 1012 at their route's pace; how many they are."""
        by_route: dict[Route, list[Relay]] = {}
        for route, relay in self._selected(selection):
            if not relay.is_closing:
                by_route.setdefault(route, []).append(relay)
        for route, relays in by_route.items():
            if route.relays is not None:
                route.relays.drain(relays, SERVICE_RESTART)
        return sum(len(relays) for relays in by_route.values())

    def _named(self, session: str) -> Relay:
        """Raises UnknownError."""
        route_name = session.rpartition(".")[0]
        for route, relay in self._selected(Selection(route=route_name)):
            if session_id(route, relay) == session:
                return relay
        raise UnknownError(f"there is no WebSocket {session!r}")

    def _selected(self, selection: Selection) -> Iterator[tuple[Route, Relay]]:
        for route in self._routes.values():
            if route.relays is None or selection.route not in (None, route.settings.name):
                continue
            if selection.group not in (None, route.group.name):
                continue
            for relay in route.relays.open:
                name = "" if relay.backend is None else relay.backend.name
                if selection.backend in (None, name):
                    yield route, relay
