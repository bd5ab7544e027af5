"""What a request says to a cache, and what it is told apart by: its directives, conditions, and the fields Vary names.

Pure. Clients repeat their fields, so what was read of a block is remembered under its bytes: one look-up in a table
instead of a search.
"""

from __future__ import annotations

import re
from typing import Final

from wsproxy.cache.freshness import Limits
from wsproxy.http.cache_control import LONGEST_S, Directives, parse_directives, seconds
from wsproxy.http.conditions import CONDITION_FIELDS, NOT_MODIFIED, Validators, judge_conditions, range_applies
from wsproxy.http.messages import field_values

REMEMBERED: Final = 1024
"""Blocks of fields that are remembered: a few for each browser, app and probe that asks now."""
REMEMBERED_BYTES: Final = 2048
"""The longest of them; with the above two megabytes at most. Longer ones are mostly cookies, and of one client."""

_CONDITIONS: Final = rb"if-(?:none-match|modified-since|match|unmodified-since|range)"
_told: Final = re.compile(rb"(?im)^(cache-control|authorization|range|" + _CONDITIONS + rb"): ([^\r]*)\r").findall

_UNORDERED: Final = frozenset({b"accept-language", b"accept-encoding", b"accept-charset"})
"""Lists of case-insensitive words whose order means nothing beside their weights (RFC 9110 section 12.5)."""


class Asked:
    """The fields of one request, as far as a cache cares.

    is_plain: they say nothing to it. limits: what its Cache-Control asks for. no_store: nothing of the answer is to be
    kept. only_if_cached: nothing else is wanted. is_conditional: it may be answered with 304. is_for_origin: it has
    conditions that a cache cannot judge. range: b"" for the whole. is_authorized: it has credentials.
    """

    __slots__ = (
        "_conditions",
        "_fields",
        "_selected",
        "is_authorized",
        "is_conditional",
        "is_for_origin",
        "is_plain",
        "limits",
        "no_store",
        "only_if_cached",
        "range",
    )

    def __init__(self, fields: bytes, obeys: bool) -> None:
        self._fields = fields
        self._selected: dict[tuple[bytes, ...], bytes] = {}
        told: dict[bytes, list[bytes]] = {}
        for name, value in _told(fields):
            told.setdefault(name.lower(), []).append(value)
        self.is_plain = not told
        conditions = [name for name in CONDITION_FIELDS if name in told]
        self._conditions: dict[bytes, bytes] = {name: b", ".join(told[name]) for name in conditions}
        self.is_conditional = b"if-none-match" in told or b"if-modified-since" in told
        self.is_for_origin = b"if-match" in told or b"if-unmodified-since" in told
        ranges = told.get(b"range", ())
        self.range = ranges[0] if len(ranges) == 1 else b""
        self.is_authorized = b"authorization" in told
        directives = parse_directives(told.get(b"cache-control", ()))
        self.no_store = b"no-store" in directives
        self.only_if_cached = obeys and b"only-if-cached" in directives
        self.limits = Limits()
        if obeys and directives:
            self.limits = Limits(
                must_validate=b"no-cache" in directives,
                max_age_s=seconds(directives.get(b"max-age")),
                min_fresh_s=seconds(directives.get(b"min-fresh")) or 0,
                max_stale_s=_max_stale(directives),
                stale_if_error_s=seconds(directives.get(b"stale-if-error")) or 0,
            )

    def has(self, current: Validators) -> bool:
        """Whether what the client has is what there is."""
        return self.is_conditional and judge_conditions(self._conditions, True, current) == NOT_MODIFIED

    def wants_part(self, current: Validators) -> bool:
        """Whether it asks for a part of just what there is."""
        return self.range != b"" and range_applies(self._conditions, current)

    def selected(self, names: tuple[bytes, ...]) -> bytes:
        """The values of the fields that a Vary names, in one spelling (RFC 9111 section 4.1)."""
        known = self._selected.get(names)
        if known is None:
            values = (field_values(self._fields, name) for name in names)
            lines = (_normal(name, found) for name, found in zip(names, values, strict=True))
            self._selected[names] = known = b"\n".join(lines)
        return known


class AskedReader:
    """Reads requests and remembers the last ones. obeys: whether clients may say what is good enough for them."""

    def __init__(self, obeys: bool = True) -> None:
        self._obeys = obeys
        self._known: dict[bytes, Asked] = {}

    def read(self, fields: bytes) -> Asked:
        """What a canonical block of request fields asks for."""
        asked = self._known.get(fields)
        if asked is None:
            asked = Asked(fields, self._obeys)
            if len(fields) <= REMEMBERED_BYTES:
                if len(self._known) >= REMEMBERED:
                    self._known.clear()
                self._known[fields] = asked
        return asked


def _max_stale(directives: Directives) -> int:
    """RFC 9111 section 5.2.1.2: without a value an answer may be as stale as it likes."""
    if b"max-stale" not in directives:
        return 0
    value = directives[b"max-stale"]
    return LONGEST_S if value is None else seconds(value) or 0


def _normal(name: bytes, values: list[bytes]) -> bytes:
    if not values:
        return b"-"  # no value is not the same as an empty one
    joined = b",".join(item.strip(b" \t") for value in values for item in value.split(b","))
    if name in _UNORDERED:
        joined = b",".join(sorted(joined.lower().split(b",")))
    return b"=" + joined
