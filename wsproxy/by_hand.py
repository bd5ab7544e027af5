"""Assembly: what operators have changed by hand, as a proxy tells it to the one that takes its place.

As across a reload, a word counts until the file, or who finds the servers, says otherwise of the same: so what those
said goes with it.
The two may be of different versions: what crosses is plain, and named.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Iterable, Mapping
from typing import Any

from wsproxy.admin.control import Control, ControlError
from wsproxy.backend.backend import Backend
from wsproxy.config.diff import server_key
from wsproxy.config.group_settings import ServerSettings
from wsproxy.running import RunningGroup

_logger = logging.getLogger("wsproxy.takeover")

Change = dict[str, Any]


def changes_by_hand(groups: Iterable[RunningGroup]) -> list[Change]:
    """What the groups have that their file does not say, by group."""
    found = [_changes_of(running) for running in groups]
    return [change for change in found if change is not None]


def _changes_of(running: RunningGroup) -> Change | None:
    listed = _by_key(running.listed)
    there = {server_key(backend.settings): backend for backend in running.group.backends.values()}
    added = [backend for backend in there.values() if running.is_added(backend.name)]
    removed = [key for key in listed if key not in there]
    servers = [state for key, backend in there.items() if (state := _state(running, key, backend, listed)) is not None]
    scales = None if running.scaler is None or running.scaler.enabled else False
    if not (added or removed or servers or scales is False):
        return None
    return {
        "group": running.group.name,
        "written": list(_by_key(running.settings.servers)),
        "listed": list(listed),
        "added": [{"url": str(each.address), "weight": each.settings.weight} for each in added],
        "removed": removed,
        "servers": servers,
        "scales": scales,
    }


def _state(
    running: RunningGroup, key: str, backend: Backend, listed: Mapping[str, ServerSettings]
) -> dict[str, Any] | None:
    """How one server stands otherwise than it is listed."""
    said = listed.get(key)
    is_enabled, weight = (True, backend.settings.weight) if said is None else (said.enabled, said.weight)
    is_there = _is_there(running, backend)
    if is_there == is_enabled and backend.settings.weight == weight:
        return None
    return {
        "server": key,
        "enabled": is_there,
        "written_enabled": is_enabled,
        "leaving": backend.leaving,
        "weight": backend.settings.weight,
        "written_weight": weight,
    }


def _is_there(running: RunningGroup, backend: Backend) -> bool:
    """Whether operators let it have work; what is held is so by whoever finds the servers."""
    return backend.enabled or running.is_held(backend.name)


def _by_key(servers: Iterable[ServerSettings]) -> dict[str, ServerSettings]:
    return {server_key(server): server for server in servers}


async def repeat_changes(told: object, groups: Mapping[str, RunningGroup], control: Control) -> None:
    """Do once more what `changes_by_hand` of another proxy tells, as far as it still makes sense."""
    for change in told if isinstance(told, list) else ():
        try:
            running = groups.get(change["group"])
            if running is not None:
                await _repeat(change, running, control)
        except (KeyError, TypeError, ValueError) as error:
            _logger.warning("what operators have changed is told in another way (%r): the file counts", error)


async def _repeat(change: Change, running: RunningGroup, control: Control) -> None:
    """The same in one group. Raises KeyError, TypeError, ValueError for what another version means by it."""
    name = running.group.name
    listed = _by_key(running.listed)
    if list(listed) == change["listed"]:
        for key in change["removed"]:
            await _try(key, control.remove_backend(name, listed[key].name))
    if list(_by_key(running.settings.servers)) == change["written"]:
        for each in change["added"]:
            await _try(each["url"], control.add_backend(name, str(each["url"]), int(each["weight"])))
    there = {server_key(backend.settings): backend for backend in running.group.backends.values()}
    for state in change["servers"]:
        backend = there.get(state["server"])
        if backend is None:
            _logger.info("%s: server %s, which operators have changed, is no longer there", name, state["server"])
            continue
        if _is_there(running, backend) == state["written_enabled"] != state["enabled"]:
            stops = control.drain_backend if state["leaving"] else control.disable_backend
            await _try(backend.name, (control.enable_backend if state["enabled"] else stops)(name, backend.name))
        if backend.settings.weight == state["written_weight"] != state["weight"]:
            await _try(backend.name, control.set_weight(name, backend.name, int(state["weight"])))
    if change["scales"] is False and running.scaler is not None:
        running.scaler.enabled = False


async def _try(server: str, doing: Awaitable[object]) -> None:
    try:
        await doing
    except ControlError as error:
        _logger.warning("server %s: what operators have changed cannot be taken over: %s", server, error)
