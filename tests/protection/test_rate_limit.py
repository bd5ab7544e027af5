"""Token buckets: what passes and what waits, for how long, and how many clients are remembered."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsproxy.config.model import Rate
from wsproxy.protection.rate_limit import FORGOTTEN_AT_ONCE, RateLimitState, address_key

TEN_A_SECOND = Rate(10, 1.0)


def state(burst: int = 10, rate: Rate = TEN_A_SECOND, entries: int = 1000) -> RateLimitState:
    return RateLimitState(rate, burst, entries)


def test_a_full_bucket_gives_its_burst_and_then_one_token_at_a_time() -> None:
    limit = state(burst=3)
    assert [limit.try_take("a", 100.0) for _ in range(3)] == pytest.approx([0.2, 0.1, 0.0])
    assert limit.try_take("a", 100.0) == pytest.approx(-0.1)
    assert limit.try_take("a", 100.04) == pytest.approx(-0.06)
    assert limit.try_take("a", 100.1) == pytest.approx(0.0)
    assert limit.try_take("a", 100.1) < 0


def test_each_key_has_a_bucket_of_its_own() -> None:
    limit = state(burst=1)
    assert limit.try_take("a", 5.0) == 0.0
    assert limit.try_take("a", 5.0) < 0
    assert limit.try_take(b"a", 5.0) == 0.0


def test_what_was_refused_costs_nothing() -> None:
    limit = state(burst=1)
    limit.try_take("a", 0.0)
    for _ in range(50):
        assert limit.try_take("a", 0.05) < 0
    assert limit.try_take("a", 0.1) == pytest.approx(0.0, abs=1e-9)


def test_a_token_can_be_put_back() -> None:
    limit = state(burst=1)
    limit.try_take("a", 0.0)
    limit.give_back("a")
    assert limit.try_take("a", 0.0) == 0.0


@pytest.mark.parametrize("now", [0.1, 12345.678, 9e6])
def test_binary_fractions_take_no_token_away(now: float) -> None:
    limit = state(burst=7, rate=Rate(3, 1.0))
    assert sum(limit.try_take("a", now) >= 0 for _ in range(20)) == 7


@given(
    gaps=st.lists(st.floats(0, 3), min_size=1, max_size=200),
    burst=st.integers(1, 20),
    amount=st.integers(1, 50),
)
def test_never_more_than_the_rate_in_any_stretch_of_time(gaps: list[float], burst: int, amount: int) -> None:
    limit = state(burst, Rate(amount, 1.0))
    now, passed = 1000.0, []
    for gap in gaps:
        now += gap
        if limit.try_take("a", now) >= 0:
            passed.append(now)
    for first in range(0, len(passed), 7):
        for last in range(first, len(passed)):
            assert last - first + 1 <= burst + (passed[last] - passed[first]) * amount + 0.01


def test_idle_keys_are_forgotten_and_busy_ones_are_not() -> None:
    limit = state(burst=10)
    limit.try_take("idle", 0.0)
    for _ in range(10):
        limit.try_take("busy", 0.95)
    limit.try_take("other", 1.0)  # a filling time after the first: another generation begins
    assert limit.try_take("busy", 1.0) < 0
    for number in range(10):
        limit.try_take(f"late {number}", 2.1)
    limit.try_take("later", 3.2)
    limit.try_take("last", 4.3)
    assert len(limit) < 13
    assert limit.evicted == 0


def test_it_never_holds_more_than_it_may() -> None:
    limit = state(burst=10, rate=Rate(10, 3600.0), entries=1000)
    most = 0
    for number in range(20_000):
        limit.try_take(number.to_bytes(4), number / 1000)
        most = max(most, len(limit))
    assert most <= 1000
    assert limit.evicted > 0


def test_under_a_flood_of_keys_those_that_come_again_stay() -> None:
    limit = state(burst=1, rate=Rate(1, 3600.0), entries=1000)
    limit.try_take("regular", 0.0)
    for number in range(5000):
        limit.try_take(number.to_bytes(4), 1.0)
        if number % 100 == 0:
            assert limit.try_take("regular", 1.0) < 0


def test_old_entries_go_a_few_at_a_time() -> None:
    limit = state(burst=10, entries=1000)
    for number in range(400):
        limit.try_take(number.to_bytes(4), 0.0)
    limit.try_take("a", 1.1)  # they are the old generation now
    limit.try_take("b", 2.2)  # and now they are on their way out
    held = len(limit)
    limit.try_take("c", 2.2)
    assert len(limit) == held + 1 - FORGOTTEN_AT_ONCE


def test_another_rate_is_taken_over_in_place() -> None:
    limit = state(burst=10, rate=Rate(10, 3600.0))
    for _ in range(10):
        limit.try_take("a", 0.0)
    assert limit.try_take("a", 0.0) == pytest.approx(-360.0)
    limit.use(Rate(10, 1.0), 10, 1000, now=5.0)
    assert limit.try_take("a", 5.0) == pytest.approx(-0.1), "an empty bucket is empty, but fills at the new rate"
    assert limit.try_take("a", 5.1) == pytest.approx(0.0, abs=1e-9)
    limit.use(Rate(10, 3600.0), 5, 1000, now=6.0)
    assert limit.try_take("b", 6.1) == pytest.approx(4 * 360.0)


def test_after_a_reload_a_bucket_fills_from_then_on_and_not_from_when_its_client_comes() -> None:
    limit = state(burst=10, rate=Rate(10, 3600.0))
    for _ in range(10):
        limit.try_take("a", 0.0)
    limit.use(Rate(10, 1.0), 10, 1000, now=5.0)
    assert limit.try_take("a", 5.5) == pytest.approx(0.4)
    assert limit.try_take("a", 90.0) == pytest.approx(0.9)


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "20010db800010002::"),
        ("2001:db8:1:2::1", "20010db800010002::"),
        ("fe80::1%eth0", "fe80000000000000::"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("unix:", "unix:"),
    ],
)
def test_what_an_address_counts_as(address: str, key: str) -> None:
    assert address_key(address) == key
