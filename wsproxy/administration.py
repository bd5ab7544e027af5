"""Assembly: the admin listener of one application, and the site behind it.

Builds these and runs them beside the traffic; holds no logic of its own. What only an `[admin]` section needs is
imported where there is one: it takes two thirds of the time of a start.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from anyio.abc import TaskGroup

    from wsproxy.admin.control import Control
    from wsproxy.admin.server import AdminServer
    from wsproxy.admin.site import AdminSite
    from wsproxy.config.model import AdminSettings

_logger = logging.getLogger("wsproxy.admin")


class Administration:
    """The operators' side of one application; without an `[admin]` section nobody can come in.

    open: opens a listener of some settings, raises ListenError. make_control: what operators may ask, once some may.
    """

    def __init__(
        self,
        settings: AdminSettings | None,
        open: Callable[[AdminSettings], list[socket.socket]],  # noqa: A002 - the word for it
        make_control: Callable[[], Control],
    ) -> None:
        self._settings = settings
        self._open = open
        self._make_control = make_control
        self._sockets: list[socket.socket] = []
        self._tasks: TaskGroup | None = None
        self._site: AdminSite | None = None
        self._server: AdminServer | None = None

    @property
    def port(self) -> int:
        """Where it listens, once bound."""
        port: int = self._sockets[0].getsockname()[1]
        return port

    def bind(self) -> None:
        """Open the listener. Raises ListenError."""
        self._sockets = self.prepared(self._settings) or []

    @property
    def sockets(self) -> list[socket.socket]:
        """Those it listens on."""
        return self._sockets

    def close_listener(self) -> None:
        """Let nobody in any more; who is there stays until the end."""
        if self._server is not None:
            self._server.close()

    def close(self) -> None:
        """Close the listener that nobody runs."""
        for listening in self._sockets:
            listening.close()

    async def run(self) -> None:
        """Serve operators until cancelled."""
        async with anyio.create_task_group() as self._tasks:
            if self._settings is not None:
                self._serve(self._settings)
            await anyio.sleep_forever()

    def _serve(self, settings: AdminSettings) -> None:
        from wsproxy.admin.server import AdminServer
        from wsproxy.admin.site import AdminSite

        if self._tasks is None:
            raise RuntimeError("the application is not running")
        if self._site is None:
            self._site = AdminSite(settings, self._make_control())
        self._server = AdminServer(self._site.handle)
        _logger.info("admin on %s:%d", settings.host, self.port)
        self._tasks.start_soon(self._server.run, self._sockets)

    def prepared(self, settings: AdminSettings | None) -> list[socket.socket] | None:
        """The sockets that other settings need, None for those that are there or for none. Raises ListenError."""
        if settings is None or (self._sockets and _place_of(settings) == _place_of(self._settings)):
            return None
        return self._open(settings)

    def use(self, settings: AdminSettings | None, sockets: list[socket.socket] | None) -> None:
        """Take over other settings, with what was prepared for them: a listener opens before the old one closes.

        Pages that watch are closed with any change, as it may be one of who may watch; they come again by themselves.
        """
        old, self._settings = self._settings, settings
        if settings == old:
            return
        before = self._server
        if self._site is not None and settings is not None:
            self._site.use(settings)
        if settings is None:
            self._server, self._sockets = None, []
        elif sockets is not None:
            self._sockets = sockets
            self._serve(settings)
        if before is not None and before is not self._server:
            before.close()
            _logger.info("admin no longer on %s:%d", *(_place_of(old) or ("", 0)))
        elif before is not None:
            before.close_channels()


def _place_of(settings: AdminSettings | None) -> tuple[str, int] | None:
    return None if settings is None else (settings.host, settings.port)
