"""Policies by weight and load: which comes first, which then, and what share each has in the end."""

from __future__ import annotations

from random import Random

import pytest

from tests.balancing.candidates import Server, first, ordered, servers, shares, turns
from wsproxy.balancing.policy import Policy
from wsproxy.balancing.weighted import LeastConnectionsPolicy, TwoChoicesPolicy, WeightedRoundRobinPolicy


class Dice:
    """Falls as it is told, again and again."""

    def __init__(self, *values: float) -> None:
        self._values = values
        self._next = 0

    def random(self) -> float:
        value = self._values[self._next % len(self._values)]
        self._next += 1
        return value


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("a", "aaa"),
        ("a b c", "abcabc"),
        ("a:3 b c", "aabcaaabca"),
        ("a:5 b c", "aaabcaaaaabcaa"),
        ("a:2 b:2", "abababab"),
        ("a:1000 b:500", "abaabaaba"),
        ("a:0 b:0", "abab"),
    ],
)
def test_weighted_turns_are_spread(written: str, expected: str) -> None:
    assert turns(WeightedRoundRobinPolicy(), servers(written), len(expected)) == expected


def test_the_second_choice_of_a_turn_is_the_next_in_line() -> None:
    policy, candidates = WeightedRoundRobinPolicy(), servers("a b c")
    assert [ordered(policy, candidates) for _ in range(4)] == ["abc", "bca", "cab", "abc"]


def test_turns_begin_anew_when_candidates_change() -> None:
    policy = WeightedRoundRobinPolicy()
    assert turns(policy, servers("a b c"), 2) == "ab"
    assert turns(policy, servers("a c"), 3) == "aca"


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("a", "a"),
        ("a@3 b@1 c@2", "bca"),
        ("a@3 b:3@3 c:2@4", "bca"),
        ("a@2 b:4@7 c:2@3", "cba"),  # 2, 1.75, 1.5
        ("a@1 b:0@0", "ba"),
        ("a b c", "abc"),
    ],
)
def test_the_least_loaded_for_its_weight_comes_first(written: str, expected: str) -> None:
    assert ordered(LeastConnectionsPolicy(), servers(written)) == expected


def test_equals_take_turns_by_weight() -> None:
    assert turns(LeastConnectionsPolicy(), servers("a b c"), 6) == "abcabc"
    assert turns(LeastConnectionsPolicy(), servers("a:2 b"), 6) in ("abaaba", "aabaab")


def test_a_load_that_changes_is_seen_at_the_next_pick() -> None:
    policy, (a, b, c) = LeastConnectionsPolicy(), servers("a@1 b@2 c@3")
    assert first(policy, candidates := (a, b, c)) is a
    a.load, c.load = 4, 0
    assert first(policy, candidates) is c


def test_of_many_none_is_preferred_for_long_by_an_old_look() -> None:
    policy, candidates = LeastConnectionsPolicy(), tuple(Server(f"s{n}", load=5) for n in range(100))
    candidates[7].load = 0
    assert first(policy, candidates) is candidates[7]
    candidates[9].load = 0
    picked = [first(policy, candidates) for _ in range(100 // 6)]
    assert picked[:4] == [candidates[7]] * 4  # each pick counts as one in hand
    assert candidates[9] in picked


@pytest.mark.parametrize(
    ("dice", "written", "expected"),
    [
        ((0.0, 0.9), "a@1 b@0 c@0", "cab"),
        ((0.0, 0.9), "a@1 b@0 c@1", "acb"),
        ((0.5, 0.5), "a@0 b@1 c@0", "cba"),  # the same twice: its neighbour is the other one
        ((0.9, 0.9), "a@0 b@1 c@1", "acb"),
        ((0.0, 0.9), "a:3@4 b@1", "ba"),
        ((0.0, 0.9), "a:3@2 b@1", "ab"),
        ((0.3, 0.3), "a", "a"),
    ],
)
def test_the_better_of_two_comes_first(dice: tuple[float, ...], written: str, expected: str) -> None:
    assert ordered(TwoChoicesPolicy(Dice(*dice)), servers(written)) == expected


def every_policy() -> list[Policy]:
    return [WeightedRoundRobinPolicy(), LeastConnectionsPolicy(), TwoChoicesPolicy(Random(1))]


@pytest.mark.parametrize("policy", every_policy(), ids=lambda policy: type(policy).__name__)
def test_everyone_is_named_once(policy: Policy) -> None:
    for candidates in (servers("a"), servers("a b:2"), servers("a:5 b:0@3 c@1 d@7 e:1000@1000")):
        for _ in range(20):
            assert sorted(ordered(policy, candidates)) == [server.name for server in candidates]


@pytest.mark.parametrize("policy", every_policy(), ids=lambda policy: type(policy).__name__)
def test_shares_follow_the_weights(policy: Policy) -> None:
    """One request at a time, then a hundred in hand."""
    for in_hand in (0, 100):
        found = shares(policy, servers("a:5 b:3 c:2"), in_hand=in_hand)
        assert found == pytest.approx({"a": 0.5, "b": 0.3, "c": 0.2}, abs=0.02)


@pytest.mark.parametrize(("policy", "spread"), [(LeastConnectionsPolicy(), 1), (TwoChoicesPolicy(Random(1)), 9)])
def test_loads_stay_even(policy: Policy, spread: int) -> None:
    """By chance alone they would be 30 apart."""
    candidates = servers("a b c d e f g h i j")
    shares(policy, candidates, 20_000, in_hand=1000)
    loads = [server.load for server in candidates]
    assert sum(loads) == 1000
    assert max(loads) - min(loads) <= spread + 1
