"""The table of buckets that processes share: as one dictionary would decide, in bounded memory, whoever holds a set."""

from __future__ import annotations

import mmap
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsproxy.config.model import Rate
from wsproxy.protection.bucket_table import MOST_OWE, PLACES, SET_BYTES, BucketTableState, count_busy, sets_for
from wsproxy.protection.rate_limit import Key, RateLimitState

HOURLY = Rate(10, 3600.0)
SECRET = b"s" * 32


class Locks:
    """Sets that nobody holds, unless told. taken: how often one was. before: what happens right before."""

    def __init__(self) -> None:
        self.is_held = False
        self.taken = 0
        self.ours: list[int] = []
        self.before: Callable[[], object] = int

    def try_lock(self, at: int) -> bool:
        before, self.before = self.before, int
        before()
        if self.is_held:
            return False
        self.taken += 1
        self.ours.append(at)
        return True

    def unlock(self, at: int) -> None:
        self.ours.remove(at)


def memory(sets: int = 64) -> mmap.mmap:
    return mmap.mmap(-1, sets * SET_BYTES)


def table(
    shared: mmap.mmap, locks: Locks | None = None, rate: Rate = HOURLY, burst: int = 10, secret: bytes = SECRET
) -> BucketTableState:
    state = BucketTableState(shared, locks or Locks(), secret, lambda: 0)
    state.fill(rate, burst, 0.0)
    return state


def passed(state: BucketTableState, key: Key, now: float, times: int = 50) -> int:
    return sum(state.try_take(key, now) >= 0 for _ in range(times))


@given(
    steps=st.lists(st.tuples(st.floats(0, 3), st.sampled_from(["a", "b", b"a"]), st.booleans()), max_size=100),
    burst=st.integers(1, 5),
    amount=st.integers(1, 20),
)
def test_two_processes_decide_as_one_dictionary_would(
    steps: list[tuple[float, Key, bool]], burst: int, amount: int
) -> None:
    shared, rate = memory(), Rate(amount, 1.0)
    both = [table(shared, rate=rate, burst=burst) for _ in range(2)]
    alone = RateLimitState(rate, burst, 1000)
    now = 1000.0
    for gap, key, which in steps:
        now += gap
        assert both[which].try_take(key, now) == pytest.approx(alone.try_take(key, now), abs=1e-6)


def test_who_is_refused_costs_no_lock() -> None:
    locks = Locks()
    state = table(memory(), locks)
    assert passed(state, "a", 5.0) == 10
    assert locks.taken == 10
    assert locks.ours == []


def test_what_another_takes_in_between_is_seen() -> None:
    shared, locks = memory(), Locks()
    one, other = table(shared, locks), table(shared)
    assert one.try_take("a", 5.0) == pytest.approx(9 * 360)
    locks.before = lambda: passed(other, "a", 5.0, 8)
    assert one.try_take("a", 5.0) == pytest.approx(0.0)
    locks.before = lambda: other.try_take("b", 5.0)
    assert one.try_take("b", 5.0) == pytest.approx(8 * 360), "one place, though both had none before"


def test_of_the_last_token_two_want_one_goes_without() -> None:
    shared, locks = memory(), Locks()
    one, other = table(shared, locks, burst=2), table(shared, burst=2)
    one.try_take("a", 5.0)
    locks.before = lambda: other.try_take("a", 5.0)
    assert one.try_take("a", 5.0) == pytest.approx(-360)


def test_who_holds_a_set_for_ever_is_not_waited_for_and_no_token_is_lost() -> None:
    shared, locks = memory(), Locks()
    one, other = table(shared, locks), table(shared)
    assert passed(other, "a", 5.0, 3) == 3
    locks.is_held = True
    assert passed(one, "a", 5.0, 4) == 4
    assert one.try_take("new", 5.0) == pytest.approx(9 * 360)
    assert passed(other, "a", 5.0, 1) == 1
    locks.is_held = False
    assert passed(one, "a", 5.0) == 2
    assert passed(other, "a", 5.0) == 0
    assert one.try_take("new", 5.0) == pytest.approx(8 * 360)


def test_while_a_set_is_held_a_limit_holds_too() -> None:
    locks = Locks()
    state = table(memory(), locks)
    locks.is_held = True
    assert passed(state, "a", 5.0) == 10
    assert passed(state, "a", 5.0 + 360.0) == 1


def test_what_is_owed_is_owed_no_longer_than_the_bucket_takes_to_fill() -> None:
    locks = Locks()
    state = table(memory(), locks)
    locks.is_held = True
    passed(state, "a", 5.0, 10)
    locks.is_held = False
    assert state.try_take("a", 5.0 + 1800.0) == pytest.approx(4 * 360)
    locks.is_held = True
    passed(state, "b", 5.0, 10)
    locks.is_held = False
    assert state.try_take("b", 5.0 + 3600.0) == pytest.approx(9 * 360)


def test_who_owes_too_much_is_refused_when_it_is_taken() -> None:
    shared, locks = memory(), Locks()
    one, other = table(shared, locks), table(shared)
    locks.is_held = True
    passed(one, "a", 9e6, 9)
    passed(other, "a", 9e6, 9)
    locks.is_held = False
    assert one.try_take("a", 9e6) == pytest.approx(-360)
    assert other.try_take("a", 9e6) == pytest.approx(-360)


def test_who_looked_at_his_clock_long_ago_finds_no_full_bucket() -> None:
    shared, fast = memory(), Rate(10_000, 1.0)
    state = table(shared, rate=fast)
    assert passed(state, "a", 9e6) == 10
    assert state.try_take("a", 9e6 - 0.9) == pytest.approx(-0.9, rel=0.01)
    assert state.try_take("a", 9e6 - 30.0) == pytest.approx(-30.0, rel=0.01)
    state.fill(fast, 10, changed_at=8e6)
    assert state.try_take("a", 9e6 - 0.9) == pytest.approx(-0.9, rel=0.01)


def test_debts_are_bounded() -> None:
    locks = Locks()
    state = table(memory(), locks)
    locks.is_held = True
    for number in range(MOST_OWE + 1):
        state.try_take(number.to_bytes(4), 5.0)
    assert passed(state, (0).to_bytes(4), 5.0) == 10, "forgiven"
    assert passed(state, MOST_OWE.to_bytes(4), 5.0) == 9


def test_a_token_can_be_put_back() -> None:
    locks = Locks()
    state = table(memory(), locks, burst=1)
    state.try_take("a", 5.0)
    state.give_back("a")
    state.give_back("nobody")
    assert state.try_take("a", 5.0) == 0.0
    locks.is_held = True
    state.give_back("a")
    assert state.try_take("a", 5.0) < 0
    assert locks.ours == []


def test_text_and_bytes_are_different_clients() -> None:
    state = table(memory(), burst=1)
    assert [state.try_take(key, 5.0) for key in ("a", b"a")] == [0.0, 0.0]


def test_of_a_full_set_the_bucket_goes_that_is_full_first() -> None:
    state = table(memory(sets=1), burst=10)
    for number in range(PLACES):
        passed(state, str(number), 5.0, 3 if number == 5 else 9)
    assert state.evicted == 0
    state.try_take("late", 5.0)
    assert state.evicted == 1
    assert passed(state, "0", 5.0) == 1
    assert passed(state, "late", 5.0) == 9


def test_a_bucket_that_is_full_again_is_no_loss() -> None:
    state = table(memory(sets=1))
    for round_ in range(5):
        for number in range(PLACES):
            assert state.try_take(f"{round_} {number}", round_ * 1000.0) == pytest.approx(9 * 360)
    assert state.evicted == 0


def test_as_many_as_are_to_be_remembered_mostly_find_a_place() -> None:
    state = table(memory(sets_for(10_000)))
    for number in range(10_000):
        state.try_take(number.to_bytes(4), 5.0)
    assert 0 < state.evicted < 400
    assert len(state) == 0, "as it was told"


def test_nobody_knows_where_a_client_stands_without_the_secret() -> None:
    shared = memory()
    table(shared).try_take("a", 5.0)
    assert table(shared, secret=b"t" * 32).try_take("a", 5.0) == pytest.approx(9 * 360)


def test_who_is_remembered_is_counted() -> None:
    shared = memory()
    state = table(shared, rate=Rate(10, 1.0))
    for number in range(100):
        state.try_take(str(number), 5.0)
    state.try_take("later", 6.0)
    assert [count_busy(shared[:], now) for now in (5.05, 6.05, 7.0)] == [101, 1, 0]


def test_another_rate_is_taken_over_in_place() -> None:
    state = table(memory())
    passed(state, "a", 0.0, 10)
    state.fill(Rate(10, 1.0), 10, changed_at=5.0)
    assert state.try_take("a", 5.0) == pytest.approx(-0.1), "an empty bucket is empty, but fills at the new rate"
    assert state.try_take("a", 5.1) == pytest.approx(0.0, abs=1e-9)
    assert state.try_take("a", 90.0) == pytest.approx(0.9)
