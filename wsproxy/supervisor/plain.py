"""Frozen dataclasses as JSON can hold them, and back: what crosses the control channel is written by their own types.

Knows types only, and none of its own: a field that somebody adds to a settings class or to a snapshot crosses by
itself. A dataclass becomes the list of its fields, in order, as both ends run the same version; a mapping becomes a
list of pairs, since JSON has text as keys and nothing else. What is to be done for a type is worked out once: a
snapshot holds thousands of values, and the process that makes one serves clients meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from ipaddress import IPv4Network, IPv6Network, ip_network
from operator import attrgetter
from types import NoneType, UnionType
from typing import Any, Final, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

T = TypeVar("T")
Shaper = Callable[[Any], Any]

_AS_THEY_ARE: Final = frozenset({str, int, float, bool, NoneType})


def plain(value: object) -> Any:
    """What JSON can hold. Raises TypeError for what nothing here knows."""
    kind: Any = type(value)
    return value if kind in _AS_THEY_ARE else _writer(kind)(value)


def shaped(kind: type[T], content: Any) -> T:
    """The value of type `kind` that `plain` made `content` of. Raises TypeError, ValueError for anything else."""
    hint: Any = kind
    shape = _shaper(hint)
    return cast("T", content if shape is None else shape(content))


@cache
def _writer(kind: Any) -> Shaper:
    """What makes a value of this type plain."""
    if is_dataclass(kind):
        names = [field.name for field in fields(kind)]
        if len(names) > 1:
            read = attrgetter(*names)
            return lambda value: _each(read(value))
        return lambda value: _each([getattr(value, name) for name in names])
    if issubclass(kind, Mapping):
        return lambda value: [[plain(key), plain(item)] for key, item in value.items()]
    if issubclass(kind, tuple | list | frozenset):
        return _each
    if issubclass(kind, IPv4Network | IPv6Network):
        return str
    raise TypeError(f"a {kind.__name__} cannot cross the control channel")


def _each(values: Any) -> list[Any]:
    return [value if type(value) in _AS_THEY_ARE else plain(value) for value in values]


@cache
def _shaper(kind: Any) -> Shaper | None:
    """What makes a value of this type of what is plain; None where that is the value."""
    if is_dataclass(kind) and isinstance(kind, type):
        return _dataclass(kind)
    origin, arguments = get_origin(kind), get_args(kind)
    if kind in _AS_THEY_ARE or origin is Literal or kind is Any:
        return None
    if origin in (Union, UnionType):
        return _one_of(arguments)
    if origin is tuple and arguments[-1] is not Ellipsis:
        return _fixed(arguments)
    if origin in (tuple, frozenset, list, Sequence):
        return _items(tuple if origin is Sequence else origin, _shaper(arguments[0]))
    if origin in (dict, Mapping):
        pair = _fixed(arguments)
        return lambda content: dict(map(pair, content))
    raise TypeError(f"a {kind} cannot cross the control channel")


def _dataclass(kind: type[Any]) -> Shaper:
    hints = get_type_hints(kind)
    values = _fixed(tuple(hints[field.name] for field in fields(kind)))
    return lambda content: kind(*values(content))


def _fixed(kinds: tuple[Any, ...]) -> Shaper:
    """So many values, each of its own type."""
    shapers = [_shaper(kind) for kind in kinds]
    return lambda content: tuple(
        [item if shape is None else shape(item) for shape, item in zip(shapers, content, strict=True)]
    )


def _items(made: Callable[[Any], Any], shape: Shaper | None) -> Shaper:
    """Any number of values of one type."""
    return made if shape is None else lambda content: made(map(shape, content))


def _one_of(kinds: tuple[Any, ...]) -> Shaper | None:
    """Of the unions that settings have: something or None, an IPv4 or an IPv6 network, words among numbers."""
    left = [kind for kind in kinds if kind is not NoneType]
    if IPv4Network in left:
        return lambda content: None if content is None else ip_network(content)
    if all(kind in _AS_THEY_ARE or get_origin(kind) is Literal for kind in left):
        return None
    if len(left) > 1:
        raise TypeError(f"one of {left} cannot be told from another")
    shape = _shaper(left[0])
    return None if shape is None else lambda content: None if content is None else shape(content)
