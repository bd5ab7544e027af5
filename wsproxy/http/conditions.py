"""Conditional requests: whether the client has what there is already, or wants it only as it knows it (RFC 9110
section 13).

Pure. Field names are lower-case; a field that cannot be read counts as not sent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import formatdate, parsedate
from typing import Final

NOT_MODIFIED: Final = 304
PRECONDITION_FAILED: Final = 412
PROCEED: Final = 0

CONDITION_FIELDS: Final = (b"if-match", b"if-none-match", b"if-modified-since", b"if-unmodified-since", b"if-range")

_tags: Final = re.compile(rb'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"').findall
_is_tag: Final = re.compile(rb'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"').fullmatch


@dataclass(frozen=True, slots=True)
class Validators:
    """What tells one state of a resource from another: its entity tag as written (`"x"`, `W/"x"`, or b"" without one),
    and when it was last modified, in seconds since 1970."""

    etag: bytes
    modified_s: int | None


def judge_conditions(fields: Mapping[bytes, bytes], is_read: bool, current: Validators) -> int:
    """What the request's conditions say of the current state: PROCEED, NOT_MODIFIED or PRECONDITION_FAILED.

    is_read: the method is GET or HEAD. The order is that of RFC 9110 section 13.2.2.
    """
    if (wanted := fields.get(b"if-match")) is not None:
        if wanted != b"*" and not _strongly_matches(wanted, current.etag):
            return PRECONDITION_FAILED
    elif _is_later(current.modified_s, fields.get(b"if-unmodified-since")) is True:
        return PRECONDITION_FAILED
    if (known := fields.get(b"if-none-match")) is not None:
        if known == b"*" or _weakly_matches(known, current.etag):
            return NOT_MODIFIED if is_read else PRECONDITION_FAILED
    elif is_read and _is_later(current.modified_s, fields.get(b"if-modified-since")) is False:
        return NOT_MODIFIED
    return PROCEED


def range_applies(fields: Mapping[bytes, bytes], current: Validators) -> bool:
    """Whether a Range is of the state that the client has a part of already (If-Range, RFC 9110 section 13.1.5)."""
    written = fields.get(b"if-range")
    if written is None:
        return True
    if _is_tag(written):
        return not written.startswith(b"W/") and written == current.etag
    since_s = _date(written)
    return since_s is not None and since_s == current.modified_s


def http_date(unix_time_s: float) -> bytes:
    """`Tue, 15 Nov 1994 08:12:31 GMT` (RFC 9110 section 5.6.7)."""
    return formatdate(unix_time_s, usegmt=True).encode("ascii")


def _is_later(modified_s: int | None, written: bytes | None) -> bool | None:
    """Whether it was modified after the date that is written; None where there is nothing to compare."""
    since_s = _date(written)
    return None if since_s is None or modified_s is None else modified_s > since_s


def _date(written: bytes | None) -> int | None:
    """Seconds since 1970 of any of the three forms of an HTTP date; None for what is none."""
    parsed = None if written is None else parsedate(written.decode("latin-1"))
    if parsed is None:
        return None
    try:
        return int(datetime(*parsed[:6], tzinfo=UTC).timestamp())
    except ValueError:  # no such day or hour
        return None


def _strongly_matches(written: bytes, etag: bytes) -> bool:
    return bool(etag) and not etag.startswith(b"W/") and etag in _tags(written)


def _weakly_matches(written: bytes, etag: bytes) -> bool:
    opaque = etag.removeprefix(b"W/")
    return bool(etag) and any(tag.removeprefix(b"W/") == opaque for tag in _tags(written))
