"""Assembly: a reload's part for listeners: new sockets open before old ones close, and nobody's connection ends.

What can fail (sockets, certificates) is done in `prepare`; from then on nothing does. A listener that stays at its
address goes on with the sockets it has, and with who waits in their backlog.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wsproxy.config.diff import needs_new_listener
from wsproxy.config.model import Config, FrontendSettings
from wsproxy.frontend.frontend import Frontend
from wsproxy.frontend.overload import Overload
from wsproxy.frontend.own_answers import ErrorPageError
from wsproxy.frontend.route import Route
from wsproxy.groups import Groups
from wsproxy.listeners import Listeners
from wsproxy.net.listen import ListenError
from wsproxy.net.tls import TlsError, TlsIdentities, client_context
from wsproxy.routes import Routes

if TYPE_CHECKING:
    import socket


class ListenerChange:
    """What other settings make of listeners. sockets: those of the sections that will listen anew, once prepared."""

    def __init__(self, listeners: Listeners, old: Config, new: Config) -> None:
        self._listeners = listeners
        self._old_settings = {settings.name: settings for settings in old.listeners}
        self._new = new
        self.sockets: dict[str, list[socket.socket]] = {}
        self._frontends: dict[str, Frontend] = {}

    # What can fail.

    def prepare(self) -> list[str]:
        """Open what has to be opened, and make the frontends that take the place of others, or are new.

        Returns what is wrong, a line each; what is open then is closed by `abandon`.
        """
        problems: list[str] = []
        for settings in self._new.listeners:
            old = self._old_settings.get(settings.name)
            if old is not None and not needs_new_listener(old, settings):
                continue
            try:
                self.sockets[settings.name] = self._open(settings)
                if settings in self._new.frontends:
                    self._frontends[settings.name] = self._listeners.make_frontend(settings, ())
                elif settings.certificates:
                    TlsIdentities(settings.certificates)  # whether they can be used: its group may not be there yet
            except (ListenError, TlsError, ErrorPageError, OSError) as error:
                problems.append(f"{settings.place}: {error}")
        return problems

    def abandon(self) -> None:
        """Nothing comes of it after all."""
        for sockets in self.sockets.values():
            for listening in sockets:
                listening.close()

    def renew_certificates(self) -> list[str]:
        """Read the certificates of listeners that stay again; what is wrong with them."""
        problems: list[str] = []
        client_context.cache_clear()  # and the authorities that servers are checked against, at their next dial
        for frontend in self._listeners.accepting:
            if frontend.identities is not None and frontend.settings.name not in self.sockets:
                try:
                    frontend.identities.reload()
                except TlsError as error:
                    problems.append(f"{error.place}: {error}")
        return problems

    def _open(self, settings: FrontendSettings) -> list[socket.socket]:
        """The sockets of a section; those that one has at this address go on, with who waits in their backlog."""
        for frontend in self._listeners.accepting:
            old = frontend.settings
            is_free = not settings.port and old.name != settings.name  # any free port, and not that of another
            if (old.host, old.port) == (settings.host, settings.port) and not is_free:
                return [listening.dup() for listening in frontend.sockets]
        return self._listeners.open(settings.name, settings.host, settings.port)

    # What cannot.

    def commit(self, routes: Routes, groups: Groups) -> None:
        """Lead clients to routes and groups as they are now."""
        self._change_frontends(tuple(routes.values()))
        self._change_tcp(groups, routes.guards.overload)

    def _change_frontends(self, routes: tuple[Route, ...]) -> None:
        listeners = self._listeners
        before, listeners.frontend_by_name = listeners.frontend_by_name, {}
        for settings in self._new.frontends:
            frontend = self._frontends.get(settings.name)
            if frontend is None:
                frontend = before.pop(settings.name)
                frontend.use(settings)
            else:
                if settings.name in before:
                    frontend.go_on_from(before[settings.name])
                listeners.start(frontend, self.sockets[settings.name])
            frontend.use_routes(routes)
            listeners.frontend_by_name[settings.name] = frontend
        listeners.point_redirects()
        for frontend in before.values():
            frontend.use_routes(routes)  # for the requests that its connections still send
        listeners.retire(before.values())

    def _change_tcp(self, groups: Groups, overload: Overload) -> None:
        """The same for the `[tcp:NAME]` sections, which choose servers themselves."""
        listeners = self._listeners
        before, listeners.tcp_by_name = listeners.tcp_by_name, {}
        for settings in self._new.tcp:
            group = groups[settings.group].group
            sockets = self.sockets.get(settings.name)
            if sockets is None:
                frontend = before.pop(settings.name)
                listeners.change_tcp(frontend, settings, group)
            else:
                frontend = listeners.make_tcp(settings, group, overload)
                if settings.name in before:
                    frontend.go_on_from(before[settings.name])
                listeners.start(frontend, sockets)
            listeners.tcp_by_name[settings.name] = frontend
        listeners.retire(before.values())
