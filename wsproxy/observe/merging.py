"""The snapshots of several processes of one configuration as one, and what is left of a process that has ended.

Knows the shapes of `snapshot` and nothing that runs. A number is a counter unless the tables here say otherwise: a new
figure is added up over processes and kept when a process ends, without a word here.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from functools import cache
from typing import Any, Final

from wsproxy.observe.histogram import Durations
from wsproxy.observe.past import MOST_NAMES
from wsproxy.observe.snapshot import BackendFigures, GroupFigures, Snapshot

GAUGES: Final = frozenset(
    {
        *("workers", "idle", "min_workers", "max_workers", "queue", "queue_size", "oldest_wait_s"),
        *("parting", "websockets", "tcp_connections", "waiting", "connections", "max_connections"),
        *("open", "entries", "buffered_bytes", "opening"),
        *("used_bytes", "max_bytes", "fetching"),
    }
)
"""What a process has now: added up like counters, and gone with the process."""

LONGEST: Final = frozenset({"oldest_wait_s", "at"})
"""Of these the largest counts."""

OF_ANY: Final = frozenset({"unreachable"})
"""What is so for all as soon as it is for one."""

TROUBLE: Final = ("up", "half-open", "ejected", "open", "down", "disabled", "draining")
"""The states of a backend: of several processes the one in most trouble says it."""

OF_THE_FIRST: Final = frozenset({"weight", "code"})
"""Numbers that say the same in every process."""

_IDENTITY: Final = (("group", "name"), ("backend", "code"), ("use", "server"), ("name",))
"""The fields that tell the items of a list apart, whichever of these it has first."""


def merged(snapshots: Sequence[Snapshot]) -> Snapshot:
    """All processes as one; text and verdicts are those of the first. At least one must be there."""
    first, *others = snapshots
    for other in others:
        first = _merged("", first, other)
    return first


def ended(snapshot: Snapshot) -> Snapshot:
    """What a process has counted, without what it had: it has ended."""
    counted: Snapshot = _ended("", snapshot)
    return replace(counted, processes=())


def bounded(snapshot: Snapshot, there: Collection[tuple[str, str]]) -> Snapshot:
    """The same with at most so many servers that are not there any more as one process would remember of a group.

    there: group and name of those that are. The first of the others are kept: of `merged`, those of the first.
    """
    return replace(snapshot, groups=tuple(replace(group, backends=_bounded(group, there)) for group in snapshot.groups))


def _bounded(group: GroupFigures, there: Collection[tuple[str, str]]) -> tuple[BackendFigures, ...]:
    absent = [each for each in group.backends if (group.name, each.name) not in there]
    forgotten = {each.name for each in absent[MOST_NAMES:]}
    return tuple(each for each in group.backends if each.name not in forgotten)


def _merged(name: str, one: Any, other: Any) -> Any:
    if one is None or other is None:
        return other if one is None else one
    if isinstance(one, Durations):
        return one + other
    if is_dataclass(one) and not isinstance(one, type):
        return type(one)(*[_merged(each, getattr(one, each), getattr(other, each)) for each in _names(type(one))])
    if isinstance(one, Mapping):
        return {key: _merged(name, one.get(key), other.get(key)) for key in dict.fromkeys((*one, *other))}
    if isinstance(one, tuple):
        return _merged_items(name, one, other)
    if name == "state":
        return max(one, other, key=TROUBLE.index)
    if name in OF_ANY:
        return one or other
    if isinstance(one, bool | str) or name in OF_THE_FIRST:
        return one
    return max(one, other) if name in LONGEST else one + other


@cache
def _names(kind: Any) -> tuple[str, ...]:
    """Of its fields, in order."""
    return tuple(each.name for each in fields(kind))


def _merged_items(name: str, one: tuple[Any, ...], other: tuple[Any, ...]) -> tuple[Any, ...]:
    if name == "processes":
        return (*one, *other)
    mine = {_identity(item): item for item in one}
    for item in other:
        key = _identity(item)
        mine[key] = _merged(name, mine[key], item) if key in mine else item
    return tuple(mine.values())


def _identity(item: Any) -> Any:
    for names in _IDENTITY:
        if all(hasattr(item, name) for name in names):
            return tuple(getattr(item, name) for name in names)
    return item  # text, such as an address


def _ended(name: str, value: Any) -> Any:
    if isinstance(value, Durations) or value is None:
        return value
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{each.name: _ended(each.name, getattr(value, each.name)) for each in fields(value)})
    if isinstance(value, Mapping):
        return {key: _ended(name, item) for key, item in value.items()}
    if isinstance(value, tuple):
        return tuple(_ended(name, item) for item in value)
    if name == "state":
        return TROUBLE[0]
    return type(value)(0) if name in GAUGES | OF_ANY else value
