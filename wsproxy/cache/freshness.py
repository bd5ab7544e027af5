"""What may be kept of an answer and for how long: RFC 9111 sections 3 and 4.2, RFC 5861, RFC 9213.

Pure: the time is an argument, in seconds since 1970. The laws are here; what is done with a stale answer when a server
does not answer is decided by who asks.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from wsproxy.http.cache_control import LONGEST_S, Directives, named_fields, parse_directives, parse_targeted, seconds
from wsproxy.http.date import parse_date
from wsproxy.http.messages import ResponseHead

HEURISTICALLY_CACHEABLE: Final = frozenset({200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501})
"""RFC 9110 section 15.1, but for 206, which is never kept."""
UNDERSTOOD: Final = HEURISTICALLY_CACHEABLE | {201, 202, 302, 303, 307, 400, 401, 403, 500, 502, 503, 504}
"""What `must-understand` lets through: statuses whose rules a cache need not do anything for."""
NEVER_KEPT: Final = frozenset({206, 304})
"""A part of an answer, and one about another answer."""

HEURISTIC_FRACTION: Final = 0.1
"""Of the time since the last change: what RFC 9111 section 4.2.2 calls typical."""
HEURISTIC_LONGEST_S: Final = 86400.0
"""A day: nobody has said that it may be longer."""

_NOT_TARGETED: Final = (b"cdn-cache-control", b"surrogate-control")
"""Fields that speak to us rather than to everybody, the standard one (RFC 9213) first."""

Told = dict[bytes, list[bytes]]
"""The values of the fields that count, by lower-case name."""

_told: Final = re.compile(
    rb"(?im)^(?=[acdels])(age|cache-control|cdn-cache-control|date|etag|expires|last-modified|set-cookie"
    rb"|surrogate-control): ([^\r]*)\r"
).findall
"""All in one search, which takes a fifth of one for each."""

_age: Final = re.compile(rb"[ \t]*([0-9]+)[ \t]*(?:,|$)").match


@dataclass(frozen=True, slots=True)
class Limits:
    """What a request's Cache-Control asks of a stored answer (RFC 9111 section 5.2.1); seconds."""

    must_validate: bool = False
    max_age_s: int | None = None
    min_fresh_s: int = 0
    max_stale_s: int = 0
    stale_if_error_s: int = 0


@dataclass(frozen=True, slots=True)
class Defaults:
    """What holds for answers that do not say otherwise."""

    ttl_s: float | None = None  # for those that state no freshness
    heuristic: bool = False  # guess it from Last-Modified
    stale_while_revalidate_s: float = 0.0
    stale_if_error_s: float = 0.0


NO_DEFAULTS: Final = Defaults()


@dataclass(frozen=True, slots=True)
class Terms:
    """How long an answer may be used, and how.

    lifetime_s: for which it is fresh. age_s: how old it was when it came. validates_always: not used unless the server
    has just said that it still holds. never_stale: not used once it is stale, whatever happens. stale_while_s,
    stale_error_s: for which it may be used after that, while another is fetched or where that fails.
    omitted: lower-case names of fields that are not kept.
    """

    lifetime_s: float
    age_s: float = 0.0
    validates_always: bool = False
    never_stale: bool = False
    stale_while_s: float = 0.0
    stale_error_s: float = 0.0
    omitted: tuple[bytes, ...] = ()


def terms_of(
    response: ResponseHead, is_authorized: bool, asked_at: float, now: float, defaults: Defaults = NO_DEFAULTS
) -> Terms | None:
    """The terms on which an answer may be kept; None for one that may not, or whose keeping would be of no use.

    is_authorized: of the request. asked_at: when that was sent. Vary is not looked at.
    """
    told: Told = {}
    for name, value in _told(response.fields):
        told.setdefault(name.lower(), []).append(value)
    directives, is_targeted = _directives(told)
    if response.status in NEVER_KEPT or not _may_be_stored(response.status, told, directives, is_authorized):
        return None
    lifetime_s = _lifetime(response.status, told, directives, is_targeted, now, defaults)
    if lifetime_s is None:
        return None
    no_cache = directives.get(b"no-cache", b"")
    private = directives.get(b"private", b"")
    omitted = named_fields(no_cache or b"") + named_fields(private or b"")
    never_stale = b"must-revalidate" in directives or b"proxy-revalidate" in directives or b"s-maxage" in directives
    stale_while_s = _window(directives, b"stale-while-revalidate", defaults.stale_while_revalidate_s)
    stale_error_s = _window(directives, b"stale-if-error", defaults.stale_if_error_s)
    terms = Terms(
        lifetime_s=lifetime_s,
        age_s=_initial_age(told, asked_at, now),
        validates_always=no_cache is None,
        never_stale=never_stale or no_cache is None,
        stale_while_s=0.0 if never_stale else stale_while_s,
        stale_error_s=0.0 if never_stale else stale_error_s,
        omitted=omitted,
    )
    return terms if _is_of_use(terms, told) else None


def _directives(told: Told) -> tuple[Directives, bool]:
    """Those that hold for us, and whether they speak to caches like us alone."""
    for name in _NOT_TARGETED:
        if values := told.get(name):
            targeted = parse_targeted(values) if name == b"cdn-cache-control" else _surrogate(values)
            if targeted:
                return targeted, True
    return parse_directives(told.get(b"cache-control", ())), False


def _surrogate(values: list[bytes]) -> Directives:
    """The older spelling of the same: directives may name whom they are for, behind a semicolon."""
    directives = parse_directives(value.partition(b";")[0] for value in values)
    known = {b"max-age", b"no-store"} & directives.keys()
    return {name: directives[name] for name in known}


def _may_be_stored(status: int, told: Told, directives: Directives, is_authorized: bool) -> bool:
    """RFC 9111 sections 3 and 3.5, with the rule that a cookie belongs to one client."""
    understood = b"must-understand" in directives and status in UNDERSTOOD
    if b"must-understand" in directives and not understood:
        return False
    if b"no-store" in directives and not understood:
        return False
    if b"private" in directives and directives[b"private"] is None:
        return False
    for_all = b"public" in directives or b"s-maxage" in directives
    if is_authorized and not (for_all or b"must-revalidate" in directives):
        return False
    if b"set-cookie" in told and not for_all:
        named = named_fields(directives.get(b"no-cache") or b"") + named_fields(directives.get(b"private") or b"")
        return b"set-cookie" in named
    return True


def _lifetime(
    status: int, told: Told, directives: Directives, is_targeted: bool, now: float, defaults: Defaults
) -> float | None:
    """RFC 9111 section 4.2.1, for a shared cache; None where nothing says that it may be kept.

    A value that cannot be read makes the answer stale, as does an Expires that is no date.
    """
    for name in (b"s-maxage", b"max-age"):
        if name in directives:
            return float(seconds(directives[name]) or 0)
    if not is_targeted and b"expires" in told:
        at, date = _date(told, b"expires"), _date(told, b"date")
        return 0.0 if at is None else max(float(at) - (now if date is None else date), 0.0)
    may_guess = status in HEURISTICALLY_CACHEABLE or b"public" in directives
    if may_guess and b"no-cache" not in directives:
        if defaults.ttl_s is not None:
            return defaults.ttl_s
        if defaults.heuristic and (guessed_s := _guessed_lifetime(told, now)):
            return guessed_s
    return 0.0 if b"no-cache" in directives or b"public" in directives else None


def _guessed_lifetime(told: Told, now: float) -> float:
    """RFC 9111 section 4.2.2."""
    modified_at = _date(told, b"last-modified")
    if modified_at is None:
        return 0.0
    return min(max((now - modified_at) * HEURISTIC_FRACTION, 0.0), HEURISTIC_LONGEST_S)


def _window(directives: Directives, name: bytes, default_s: float) -> float:
    return default_s if name not in directives else float(seconds(directives[name]) or 0)


def _initial_age(told: Told, asked_at: float, now: float) -> float:
    """RFC 9111 section 4.2.3; an Age that cannot be read is passed over, of a list the first counts (section 5.1)."""
    match = _age(told[b"age"][0]) if b"age" in told else None
    age_s = 0.0
    if match is not None:
        age_s = float(LONGEST_S if len(match[1]) > 12 else min(int(match[1]), LONGEST_S))
    date = _date(told, b"date")
    apparent_s = 0.0 if date is None else max(float(int(now) - date), 0.0)  # both in whole seconds, cut off
    return max(apparent_s, age_s + max(now - asked_at, 0.0))


def _date(told: Told, name: bytes) -> int | None:
    """What the first such field says, if it is a date."""
    return parse_date(told[name][0]) if name in told else None


def _is_of_use(terms: Terms, told: Told) -> bool:
    """Whether it can ever be given out: fresh, stale by permission, or after it was validated."""
    lives_s = terms.lifetime_s + max(terms.stale_while_s, terms.stale_error_s) - terms.age_s
    if lives_s > 0 and not terms.validates_always:
        return True
    return b"etag" in told or b"last-modified" in told
