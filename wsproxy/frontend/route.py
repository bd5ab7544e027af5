"""A route at run time: its settings, the group it chooses from, and how it prefers."""

from __future__ import annotations

from wsproxy.backend.group import Group
from wsproxy.balancing.algorithms import Policy
from wsproxy.config.model import RouteSettings


class Route:
    """Where a matched request goes."""

    __slots__ = ("group", "policy", "settings")

    def __init__(self, settings: RouteSettings, group: Group, policy: Policy) -> None:
        self.settings = settings
        self.group = group
        self.policy = policy
