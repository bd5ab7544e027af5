"""Assembly: a running application takes over another configuration without losing a connection.

Carries out a `config.diff.Plan`. All that can fail (sockets, certificates) is done in `prepare`; from then on nothing
does, so a reload happens whole or not at all, in all of several processes. What does not change keeps its object; who
is served goes on being served.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import anyio

from wsproxy.administration import Administration
from wsproxy.config.diff import Plan, make_plan
from wsproxy.config.model import Config
from wsproxy.groups import Groups
from wsproxy.listeners import Listeners, shutdown_timeout_s
from wsproxy.logbook import Logbook
from wsproxy.net.listen import ListenError
from wsproxy.relisten import ListenerChange
from wsproxy.routes import Routes

if TYPE_CHECKING:
    import socket

READING_SLICE_S: Final = 0.0005
"""How long a file that is read keeps the interpreter from the traffic at a time. A request that comes meanwhile waits
for it some four times; with Python's 5 ms, that was 20 ms."""


class ReloadError(Exception):
    """The new configuration cannot be run, and the old one goes on; str() has a line for each reason."""


@dataclass(frozen=True, slots=True)
class Changeable:
    """What a reload changes, each in its turn."""

    groups: Groups
    routes: Routes
    listeners: Listeners
    logbook: Logbook
    administration: Administration


class Reload:
    """One reload. plan: what it changes. new: the configuration that it leads to."""

    def __init__(self, parts: Changeable, old: Config, new: Config) -> None:
        self._parts = parts
        self._old = old
        self.new = new
        self.plan: Plan = make_plan(old, new)
        self._listeners = ListenerChange(parts.listeners, old, new)
        self._admin_sockets: list[socket.socket] | None = None
        self._access = parts.logbook.access

    @property
    def sockets(self) -> dict[str, list[socket.socket]]:
        """Those of the sections that will listen anew, once prepared."""
        return self._listeners.sockets

    @property
    def unheeded(self) -> list[str]:
        """The keys that have changed and that only another process can take over."""
        keys = ("processes", "takeover_socket")
        return [key for key in keys if getattr(self.new, key) != getattr(self._old, key)]

    # What can fail.

    def prepare(self) -> None:
        """Open what has to be opened. Raises ReloadError, and has changed nothing then."""
        problems = [*self._listeners.prepare(), *self._prepare_for_operators()]
        if not problems:
            problems = self._listeners.renew_certificates()
        if problems:
            self.abandon()
            raise ReloadError("\n".join(problems))

    def abandon(self) -> None:
        """Nothing comes of it after all."""
        self._listeners.abandon()
        for listening in self._admin_sockets or ():
            listening.close()
        self._parts.logbook.discard(self._access)

    def _prepare_for_operators(self) -> list[str]:
        """Open the admin listener and the access log, where they change; what is wrong with them."""
        problems: list[str] = []
        admin, log = self.new.admin, self.new.log
        try:
            self._admin_sockets = self._parts.administration.prepared(admin)
        except ListenError as error:
            problems.append(f"{'' if admin is None else admin.place}: {error}")
        try:
            self._access = self._parts.logbook.prepared(log)
        except OSError as error:
            problems.append(f"{log.access_place}: {log.access} cannot be written: {error.strerror}")
        return problems

    # What cannot.

    async def commit(self) -> None:
        """Carry out what was prepared."""
        parts, timeout_s = self._parts, shutdown_timeout_s(self._old)
        retiring = await parts.groups.change(self.new.groups)
        parts.routes.change(self.new, timeout_s / 2, self.plan.cache_changed)
        self._listeners.commit(parts.routes, parts.groups)
        await parts.groups.retire(retiring, timeout_s)
        parts.logbook.use(self.new.log, self._access)
        parts.listeners.use_log()
        parts.administration.use(self.new.admin, self._admin_sockets)


async def read_aside(read: Callable[[], Config]) -> Config:
    """Read in a thread: hundreds of routes take a tenth of a second, for which traffic must not stand still."""
    usual_s = sys.getswitchinterval()
    sys.setswitchinterval(READING_SLICE_S)
    try:
        return await anyio.to_thread.run_sync(read)
    finally:
        sys.setswitchinterval(usual_s)
