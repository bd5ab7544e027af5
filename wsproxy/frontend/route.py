"""A route at run time: its settings, the group it chooses from, how it prefers, and what it does besides forwarding."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

from wsproxy.backend.group import Group
from wsproxy.balancing.affinity import Affinity, Preference
from wsproxy.balancing.policy import Policy
from wsproxy.config.model import RouteSettings
from wsproxy.exchange import Exchange, HeadEdit
from wsproxy.frontend.admission import Gate
from wsproxy.frontend.naming import naming_edit
from wsproxy.frontend.relays import Relays
from wsproxy.frontend.request_totals import RequestTotals
from wsproxy.http.codec import with_line
from wsproxy.http.messages import ResponseHead


class Route:
    """Where a matched request goes.

    affinity: what is asked of a request before a backend is chosen, if anything is; recall: who may know what a request
    is bound to where the affinity does not. prepare: what is done to a request before anybody has it. edits: what is
    done to the head of every answer. gate: what requests must pass, if anything. handler: who answers instead of
    `forward`, and at_once: who is asked before it, where that may be able to without a wait, and says who is next.
    relays: of a WebSocket route, those that are open. totals: its counters.
    """

    __slots__ = (
        "_binding",
        "affinity",
        "at_once",
        "edits",
        "gate",
        "group",
        "handler",
        "policy",
        "prepare",
        "recall",
        "relays",
        "settings",
        "totals",
    )

    def __init__(self, settings: RouteSettings, group: Group, policy: Policy, relays: Relays | None = None) -> None:
        self.settings = settings
        self.group = group
        self.policy = policy
        self.relays = relays
        self.totals = RequestTotals()
        self.gate: Gate | None = None
        self.handler: Handler | None = None
        self.prepare: Preparation | None = None
        self.at_once: AtOnce | None = None
        self.edits: tuple[HeadEdit, ...] = ()
        self.affinity: Affinity | None = None
        self.recall: Recall | None = None
        self._binding: tuple[HeadEdit, ...] = ()

    def edit(self, prepare: Preparation | None, edits: Iterable[HeadEdit]) -> None:
        """Have requests and answers changed so from now on; what is under way keeps what it began with."""
        self.prepare = prepare
        self.edits = (*edits, *self._binding)

    def bind_clients(self, affinity: Affinity | None) -> None:
        """Have clients come back to their backends as `affinity` says, which may set a cookie with an answer, or learn
        from it."""
        self.affinity = affinity
        others = tuple(edit for edit in self.edits if edit not in self._binding)
        if affinity is None:
            self._binding = ()
        else:
            self._binding = (_bind,) if affinity.sessions is None else (naming_edit(affinity.sessions),)
        self.edits = others + self._binding

    def go_on_from(self, old: Route) -> None:
        """Take the place of another of this name: what it has counted counts here, and both count on."""
        self.gate = old.gate
        self.totals = old.totals
        if self.relays is not None and old.relays is not None:
            self.relays.go_on_from(old.relays)

    def use(self, settings: RouteSettings) -> None:
        """Take over other settings that lead to the same group; what is under way keeps those it began with."""
        self.settings = settings
        if self.relays is not None:
            self.relays.use(settings.websocket)


Preparation = Callable[[Exchange, str, str], None]
"""Makes an exchange ready before anybody has it; gets the client's address and scheme, as trusted peers tell them."""

Recall = Callable[[Preference, float], Awaitable[None]]
"""Finds out which backend a request is bound to, if others know; gets the loop's time."""

Handler = Callable[[Exchange, Route], Awaitable[None]]
"""Answers an exchange, or has `forward` do it. On return it has been answered, or `exchange.failure` says why not."""

AtOnce = Callable[[Exchange], Handler | None]
"""As a handler, without a wait; where that is not enough, returns the handler that goes on from there."""


def _bind(response: ResponseHead, exchange: Exchange) -> ResponseHead:
    """Let the cookie that binds the client to its backend go with the answer, where there is a new one."""
    cookie = exchange.cookie
    return with_line(response, cookie) if cookie else response
