"""Conditions of requests, in the order of RFC 9110 section 13.2.2."""

from __future__ import annotations

import pytest

from wsproxy.http.conditions import (
    NOT_MODIFIED,
    PRECONDITION_FAILED,
    PROCEED,
    Validators,
    http_date,
    judge_conditions,
    range_applies,
)

MODIFIED_S = 784_111_777
AT = b"Sun, 06 Nov 1994 08:49:37 GMT"
BEFORE = b"Sun, 06 Nov 1994 08:49:36 GMT"
AFTER = b"Sun, 06 Nov 1994 08:49:38 GMT"
STRONG = Validators(b'"x"', MODIFIED_S)
WEAK = Validators(b'W/"x"', MODIFIED_S)
NONE = Validators(b"", None)


@pytest.mark.parametrize(
    ("current", "fields", "expected"),
    [
        (STRONG, {}, PROCEED),
        (STRONG, {b"if-match": b"*"}, PROCEED),
        (STRONG, {b"if-match": b'"x"'}, PROCEED),
        (STRONG, {b"if-match": b'"a", "x"'}, PROCEED),
        (STRONG, {b"if-match": b'"a"'}, PRECONDITION_FAILED),
        (STRONG, {b"if-match": b'W/"x"'}, PRECONDITION_FAILED),  # strong comparison
        (WEAK, {b"if-match": b'W/"x"'}, PRECONDITION_FAILED),
        (NONE, {b"if-match": b'"x"'}, PRECONDITION_FAILED),
        (STRONG, {b"if-unmodified-since": AT}, PROCEED),
        (STRONG, {b"if-unmodified-since": BEFORE}, PRECONDITION_FAILED),
        (STRONG, {b"if-unmodified-since": b"yesterday"}, PROCEED),
        (NONE, {b"if-unmodified-since": BEFORE}, PROCEED),
        (STRONG, {b"if-match": b'"x"', b"if-unmodified-since": BEFORE}, PROCEED),  # the tag is asked alone
        (STRONG, {b"if-none-match": b"*"}, NOT_MODIFIED),
        (STRONG, {b"if-none-match": b'"x"'}, NOT_MODIFIED),
        (STRONG, {b"if-none-match": b'"a", W/"x"'}, NOT_MODIFIED),  # weak comparison
        (WEAK, {b"if-none-match": b'"x"'}, NOT_MODIFIED),
        (STRONG, {b"if-none-match": b'"a"'}, PROCEED),
        (NONE, {b"if-none-match": b'""'}, PROCEED),
        (STRONG, {b"if-none-match": b'"a"', b"if-modified-since": AFTER}, PROCEED),
        (STRONG, {b"if-modified-since": AT}, NOT_MODIFIED),
        (STRONG, {b"if-modified-since": AFTER}, NOT_MODIFIED),
        (STRONG, {b"if-modified-since": BEFORE}, PROCEED),
        (STRONG, {b"if-modified-since": b"Sunday, 06-Nov-94 08:49:37 GMT"}, NOT_MODIFIED),
        (STRONG, {b"if-modified-since": b"Sun Nov  6 08:49:37 1994"}, NOT_MODIFIED),
        (STRONG, {b"if-modified-since": b"Sun, 06 Nov 2094 99:99:99 GMT"}, PROCEED),
        (STRONG, {b"if-modified-since": b""}, PROCEED),
        (NONE, {b"if-modified-since": AFTER}, PROCEED),
        (STRONG, {b"if-match": b'"x"', b"if-none-match": b'"x"'}, NOT_MODIFIED),
        (STRONG, {b"if-match": b'"a"', b"if-none-match": b'"x"'}, PRECONDITION_FAILED),
    ],
)
def test_what_a_get_is_answered(current: Validators, fields: dict[bytes, bytes], expected: int) -> None:
    assert judge_conditions(fields, True, current) == expected


def test_other_methods_are_told_that_the_state_is_another() -> None:
    assert judge_conditions({b"if-none-match": b"*"}, False, STRONG) == PRECONDITION_FAILED
    assert judge_conditions({b"if-modified-since": AFTER}, False, STRONG) == PROCEED


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (None, True),
        (b'"x"', True),
        (b'"a"', False),
        (b'W/"x"', False),
        (AT, True),
        (AFTER, False),
        (BEFORE, False),
        (b"nonsense", False),
    ],
)
def test_part_of_the_same_state(written: bytes | None, expected: bool) -> None:
    fields = {} if written is None else {b"if-range": written}
    assert range_applies(fields, STRONG) is expected


def test_date_is_written_as_it_is_read() -> None:
    assert http_date(MODIFIED_S) == AT
