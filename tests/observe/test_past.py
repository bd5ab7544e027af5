"""Counters under names that come back, and a bound on how many."""

from __future__ import annotations

from wsproxy.observe.past import MOST_NAMES, Past


def test_who_takes_a_name_again_goes_on() -> None:
    past: Past[int] = Past()
    assert past.take("a") is None
    past.note("a", 1)
    past.note("a", 2)
    assert past.get("a") == 2
    assert past.take("a") == 2
    assert past.get("a") is None


def test_no_more_names_are_remembered_than_may_be() -> None:
    past: Past[int] = Past()
    for number in range(MOST_NAMES):
        past.note(str(number), number)
    past.note("0", 0)  # the last now
    past.note("more", 1)
    assert [past.get(name) for name in ("0", "1", "2", "more")] == [0, None, 2, 1]


def test_two_become_one() -> None:
    past: Past[int] = Past()
    other: Past[int] = Past()
    past.note("a", 1)
    other.note("b", 2)
    past.add(other)
    assert [past.get(name) for name in "ab"] == [1, 2]
