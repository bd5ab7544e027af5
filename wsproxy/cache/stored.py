"""An answer that is kept: its head and body, the terms it is kept on, and what it becomes when a server confirms it.

Pure: the time is an argument, in seconds since 1970.
"""

from __future__ import annotations

import re
from typing import Final

from wsproxy.cache.freshness import Limits, Terms
from wsproxy.http.conditions import Validators
from wsproxy.http.date import date_line, parse_date
from wsproxy.http.messages import ResponseHead, field_values

NEVER_STORED: Final = frozenset(
    {b"age", b"content-length", b"set-cookie", b"proxy-authentication-info", b"x-request-id"}
)
"""Written anew with each answer, or of one client alone; hop-by-hop fields are gone already."""

NEVER_UPDATED: Final = frozenset({b"content-encoding", b"content-md5", b"content-range", b"etag", b"vary"})
"""What describes the body that stays, or what it was chosen by, when a 304 brings new fields (RFC 9111 section 3.2)."""

OVERHEAD_BYTES: Final = 1024
"""What a kept answer takes besides its bytes: objects, tables, ends of buffers; measured 700 to 900."""
TAG_BYTES: Final = 200
"""The same for each of its tags."""

_line: Final = re.compile(rb"(?m)^([^:\r\n]+): [^\r]*\r\n")
_tag: Final = re.compile(rb"[^\s,]+").findall
_TAG_FIELDS: Final = (b"cache-tag", b"surrogate-key")
MOST_TAGS: Final = 128
"""Of one answer; more are passed over. CDNs allow about as many."""
LONGEST_TAG_BYTES: Final = 1024
"""Of one tag, as CDNs have it."""


class StoredAnswer:
    """One answer to one request. Immutable but for `encoded`, which belongs to who sends it.

    fields: those that are kept, without a Content-Length. received_at, and from that on fresh_until: no longer fresh.
    backend: who sent it, for what the route does to the answers of each. encoded: the head as it was last sent, and for
    which second.
    """

    __slots__ = (
        "backend",
        "body",
        "encoded",
        "encoded_at",
        "etag",
        "fields",
        "fresh_until",
        "head",
        "last_modified",
        "reason",
        "received_at",
        "status",
        "tags",
        "terms",
        "validators",
    )

    def __init__(
        self,
        status: int,
        reason: bytes,
        fields: bytes,
        body: bytes,
        terms: Terms,
        received_at: float,
        backend: str = "",
    ) -> None:
        self.backend = backend
        self.status = status
        self.reason = reason
        self.fields = fields
        self.body = body
        self.terms = terms
        self.received_at = received_at
        self.fresh_until = received_at - 1.0 if terms.validates_always else received_at - terms.age_s + terms.lifetime_s
        self.etag = _first(fields, b"etag")
        self.last_modified = _first(fields, b"last-modified")
        written = self.last_modified or _first(fields, b"date")
        self.validators = Validators(self.etag, parse_date(written))
        self.tags = _tags(fields)
        self.encoded = b""
        self.encoded_at = 0
        length = b"" if status == 204 else b"Content-Length: %d\r\n" % len(body)
        self.head = ResponseHead(status, reason, 1, fields + length, len(body), True, has_date=True)

    @property
    def size_bytes(self) -> int:
        """What keeping it takes, about."""
        return 2 * len(self.fields) + len(self.body) + OVERHEAD_BYTES + TAG_BYTES * len(self.tags)

    @property
    def has_validator(self) -> bool:
        """Whether a server can be asked if it still holds."""
        return bool(self.etag or self.last_modified)

    @property
    def conditions(self) -> bytes:
        """The lines of a request that asks just that (RFC 9111 section 4.3.1)."""
        lines = b"If-None-Match: %b\r\n" % self.etag if self.etag else b""
        return lines + b"If-Modified-Since: %b\r\n" % self.last_modified if self.last_modified else lines

    def age_s(self, now: float) -> float:
        """RFC 9111 section 4.2.3; a clock that is set back makes nothing younger than it was."""
        return self.terms.age_s + max(now - self.received_at, 0.0)

    def keeps_until(self) -> float:
        """When it is of no use any more even to who may use stale answers or can ask whether it still holds."""
        terms = self.terms
        stale_s = max(terms.stale_while_s, terms.stale_error_s, VALIDATED_WITHIN_S if self.has_validator else 0.0)
        return self.received_at + max(terms.lifetime_s - terms.age_s, 0.0) + stale_s

    # Which use is allowed.

    def is_fresh_for(self, limits: Limits, now: float) -> bool:
        """Whether it may be given out as it is (RFC 9111 section 4)."""
        if self.terms.validates_always or limits.must_validate:
            return False
        if limits.max_age_s is not None and self.age_s(now) > limits.max_age_s:
            return False
        left_s = self.fresh_until - now
        if left_s > 0:
            return left_s >= limits.min_fresh_s
        return not self.terms.never_stale and -left_s < limits.max_stale_s

    def may_be_stale(self, limits: Limits, now: float) -> bool:
        """Whether it may be given out while another is fetched (RFC 5861 section 3)."""
        if limits.must_validate or limits.max_age_s is not None or limits.min_fresh_s:
            return False
        return not self.terms.never_stale and now - self.fresh_until < self.terms.stale_while_s

    def may_be_stale_on_error(self, limits: Limits, now: float) -> bool:
        """Whether it may be given out where no other can be had (RFC 5861 section 4)."""
        if self.terms.never_stale:
            return False
        return now - self.fresh_until < max(self.terms.stale_error_s, limits.stale_if_error_s)

    # What becomes of it.

    def updated(self, fields: bytes, terms: Terms, now: float) -> StoredAnswer:
        """The same answer with the fields of a 304, or of an answer to HEAD, in place of its own."""
        merged = merged_fields(self.fields, fields)
        return StoredAnswer(self.status, self.reason, merged, self.body, terms, now, self.backend)


VALIDATED_WITHIN_S: Final = 86400.0
"""How long a stale answer with a validator is worth keeping: a day, after which it is hardly asked for any more."""


def stored_fields(response: ResponseHead, omitted: tuple[bytes, ...], now: float) -> bytes:
    """The fields of an answer that are kept (RFC 9111 section 3.1), with a Date in any case."""
    left_out = NEVER_STORED | frozenset(omitted)
    kept = b"".join(match[0] for match in _line.finditer(response.fields) if match[1].lower() not in left_out)
    return kept if response.has_date else kept + date_line(now)


def merged_fields(stored: bytes, newer: bytes) -> bytes:
    """Stored fields, of which those that came anew are replaced (RFC 9111 section 3.2)."""
    passed_over = NEVER_STORED | NEVER_UPDATED
    updates = [match for match in _line.finditer(newer) if match[1].lower() not in passed_over]
    replaced = {match[1].lower() for match in updates}
    kept = [match[0] for match in _line.finditer(stored) if match[1].lower() not in replaced]
    return b"".join(kept) + b"".join(match[0] for match in updates)


def _first(fields: bytes, name: bytes) -> bytes:
    values = field_values(fields, name)
    return values[0] if values else b""


def _tags(fields: bytes) -> tuple[bytes, ...]:
    found = [tag for name in _TAG_FIELDS for value in field_values(fields, name) for tag in _tag(value)]
    return tuple(dict.fromkeys(tag for tag in found if len(tag) <= LONGEST_TAG_BYTES))[:MOST_TAGS]
