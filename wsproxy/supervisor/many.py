"""What the admin API may ask, done over several processes: changes through the parent, figures and sessions of all.

A backend is changed in the parent's groups, as in a proxy of one process, and the answer waits until every process
follows. A session is named by its process too, since each process counts its own.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from heapq import nlargest
from typing import Any

from wsproxy.admin.control import (
    Control,
    ControlError,
    Leaving,
    ReloadReport,
    Selection,
    Switches,
    UnansweredError,
    UnknownError,
)
from wsproxy.observe.merging import merged
from wsproxy.observe.snapshot import (
    BackendFigures,
    BackendState,
    GroupFigures,
    RateLimitFigures,
    RouteFigures,
    SessionFigures,
    Snapshot,
)
from wsproxy.observe.tapped import Tapped
from wsproxy.supervisor.channel import Body, ChannelError, GoneError, RefusedError
from wsproxy.supervisor.child import Child
from wsproxy.supervisor.children import Children
from wsproxy.supervisor.plain import plain, shaped

MARK = "@"
"""Between a session's name in its process and the process's id."""

_logger = logging.getLogger("wsproxy.process")


class ManyControl:
    """The `Control` of several processes.

    one: that of the parent, which knows the servers. settle: returns when every process follows what `one` has changed.
    """

    def __init__(self, one: Control, children: Children, settle: Callable[[], Awaitable[object]]) -> None:
        self._one = one
        self._children = children
        self._settle = settle

    # Figures.

    async def snapshot(self) -> Snapshot:
        """Everything at this moment, of all processes; of servers and frontends, what the parent says they are."""
        own = await self._one.snapshot()
        found = await self._children.snapshots()
        own = replace(own, process_deaths=self._children.deaths, trouble=self._children.trouble)
        if not found:
            return own
        every = merged(found)
        addresses = {frontend.name: frontend.addresses for frontend in own.frontends}
        groups = {group.name: group for group in every.groups}
        return replace(
            every,
            at=own.at,
            version=own.version,
            phase=own.phase,
            frontends=tuple(
                replace(each, addresses=addresses[each.name]) for each in every.frontends if each.name in addresses
            ),
            routes=_with_remembered(every.routes, {route.name: route for route in own.routes}),
            groups=tuple(_judged(group, groups.get(group.name)) for group in own.groups),
            reloads=replace(own.reloads, **_sessions_of(every)),
            processes=(*own.processes, *every.processes),
            process_deaths=own.process_deaths,
            trouble=own.trouble,
        )

    async def is_ready(self, while_accepting: bool = False) -> str | None:
        """None while traffic is welcome, or accepted."""
        why_not = await self._one.is_ready(while_accepting)
        if why_not is None and not self._children.serving:
            return self._children.trouble or "no process serves"
        return why_not

    async def trouble(self) -> str:
        """What is wrong though traffic is welcome."""
        return self._children.trouble

    def config(self) -> dict[str, Any]:
        """The running configuration, masked."""
        return self._one.config()

    # Backends.

    async def add_backend(self, group: str | None, url: str, weight: int) -> BackendFigures:
        """Take a server in."""
        return await self._settled(await self._one.add_backend(group, url, weight))

    async def remove_backend(self, group: str | None, url: str) -> Leaving:
        """Let a server go."""
        before = await self.snapshot()
        leaving = await self._one.remove_backend(group, url)
        await self._settle()
        figures = _figures_in(before, leaving.backend)
        busy = figures.pool.workers - figures.pool.idle + figures.pool.queue
        return Leaving(figures, busy, figures.websockets)

    async def enable_backend(self, group: str | None, backend: str) -> BackendFigures:
        """Have it take traffic again."""
        return await self._settled(await self._one.enable_backend(group, backend))

    async def disable_backend(self, group: str | None, backend: str) -> BackendFigures:
        """Give it nothing new."""
        return await self._settled(await self._one.disable_backend(group, backend))

    async def drain_backend(self, group: str | None, backend: str) -> BackendFigures:
        """Give it nothing new, and have its WebSockets go."""
        return await self._settled(await self._one.drain_backend(group, backend))

    async def set_weight(self, group: str | None, backend: str, weight: int) -> BackendFigures:
        """Change its share."""
        return await self._settled(await self._one.set_weight(group, backend, weight))

    async def _settled(self, changed: BackendFigures) -> BackendFigures:
        """Return when every process follows; with what they all have of it."""
        await self._settle()
        return _figures_in(await self.snapshot(), changed)

    # WebSockets.

    async def sessions(self, selection: Selection, limit: int) -> Sequence[SessionFigures]:
        """The WebSockets that fit, the longest idle first; the log names a process whose own are not among them."""
        body = {"selection": plain(selection), "limit": limit}
        answers = await self._children.ask_all("sessions", lambda _: body)
        for child, answer in answers.items():
            if _is_missing(answer):
                _logger.warning("the WebSockets of process %d are not listed: %s", child.number, answer)
        found = [
            replace(session, id=f"{session.id}{MARK}{child.pid}")
            for child, answer in answers.items()
            if isinstance(answer, dict)
            for session in shaped(tuple[SessionFigures, ...], answer["sessions"])
        ]
        return nlargest(limit, found, key=lambda session: session.idle_s)

    async def close_session(self, session: str, code: int, reason: str) -> None:
        """Close one WebSocket."""
        await self._ask_its_process(session, "close_session", {"code": code, "reason": reason})

    async def tap_session(self, session: str, for_s: float) -> Tapped:
        """Note one WebSocket's frames for a while."""
        answer = await self._ask_its_process(session, "tap_session", {"for_s": for_s})
        return replace(shaped(Tapped, answer["tapped"]), id=session)

    async def tapped_session(self, session: str) -> Tapped:
        """What was noted."""
        answer = await self._ask_its_process(session, "tapped_session", {})
        return replace(shaped(Tapped, answer["tapped"]), id=session)

    async def _ask_its_process(self, session: str, action: str, body: Body) -> Body:
        """Raises UnknownError."""
        name, _, pid = session.rpartition(MARK)
        for child in self._children.serving:
            if str(child.pid) == pid:
                return await _ask(child, action, {"session": name, **body})
        raise UnknownError(f"there is no WebSocket {session!r}")

    async def drain_sessions(self, selection: Selection) -> int:
        """Close all that fit with 1012 at their route's pace."""
        return await self._count("drain_sessions", {"selection": plain(selection)})

    # The whole.

    async def purge_cache(self, url: str | None, tag: str | None) -> int:
        """Forget answers that are kept, in every process."""
        return await self._count("purge_cache", {"url": url, "tag": tag})

    async def switch(self, monitoring: bool | None, scaling: bool | None) -> Switches:
        """Switch on or off what runs in the parent."""
        return await self._one.switch(monitoring, scaling)

    async def reload(self, dry_run: bool) -> ReloadReport:
        """Read the file again."""
        return await self._one.reload(dry_run)

    async def _count(self, kind: str, body: Body) -> int:
        """The sum of what all processes say. Raises ControlError when one cannot, or does not answer."""
        answers = await self._children.ask_all(kind, lambda _: body)
        said = [_said(answer) for answer in answers.values() if isinstance(answer, dict)]
        missing = [child.number for child, answer in answers.items() if _is_missing(answer)]
        if missing:
            raise UnansweredError(f"{len(missing)} of {len(answers)} processes did not answer: {missing}")
        return sum(each["count"] for each in said)


async def _ask(child: Child, kind: str, body: Body) -> Body:
    try:
        return _said(await child.channel.ask(kind, body))
    except (ChannelError, RefusedError) as error:
        raise UnansweredError(f"process {child.number}: {error}") from None


def _is_missing(answer: Body | ChannelError | RefusedError) -> bool:
    """Whether a process has not answered and is there still: with one that has ended, all that it had is gone."""
    return not isinstance(answer, dict | GoneError)


def _said(answer: Body) -> Body:
    """The answer of a process. Raises the ControlError that it is."""
    if "error" not in answer:
        return answer
    refusal = ControlError(answer["error"])
    refusal.status = answer["status"]
    raise refusal


def _with_remembered(routes: Sequence[RouteFigures], own: Mapping[str, RouteFigures]) -> tuple[RouteFigures, ...]:
    """The routes that there are, with the clients that all processes remember together: the parent has counted them."""
    return tuple(_remembering(each, own[each.name].rate_limit) for each in routes if each.name in own)


def _remembering(route: RouteFigures, own: RateLimitFigures | None) -> RouteFigures:
    its = route.rate_limit
    if its is None or own is None:
        return route
    return replace(route, rate_limit=replace(its, entries=its.entries + own.entries))


def _judged(own: GroupFigures, every: GroupFigures | None) -> GroupFigures:
    """The figures of all processes for the servers that the parent has, with its verdicts on them."""
    if every is None:
        return own
    found = {backend.name: backend for backend in every.backends if backend.url}
    backends = tuple(
        replace(
            found.get(backend.name, backend),
            url=backend.url,
            state=_state(backend, found.get(backend.name)),
            weight=backend.weight,
            added=backend.added,
            health=backend.health,
        )
        for backend in own.backends
    )
    return replace(every, backends=backends, servers=own.servers, load=own.load, found=own.found)


def _state(own: BackendFigures, found: BackendFigures | None) -> BackendState:
    """The parent's word, or what requests say of one that is up: those are seen where they are carried."""
    return own.state if own.state != "up" or found is None else found.state


def _figures_in(snapshot: Snapshot, wanted: BackendFigures) -> BackendFigures:
    """The same backend in a snapshot of all processes."""
    same = (each for each in snapshot.backends() if (each.group, each.name) == (wanted.group, wanted.name))
    return next(same, wanted)


def _sessions_of(snapshot: Snapshot) -> dict[str, int]:
    """What reloads made of WebSockets is known where these are."""
    reloads = snapshot.reloads
    return {"sessions_kept": reloads.sessions_kept, "sessions_drained": reloads.sessions_drained}
