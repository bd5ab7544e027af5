"""Kept answers: when each use of one is allowed, and what a confirmation makes of it."""

from __future__ import annotations

import pytest

from tests.cache.answers import NOW, block, head, stored
from wsproxy.cache.freshness import Limits, Terms
from wsproxy.cache.stored import VALIDATED_WITHIN_S, merged_fields, stored_fields

NONE = Limits()


@pytest.mark.parametrize(
    ("limits", "after_s", "expected"),
    [
        (NONE, 59.9, True),
        (NONE, 60.0, False),
        (Limits(must_validate=True), 1.0, False),
        (Limits(max_age_s=10), 10.0, True),
        (Limits(max_age_s=10), 11.0, False),
        (Limits(min_fresh_s=30), 30.0, True),
        (Limits(min_fresh_s=30), 31.0, False),
        (Limits(max_stale_s=10), 69.9, True),
        (Limits(max_stale_s=10), 70.0, False),
    ],
)
def test_fresh(limits: Limits, after_s: float, expected: bool) -> None:
    assert stored().is_fresh_for(limits, NOW + after_s) is expected


def test_what_must_be_validated_is_not_stale_for_anybody() -> None:
    assert not stored(on=Terms(60.0, never_stale=True)).is_fresh_for(Limits(max_stale_s=100), NOW + 61.0)
    assert not stored(on=Terms(60.0, validates_always=True)).is_fresh_for(NONE, NOW)
    assert not stored(on=Terms(60.0, never_stale=True, stale_while_s=9.0)).may_be_stale(NONE, NOW + 61.0)
    assert not stored(on=Terms(60.0, never_stale=True, stale_error_s=9.0)).may_be_stale_on_error(NONE, NOW + 61.0)


def test_stale_while_another_is_fetched() -> None:
    answer = stored(on=Terms(60.0, stale_while_s=10.0))
    assert answer.may_be_stale(NONE, NOW + 69.9)
    assert not answer.may_be_stale(NONE, NOW + 70.0)
    for limits in (Limits(must_validate=True), Limits(max_age_s=100), Limits(min_fresh_s=1)):
        assert not answer.may_be_stale(limits, NOW + 61.0)


def test_stale_where_no_other_can_be_had() -> None:
    assert stored(on=Terms(60.0, stale_error_s=10.0)).may_be_stale_on_error(NONE, NOW + 69.9)
    assert not stored(on=Terms(60.0, stale_error_s=10.0)).may_be_stale_on_error(NONE, NOW + 70.0)
    assert stored().may_be_stale_on_error(Limits(stale_if_error_s=10), NOW + 69.9)


def test_a_clock_that_is_set_back_makes_nothing_younger() -> None:
    assert stored(on=Terms(60.0, age_s=5.0)).age_s(NOW - 100.0) == 5.0


def test_age_counts_from_the_server() -> None:
    assert stored(on=Terms(60.0, age_s=5.0)).age_s(NOW + 10.0) == 15.0
    assert not stored(on=Terms(60.0, age_s=5.0)).is_fresh_for(NONE, NOW + 55.0)


def test_how_long_it_is_worth_keeping() -> None:
    assert stored().keeps_until() == NOW + 60.0
    assert stored(on=Terms(60.0, stale_error_s=5.0)).keeps_until() == NOW + 65.0
    assert stored('ETag: "a"').keeps_until() == NOW + 60.0 + VALIDATED_WITHIN_S


def test_conditions() -> None:
    assert stored().conditions == b""
    assert stored('ETag: W/"a"', "Last-Modified: x").conditions == b'If-None-Match: W/"a"\r\nIf-Modified-Since: x\r\n'
    assert not stored().has_validator


def test_tags() -> None:
    answer = stored("Cache-Tag: a, b,c", "Surrogate-Key: c d", "Cache-Tag: " + "x" * 2000)
    assert answer.tags == (b"a", b"b", b"c", b"d")
    assert len(stored("Surrogate-Key: " + " ".join(map(str, range(1000)))).tags) == 128


def test_what_is_kept_of_the_fields() -> None:
    response = head("A: 1", "Set-Cookie: a=b", "Age: 7", "Content-Length: 5", "B: 2", "C: 3", "Date: {0}")
    assert stored_fields(response, (b"b",), NOW) == block("A: 1", "C: 3", "Date: {0}")
    assert stored_fields(head("A: 1"), (), NOW) == block("A: 1", "Date: {0}")


def test_a_confirmation_brings_fields() -> None:
    kept = block("A: 1", "ETag: old", "Content-Encoding: gzip", "B: 1", "B: 2", "Vary: C")
    newer = block("b: 3", "ETag: new", "Content-Encoding: br", "Content-Length: 9", "Set-Cookie: x", "Vary: D")
    assert merged_fields(kept, newer) == block("A: 1", "ETag: old", "Content-Encoding: gzip", "Vary: C", "b: 3")


def test_updated() -> None:
    before = stored('ETag: "a"', "A: 1")
    after = before.updated(block("A: 2"), Terms(5.0), NOW + 100.0)
    assert (after.body, after.status, after.etag) == (before.body, 200, b'"a"')
    assert b"A: 2\r\n" in after.fields
    assert after.is_fresh_for(NONE, NOW + 104.0)
    assert not after.is_fresh_for(NONE, NOW + 105.0)
