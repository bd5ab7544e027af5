"""A route at run time: its settings, the group it chooses from, and how it prefers."""

from __future__ import annotations

from wsproxy.backend.group import Group
from wsproxy.balancing.affinity import Affinity
from wsproxy.balancing.policy import Policy
from wsproxy.config.model import RouteSettings
from wsproxy.frontend.relays import Relays
from wsproxy.frontend.request_totals import RequestTotals


class Route:
    """Where a matched request goes.

    affinity: what is asked of a request before a backend is chosen, if anything is. relays: of a `[websocket…]` route,
    its WebSockets. totals: its counters.
    """

    __slots__ = ("affinity", "group", "policy", "relays", "settings", "totals")

    def __init__(self, settings: RouteSettings, group: Group, policy: Policy, relays: Relays | None = None) -> None:
        self.settings = settings
        self.group = group
        self.policy = policy
        self.affinity: Affinity | None = None
        self.relays = relays
        self.totals = RequestTotals()

    def use(self, settings: RouteSettings) -> None:
        """Take over other settings that lead to the same group; what is under way keeps those it began with."""
        self.settings = settings
        if self.relays is not None:
            self.relays.use(settings.websocket)
