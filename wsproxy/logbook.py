"""Assembly: what one application writes, and how a reload changes that: access lines, and the form of messages.

Knows both logs and who writes to them; nothing of what stands in a line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wsproxy.observe.access import AccessLog, open_access_log
from wsproxy.observe.logs import use_logging

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

    from wsproxy.config.model import LogSettings


class Logbook:
    """The logs of one application. access: where lines of requests go, None while they are off."""

    def __init__(self, settings: LogSettings) -> None:
        self.access = open_access_log(settings)
        self._settings = settings
        self._services: TaskGroup | None = None
        self._lost_before = 0

    @property
    def access_lost(self) -> int:
        """Access lines lost so far, in this log and those before it."""
        return self._lost_before + (0 if self.access is None else self.access.dropped)

    def start(self, services: TaskGroup) -> None:
        """Have lines written from now on, in tasks of `services`."""
        self._services = services
        if self.access is not None:
            services.start_soon(self.access.run)

    def reopen(self) -> None:
        """Write what comes from now on to new files: the old ones have been renamed."""
        if self.access is not None:
            self.access.reopen()

    def prepared(self, settings: LogSettings) -> AccessLog | None:
        """The access log of other settings, which is the one there is if they say nothing new. Raises OSError."""
        old = self._settings
        if (old.access, old.format, old.access_format) == (settings.access, settings.format, settings.access_format):
            return self.access
        return open_access_log(settings)

    def discard(self, access: AccessLog | None) -> None:
        """What was prepared is not needed after all."""
        if access is not None and access is not self.access:
            access.close()

    def use(self, settings: LogSettings, access: AccessLog | None) -> None:
        """Take over other settings, with the log that was prepared for them; the old one writes its last lines."""
        use_logging(settings.level, settings.format)
        self._settings = settings
        if access is self.access:
            return
        if self.access is not None:
            self.access.retire()
            self._lost_before += self.access.dropped
        self.access = access
        if access is not None and self._services is not None:
            self._services.start_soon(access.run)
