"""Frozen dataclasses as JSON can hold them, and back: what crosses the control channel is written by their own types.

Knows types only, and none of its own: a field that somebody adds to a settings class or to a snapshot crosses by
itself. A mapping becomes a list of pairs, since JSON has text as keys and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from ipaddress import IPv4Network, IPv6Network, ip_network
from types import NoneType, UnionType
from typing import Any, Final, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

T = TypeVar("T")

_AS_THEY_ARE: Final = (str, int, float, bool, NoneType)


def plain(value: object) -> Any:
    """What JSON can hold. Raises TypeError for what nothing here knows."""
    if isinstance(value, _AS_THEY_ARE):
        return value
    if is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return [[plain(key), plain(item)] for key, item in value.items()]
    if isinstance(value, tuple | list | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, IPv4Network | IPv6Network):
        return str(value)
    raise TypeError(f"a {type(value).__name__} cannot cross the control channel")


def shaped(kind: type[T], content: Any) -> T:
    """The value of type `kind` that `plain` made `content` of. Raises TypeError, KeyError for anything else."""
    return cast("T", _shaped(kind, content))


def _shaped(kind: Any, content: Any) -> Any:
    if is_dataclass(kind) and isinstance(kind, type):
        return kind(**{name: _shaped(hint, content[name]) for name, hint in _hints(kind).items()})
    origin = get_origin(kind)
    if origin in (Union, UnionType):
        return _one_of(get_args(kind), content)
    if kind in _AS_THEY_ARE or origin is Literal or kind is Any:
        return content
    arguments = get_args(kind)
    if origin is tuple:
        if arguments[-1] is Ellipsis:
            return tuple(_shaped(arguments[0], item) for item in content)
        return tuple(_shaped(hint, item) for hint, item in zip(arguments, content, strict=True))
    if origin is frozenset:
        return frozenset(_shaped(arguments[0], item) for item in content)
    if origin in (list, Sequence):
        return [_shaped(arguments[0], item) for item in content]
    if origin in (dict, Mapping):
        return {_shaped(arguments[0], key): _shaped(arguments[1], item) for key, item in content}
    raise TypeError(f"a {kind} cannot cross the control channel")


def _one_of(kinds: tuple[Any, ...], content: Any) -> Any:
    """Of the unions that settings have: something or None, an IPv4 or an IPv6 network, words among numbers."""
    if content is None:
        return None
    left = [kind for kind in kinds if kind is not NoneType]
    if IPv4Network in left:
        return ip_network(content)
    if all(kind in _AS_THEY_ARE or get_origin(kind) is Literal for kind in left):
        return content
    if len(left) == 1:
        return _shaped(left[0], content)
    raise TypeError(f"one of {left} cannot be told from another")


@cache
def _hints(kind: type[Any]) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}
