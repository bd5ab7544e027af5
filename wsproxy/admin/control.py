"""What the admin API may ask of the proxy that runs, in one process or in many.

Knows snapshots and no running object. Whoever implements it looks names up, does what is asked or raises, and returns
plain data; every method is async because over several processes the answer comes from elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from wsproxy.observe.snapshot import BackendFigures, SessionFigures, Snapshot
from wsproxy.observe.tapped import Tapped


class ControlError(Exception):
    """What was asked for cannot be done; `status` is the answer, str() says why to an operator."""

    status = 400


class UnknownError(ControlError):
    """There is no such group, backend or session."""

    status = 404


class ConflictError(ControlError):
    """It is there already, or its state rules that out."""

    status = 409


class UnansweredError(ControlError):
    """A process of the proxy did not answer: what was asked for may have been done in others."""

    status = 503


class AbsentError(ConflictError):
    """This proxy runs without what was asked for (a cache, scaling)."""


@dataclass(frozen=True, slots=True)
class ReloadReport:
    """What a reload did, or with `dry_run` would do. problems: why the file was refused, each with file:line."""

    done: bool
    kept: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Leaving:
    """A backend that was let go, and what it still holds."""

    backend: BackendFigures
    requests: int
    websockets: int


@dataclass(frozen=True, slots=True)
class Selection:
    """Which WebSockets are meant: all that fit each field that is set."""

    route: str | None = None
    group: str | None = None
    backend: str | None = None


@dataclass(frozen=True, slots=True)
class Switches:
    """What can be switched off and on at run time; None where there is no such thing."""

    monitoring: bool = True
    scaling: bool | None = None


class Control(Protocol):
    """The proxy as an operator sees it. All methods raise ControlError.

    A backend is named by its group and either its name or its address as written in `/status`.
    """

    async def snapshot(self) -> Snapshot:
        """Everything at this moment."""
        ...

    async def sessions(self, selection: Selection, limit: int) -> Sequence[SessionFigures]:
        """The WebSockets that fit, the longest idle first, at most `limit`."""
        ...

    async def is_ready(self, while_accepting: bool = False) -> str | None:
        """None while traffic is welcome, else why not; with `while_accepting` also in the `drain_delay` of a stop."""
        ...

    async def trouble(self) -> str:
        """What a person should look into though traffic is welcome, or ""."""
        ...

    def config(self) -> dict[str, Any]:
        """The running configuration with its secrets masked, as JSON can hold it."""
        ...

    async def add_backend(self, group: str | None, url: str, weight: int) -> BackendFigures:
        """Take a server in. ConflictError if the group has its address."""
        ...

    async def remove_backend(self, group: str | None, url: str) -> Leaving:
        """Let a server go: nothing new, and what it has ends in peace."""
        ...

    async def enable_backend(self, group: str | None, backend: str) -> BackendFigures:
        """Have it take traffic again."""
        ...

    async def disable_backend(self, group: str | None, backend: str) -> BackendFigures:
        """Give it nothing new; its WebSockets stay."""
        ...

    async def drain_backend(self, group: str | None, backend: str) -> BackendFigures:
        """Give it nothing new, and close its WebSockets with 1012 at their route's pace."""
        ...

    async def set_weight(self, group: str | None, backend: str, weight: int) -> BackendFigures:
        """Change its share."""
        ...

    async def close_session(self, session: str, code: int, reason: str) -> None:
        """Close one WebSocket, with this code to its client."""
        ...

    async def tap_session(self, session: str, for_s: float) -> Tapped:
        """Note one WebSocket's frames for so long, 600 s at most. ConflictError where its route does not inspect."""
        ...

    async def tapped_session(self, session: str) -> Tapped:
        """What was noted; UnknownError for what is not tapped."""
        ...

    async def drain_sessions(self, selection: Selection) -> int:
        """Close all that fit with 1012 at their route's pace; how many they are."""
        ...

    async def purge_cache(self, url: str | None, tag: str | None) -> int:
        """Forget the answers of a URL and those with a tag, or all; how many they were. AbsentError without a cache."""
        ...

    async def switch(self, monitoring: bool | None, scaling: bool | None) -> Switches:
        """Switch on or off what is not None. AbsentError for what is not there."""
        ...

    async def reload(self, dry_run: bool) -> ReloadReport:
        """Read the file again; with `dry_run` say only what that would do."""
        ...
