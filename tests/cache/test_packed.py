"""Answers as bytes: the same after the journey, and no harm from what is damaged."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cache.answers import NOW, stored
from wsproxy.cache.freshness import Limits, Terms
from wsproxy.cache.packed import pack, unpack
from wsproxy.cache.store import Pointer
from wsproxy.cache.stored import StoredAnswer


def test_an_answer() -> None:
    terms = Terms(60.0, age_s=2.5, never_stale=True)
    before = stored('ETag: "\xfc"', "Cache-Tag: a", body=bytes(range(256)), status=404, on=terms)
    after = unpack(pack(before))
    assert isinstance(after, StoredAnswer)
    for name in ("status", "reason", "fields", "body", "terms", "received_at", "fresh_until", "etag", "tags"):
        assert getattr(after, name) == getattr(before, name)
    assert after.is_fresh_for(Limits(), NOW)


def test_a_pointer() -> None:
    after = unpack(pack(Pointer((b"a", b"b"), b"prefix\n")))
    assert isinstance(after, Pointer)
    assert (after.names, after.prefix) == ((b"a", b"b"), b"prefix\n")


@pytest.mark.parametrize(
    "data",
    [b"", b"hello", b"wsA1", b"wsA1\0\0\0\2\0\0\0\0{}", b"wsP1[]", b"wsP1{}", b"wsP1" + b"[" * 9999],
)
def test_what_is_neither(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        unpack(data)


@given(st.integers(0, 200), st.binary(max_size=3))
def test_damage_is_seen_or_harmless(place: int, bytes_there: bytes) -> None:
    data = pack(stored('ETag: "a"'))
    try:
        unpack(data[:place] + bytes_there + data[place + len(bytes_there) :])
    except ValueError:
        return
