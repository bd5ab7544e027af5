"""Assembly: what the admin API may ask, done on the application of this process.

Looks names up and hands on; how a backend leaves or a relay closes is their own business. What is changed here lasts
until the file says otherwise of the same group, or the process ends: a reload of an unchanged file changes nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol

from wsproxy.admin.control import (
    AbsentError,
    ConflictError,
    ControlError,
    Leaving,
    ReloadReport,
    Selection,
    Switches,
    UnknownError,
)
from wsproxy.backend.backend import Backend
from wsproxy.cache.store import StoreFaultError
from wsproxy.caching import Caching
from wsproxy.config.addresses import UPSTREAM
from wsproxy.config.diff import Changes, Plan
from wsproxy.config.errors import ConfigError
from wsproxy.config.group_settings import Address, ServerSettings
from wsproxy.config.model import Config
from wsproxy.config.shown import shown
from wsproxy.figures import Figures, backend_figures, url_of
from wsproxy.groups import Groups
from wsproxy.observe.snapshot import BackendFigures, SessionFigures, Snapshot
from wsproxy.observe.tapped import Tapped
from wsproxy.reload import ReloadError
from wsproxy.running import RunningGroup
from wsproxy.sessions import Sessions

USUAL_ROUTE = "http"
"""To its group a server is added when nobody says to which."""

_logger = logging.getLogger("wsproxy.admin")


class Configured(Protocol):
    """What has a configuration, and can be given the next one."""

    @property
    def config(self) -> Config:
        """The one that is in force."""
        ...

    @property
    def heir(self) -> int | None:
        """The process that is coming up in our place, if there is one."""
        ...

    async def reload(self, dry_run: bool = False) -> Plan:
        """Take over the file as it is now, or only say what that would change. Raises ConfigError, ReloadError."""
        ...


class ApplicationControl:
    """The `Control` of one process."""

    def __init__(
        self, configured: Configured, figures: Figures, groups: Groups, sessions: Sessions, caching: Caching
    ) -> None:
        self._configured = configured
        self._figures = figures
        self._groups = groups
        self._sessions = sessions
        self._caching = caching
        self._monitoring = True

    async def snapshot(self) -> Snapshot:
        """Everything at this moment."""
        return self._figures.snapshot()

    async def is_ready(self, while_accepting: bool = False) -> str | None:
        """None while traffic is welcome, or accepted."""
        phase = self._figures.phase
        if phase == "stopping" and while_accepting and self._figures.is_accepting:
            return None
        return None if phase == "running" else phase

    async def trouble(self) -> str:
        """Nothing: who answers this runs."""
        return ""

    def config(self) -> dict[str, Any]:
        """The running configuration, masked."""
        return shown(self._configured.config)

    # Backends.

    async def add_backend(self, group: str | None, url: str, weight: int) -> BackendFigures:
        """Take a server in, with the pool of the group's first."""
        self._see_whether_it_lasts()
        running = self._group_to_add_to(group)
        address = _address(url)
        if any(_is_same(address, backend.address) for backend in running.group.backends.values()):
            raise ConflictError(f"the group {running.group.name!r} has {url} already")
        pattern = running.settings.template or next(iter(running.settings.servers), ServerSettings("", address))
        settings = replace(pattern, name=url_of(address), address=address, weight=weight, enabled=True, backup=False)
        backend = await running.add_server(settings)
        _logger.info("%s: server %s was added", running.group.name, url)
        return backend_figures(running, backend)

    async def remove_backend(self, group: str | None, url: str) -> Leaving:
        """Let a server go."""
        running, backend = self._find(group, url)
        figures = backend_figures(running, backend)
        leaving = Leaving(figures, backend.pool.in_flight, figures.websockets)
        await running.server_gone(backend.name, "removed by an operator")
        return leaving

    async def enable_backend(self, group: str | None, backend: str) -> BackendFigures:
        """Have it take traffic again."""
        running, found = self._find(group, backend)
        await running.enable(found)
        return self._said(running, found, "was enabled")

    async def disable_backend(self, group: str | None, backend: str) -> BackendFigures:
        """Give it nothing new."""
        running, found = self._find(group, backend)
        await running.group.disable(found)
        return self._said(running, found, "was disabled")

    async def drain_backend(self, group: str | None, backend: str) -> BackendFigures:
        """Give it nothing new, and have its WebSockets go."""
        running, found = self._find(group, backend)
        await running.group.drain(found)
        return self._said(running, found, "is drained")

    async def set_weight(self, group: str | None, backend: str, weight: int) -> BackendFigures:
        """Change its share."""
        running, found = self._find(group, backend)
        found.use(replace(found.settings, weight=weight), found.position)
        await running.group.weigh()
        return self._said(running, found, f"was given weight {weight}")

    def _said(self, running: RunningGroup, backend: Backend, what: str) -> BackendFigures:
        _logger.info("%s: %s %s by an operator", running.group.name, backend.name, what)
        return backend_figures(running, backend)

    def _see_whether_it_lasts(self) -> None:
        """Raises ConflictError while another process comes up, with the servers as they were when it asked."""
        if (heir := self._configured.heir) is not None:
            raise ConflictError(
                f"process {heir} is taking over, with the servers as it has found them: ask that one then"
            )

    def _group_to_add_to(self, name: str | None) -> RunningGroup:
        groups = self._groups
        if name is None:
            usual = {route.group for route in self._configured.config.routes if route.name == USUAL_ROUTE}
            found = [group for group in groups if group in usual] or list(groups)
            if len(found) != 1:
                raise ControlError(f"name a group: {', '.join(groups)}")
            name = found[0]
        if name not in groups:
            raise UnknownError(f"there is no group {name!r}")
        return groups[name]

    def _find(self, group: str | None, named: str) -> tuple[RunningGroup, Backend]:
        """A backend that is to be changed, by its name or its address, in one group or in whichever has it."""
        self._see_whether_it_lasts()
        if group is not None and group not in self._groups:
            raise UnknownError(f"there is no group {group!r}")
        groups = [self._groups[group]] if group is not None else self._groups.values()
        try:
            address = _address(named)
        except ControlError:
            address = None
        found = [
            (running, backend)
            for running in groups
            for backend in running.group.backends.values()
            if backend.name == named or (address is not None and _is_same(address, backend.address))
        ]
        if not found:
            raise UnknownError(f"there is no backend {named!r}" + (f" in the group {group!r}" if group else ""))
        if len(found) > 1:
            names = ", ".join(running.group.name for running, _ in found)
            raise ControlError(f"name a group: {named!r} is in {names}")
        return found[0]

    # WebSockets.

    async def sessions(self, selection: Selection, limit: int) -> Sequence[SessionFigures]:
        """The WebSockets that fit, the longest idle first."""
        return self._sessions.listed(selection, limit)

    async def close_session(self, session: str, code: int, reason: str) -> None:
        """Close one WebSocket."""
        self._sessions.close(session, code, reason)

    async def tap_session(self, session: str, for_s: float) -> Tapped:
        """Note one WebSocket's frames for a while."""
        return self._sessions.tap(session, for_s)

    async def tapped_session(self, session: str) -> Tapped:
        """What was noted."""
        return self._sessions.tapped(session)

    async def drain_sessions(self, selection: Selection) -> int:
        """Close all that fit with 1012 at their route's pace."""
        return self._sessions.drain(selection)

    # The whole.

    async def purge_cache(self, url: str | None, tag: str | None) -> int:
        """Forget answers that are kept."""
        cache = self._caching.cache
        if cache is None:
            raise AbsentError("there is no cache (write cache = yes in a route)")
        try:
            purged = await cache.purge(url, tag)
        except ValueError as error:
            raise ControlError(f"'{url}' is not a URL: {error}") from None
        except StoreFaultError as error:
            raise ConflictError(str(error)) from None
        _logger.info("cache: %d answers were purged by an operator (url %s, tag %s)", purged, url, tag)
        return purged

    async def switch(self, monitoring: bool | None, scaling: bool | None) -> Switches:
        """Monitoring, and the scaling of all groups that scale."""
        scalers = [running.scaler for running in self._groups.values() if running.scaler is not None]
        if scaling is not None:
            self._see_whether_it_lasts()
            if not scalers:
                raise AbsentError("no group has 'max_servers' above its startup_servers: there is no scaling")
            for scaler in scalers:
                scaler.enabled = scaling
        if monitoring is not None:
            self._monitoring = monitoring
        return Switches(self._monitoring, any(scaler.enabled for scaler in scalers) if scalers else None)

    async def reload(self, dry_run: bool) -> ReloadReport:
        """Read the file again."""
        try:
            plan = await self._configured.reload(dry_run)
        except (ConfigError, ReloadError) as error:
            return ReloadReport(done=False, problems=tuple(str(error).splitlines()))
        return _report(plan, done=not dry_run)


def _address(url: str) -> Address:
    try:
        address: Address = UPSTREAM(url, "/")
    except ValueError as error:
        raise ControlError(str(error)) from None
    return address


def _is_same(one: Address, other: Address) -> bool:
    """Whether two spellings lead to the same server: `http://localhost:80` and `localhost:80` do."""
    return (one.host, one.port, one.unix_path, one.tls, one.base_path) == (
        other.host,
        other.port,
        other.unix_path,
        other.tls,
        other.base_path,
    )


def _report(plan: Plan, done: bool) -> ReloadReport:
    parts: list[tuple[str, Changes]] = [
        ("frontend", plan.frontends),
        ("tcp listener", plan.tcp),
        ("route", plan.routes),
        ("group", plan.groups),
        *((f"server of {group}", changes) for group, changes in plan.servers.items()),
    ]

    def named(word: str) -> tuple[str, ...]:
        return tuple(f"{kind} {name}" for kind, changes in parts for name in getattr(changes, word))

    return ReloadReport(done, named("kept"), (*named("changed"), *plan.sections), named("added"), named("removed"))
