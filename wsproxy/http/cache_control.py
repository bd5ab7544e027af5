"""Cache-Control and its kin: the directives of a message, and what their values mean (RFC 9111 section 5.2).

Pure. Reads what is there and judges nothing: which directive wins, and what follows from it, is the cache's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

Directives = Mapping[bytes, bytes | None]
"""Lower-case name -> value without quotes; None for a directive without `=`."""

LONGEST_S: Final = 2**31
"""What a number of seconds counts as that is greater (RFC 9111 section 1.2.2)."""

# A name, then maybe a token or a quoted string; white space beside `=` makes it another directive, which nobody knows.
_directive: Final = re.compile(
    rb'[ \t]*([!#$%&\'*+\-.^_`|~0-9A-Za-z]+)(?:=(?:"((?:[^"\\]|\\.)*)"|([^",\t ]*)))?[ \t]*(?=,|$)'
).match
_next_comma: Final = re.compile(rb'(?:[^",]|"(?:[^"\\]|\\.)*"?)*').match
_digits: Final = re.compile(rb"[0-9]+").fullmatch
_escaped: Final = re.compile(rb"\\(.)")

# RFC 9213 section 2.1: a dictionary of structured fields (RFC 8941), of which caches know integers and booleans.
_NUMBER: Final = rb"-?[0-9]{1,15}(?:\.[0-9]{1,3})?"
_TEXT: Final = rb'"(?:[ !#-\[\]-~]|\\["\\])*"'
_BARE: Final = rb"(?:" + _NUMBER + rb"|" + _TEXT + rb'|\?[01]|[A-Za-z*][^\s",;=()<>@?{}\[\]]*|:[^:]*:)'
_PARAMETERS: Final = rb"(?:; *[a-z*][a-z0-9_.*-]*(?:=" + _BARE + rb")?)*"
_member: Final = re.compile(
    rb"[ \t]*([a-z*][a-z0-9_.*-]*)(?:=(" + _BARE + rb"))?" + _PARAMETERS + rb"[ \t]*(?:,|\Z)"
).match


def parse_directives(values: Iterable[bytes]) -> dict[bytes, bytes | None]:
    """The directives of all lines of a field, the first of each name; what cannot be read is passed over."""
    found: dict[bytes, bytes | None] = {}
    for value in values:
        position = 0
        while position < len(value):
            match = _directive(value, position)
            if match is not None:
                name, quoted, token = match.groups()
                argument = token if quoted is None else _escaped.sub(rb"\1", quoted)
                found.setdefault(name.lower(), argument)
                position = match.end() + 1
            else:
                skipped = _next_comma(value, position)
                position = (len(value) if skipped is None else skipped.end()) + 1
    return found


def parse_targeted(values: Iterable[bytes]) -> dict[bytes, bytes | None] | None:
    """The directives of a targeted field such as CDN-Cache-Control (RFC 9213), None where they are not to be used.

    A field that is no structured dictionary, or gives a known directive a value of a wrong type, does not count.
    """
    whole = b", ".join(values).strip(b" \t")
    if not whole or whole.endswith(b","):
        return None
    found: dict[bytes, bytes | None] = {}
    position = 0
    while position < len(whole):
        match = _member(whole, position)
        if match is None:
            return None
        position = match.end()
        name, value = match.groups()
        if name in _COUNTED and (value is None or not _digits(value)):
            return None
        if value == b"?0":
            found.pop(name, None)
        else:
            found[name] = None if value == b"?1" else value
    return found


_COUNTED: Final = frozenset({b"max-age", b"s-maxage", b"stale-while-revalidate", b"stale-if-error"})
"""Directives whose value is a number of seconds."""


def seconds(value: bytes | None) -> int | None:
    """The seconds that a directive's value says, LONGEST_S at most; None where it says none."""
    if value is None or not _digits(value):
        return None
    return LONGEST_S if len(value) > 12 else min(int(value), LONGEST_S)


def named_fields(value: bytes) -> tuple[bytes, ...]:
    """The lower-case field names of `no-cache="a, b"` or `private="a"`."""
    return tuple(name for item in value.split(b",") if (name := item.strip(b" \t").lower()))
