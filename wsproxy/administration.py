"""Assembly: what operators have of one application: its figures, the control of it, and the admin listener.

Builds these and runs them beside the traffic; holds no logic of its own.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import anyio

from wsproxy.admin.server import AdminServer
from wsproxy.admin.site import AdminSite
from wsproxy.control import ApplicationControl
from wsproxy.figures import Figures
from wsproxy.net.listen import open_sockets
from wsproxy.observe.process import LoopLag

if TYPE_CHECKING:
    import socket

    from wsproxy.app import Application
    from wsproxy.config.model import AdminSettings

_logger = logging.getLogger("wsproxy.admin")


class Administration:
    """The operators' side of one application; without an `[admin]` section nobody can come in.

    figures, control: there in any case, for who runs this in a program of his own.
    """

    def __init__(self, app: Application) -> None:
        self._settings = app.config.admin
        self._lag = LoopLag()
        self._sockets: list[socket.socket] = []
        self.figures = Figures(app, self._lag)
        self.control = ApplicationControl(app, self.figures)
        self.site = None if self._settings is None else AdminSite(self._settings, self.control)

    @property
    def port(self) -> int:
        """Where it listens, once bound."""
        port: int = self._sockets[0].getsockname()[1]
        return port

    def bind(self) -> None:
        """Open the listener. Raises ListenError."""
        if self._settings is not None:
            self._sockets = open_sockets(self._settings.host, self._settings.port)

    def close(self) -> None:
        """Close the listener that nobody runs."""
        for listening in self._sockets:
            listening.close()

    async def run(self) -> None:
        """Watch the event loop and serve operators until cancelled."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._lag.run)
            if self.site is not None and self._settings is not None:
                _logger.info("admin on %s:%d", self._settings.host, self.port)
                tasks.start_soon(AdminServer(self.site.handle).run, self._sockets)

    def use(self, settings: AdminSettings | None) -> None:
        """Take over other rules after a reload; where it listens, and whether, is decided at the start."""
        old = self._settings
        if self.site is not None and settings is not None:
            self.site.use(settings)
        if _place_of(old) != _place_of(settings):
            _logger.warning("[admin] listens elsewhere, or not at all, only after a restart")


def _place_of(settings: AdminSettings | None) -> tuple[str, int] | None:
    return None if settings is None else (settings.host, settings.port)
