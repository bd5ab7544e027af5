"""A frontend for HTTP and WebSockets: a listener with a service behind it, from its start to its end.

Knows sessions and relays as a whole; what is served to them is the service's business.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable
from typing import Final

from wsproxy.config.model import FrontendSettings
from wsproxy.frontend.access import AccessRecorder
from wsproxy.frontend.listening import ListeningFrontend
from wsproxy.frontend.relay import Relay
from wsproxy.frontend.relays import Relays
from wsproxy.frontend.route import Route
from wsproxy.frontend.service import HttpService
from wsproxy.frontend.session import ClientSession
from wsproxy.net.deadlines import Deadlines
from wsproxy.net.stream import Stream
from wsproxy.net.tls import TlsIdentities
from wsproxy.ws.control import GOING_AWAY, SERVICE_RESTART

LINGER_SHARE: Final = 0.5
"""The part of `shutdown_timeout` for which idle connections may send a last request where another accepts already."""


class Frontend(ListeningFrontend):
    """A listener and its service."""

    def __init__(
        self,
        settings: FrontendSettings,
        routes: Iterable[Route],
        deadlines: Deadlines,
        access: AccessRecorder | None,
        identities: TlsIdentities | None = None,
    ) -> None:
        super().__init__(identities)
        self.service = HttpService(settings, deadlines, access, is_secure=identities is not None)
        self._relayed: list[Relays] = []
        self.use_routes(routes)

    @property
    def settings(self) -> FrontendSettings:
        """Those in force."""
        return self.service.settings

    def use(self, settings: FrontendSettings) -> None:
        """Take over limits, timeouts and pages; what decides how connections come in needs another frontend.

        Raises ErrorPageError for a page that cannot be read.
        """
        self.service.use(settings)
        self._use_way_in(settings)

    def use_access(self, access: AccessRecorder | None) -> None:
        """Have somebody else write the access lines, or nobody."""
        self.service.access = access

    def go_on_from(self, old: Frontend) -> None:
        """Take the place of another of this name, which accepts no more: both count in one place from now on."""
        self._count_on_from(old)
        self.service.refused = old.service.refused

    def use_routes(self, routes: Iterable[Route]) -> None:
        """Lead the next requests to those of these routes that are for this frontend."""
        settings = self.settings
        mine = [route for route in routes if route.settings.frontend in (None, settings.name)]
        if settings.redirect_https:
            mine = []
        self.service.use_routes(mine)
        still_open = [relays for relays in self._relayed if relays.open]
        self._relayed = [route.relays for route in mine if route.relays is not None]
        self._relayed += [relays for relays in still_open if relays not in self._relayed]

    def _serve(self, stream: Stream) -> Awaitable[Relay | None]:
        return ClientSession(stream, self.service).run()

    @property
    def relays(self) -> list[Relay]:
        """The WebSockets that came in here."""
        return [relay for relays in self._relayed for relay in self._mine(relays)]

    def _mine(self, relays: Relays) -> list[Relay]:
        return [relay for relay in relays.open if relay.home is self.service]

    # Stopping.

    def stop(self) -> None:
        """Accept nothing new, end what is idle, let what is in flight end, drain the WebSockets with 1001."""
        self.service.stopping = True
        self.service.parting_code = GOING_AWAY
        self._end_lingering()
        self._drain()

    def hand_over(self) -> None:
        """Another process accepts in our place: have clients go there, WebSockets too, with 1012."""
        self.retire()
        self._drain()

    def retire(self) -> None:
        """Another frontend takes the place of this one: end HTTP connections in order, and keep WebSockets.

        A connection ends with its next answer, as that one can say so: closing one that is idle may cross a request
        on its way, and one within its TLS handshake has one to come. What is idle for long is closed in the end.
        """
        self.service.stopping = self.service.lingers = True
        self.service.parting_code = SERVICE_RESTART
        self._close_listener(lets_in=True)
        asyncio.get_running_loop().call_later(self.settings.shutdown_timeout_s * LINGER_SHARE, self._end_lingering)

    def _end_lingering(self) -> None:
        self.service.lingers = False
        self._close_listener()
        self.service.stop_sessions()

    def _drain(self) -> None:
        for relays in self._relayed:
            relays.drain(self._mine(relays), self.service.parting_code)

    def abort(self) -> None:
        """End everything that is left."""
        for session in tuple(self.service.sessions):
            session.abort()
        for relays in self._relayed:
            relays.abort()
