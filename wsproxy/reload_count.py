"""Assembly: how many reloads there were, and what became in them of the WebSockets that were open."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

from wsproxy.frontend.relay import Relay
from wsproxy.frontend.route import Route
from wsproxy.observe.snapshot import ReloadFigures


class ReloadCount:
    """Of one process. so_far: as counted by now."""

    def __init__(self, routes: Mapping[str, Route]) -> None:
        self.so_far = ReloadFigures()
        self._routes = routes

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Count the reload inside the block, and what becomes of the WebSockets that were there before."""
        before = self.so_far
        relays = [
            (route, relay) for route in self._routes.values() if route.relays is not None for relay in route.relays.open
        ]
        try:
            yield
        except Exception:
            self.so_far = replace(before, refused=before.refused + 1)
            raise
        current = set(self._routes.values())
        kept = sum(route in current and not _is_leaving(relay) for route, relay in relays)
        self.so_far = replace(
            before,
            done=before.done + 1,
            sessions_kept=before.sessions_kept + kept,
            sessions_drained=before.sessions_drained + len(relays) - kept,
        )


def _is_leaving(relay: Relay) -> bool:
    return relay.backend is not None and relay.backend.leaving
