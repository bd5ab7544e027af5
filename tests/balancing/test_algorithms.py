"""The order in which backends are preferred: each once, and the first fairly chosen."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from tests.balancing.candidates import ordered, servers
from wsproxy.balancing.algorithms import RandomPolicy, RoundRobinPolicy, make_policy
from wsproxy.balancing.hashing import HashPolicy
from wsproxy.balancing.latency import LeastTimePolicy
from wsproxy.balancing.weighted import LeastConnectionsPolicy, TwoChoicesPolicy, WeightedRoundRobinPolicy
from wsproxy.config.choosing import ALGORITHMS

BACKENDS = ("a", "b", "c")


class Fixed:
    """A die that always falls the same way."""

    def __init__(self, value: float) -> None:
        self.value = value

    def random(self) -> float:
        return self.value


@pytest.mark.parametrize(("value", "order"), [(0.0, "abc"), (0.34, "bca"), (0.67, "cab"), (0.9999999999999999, "cab")])
def test_random_begins_anywhere_and_wraps(value: float, order: str) -> None:
    assert "".join(RandomPolicy(Fixed(value)).order(BACKENDS)) == order


def test_random_is_fair() -> None:
    policy = RandomPolicy(Random(1))
    first = Counter(next(policy.order(BACKENDS)) for _ in range(3000))
    assert all(900 < first[backend] < 1100 for backend in BACKENDS)


def test_round_robin_takes_turns() -> None:
    policy = RoundRobinPolicy()
    assert ["".join(policy.order(BACKENDS)) for _ in range(4)] == ["abc", "bca", "cab", "abc"]


def test_round_robin_goes_on_when_a_backend_leaves() -> None:
    policy = RoundRobinPolicy()
    for _ in range(2):
        next(policy.order(BACKENDS))
    assert "".join(policy.order(("a", "b"))) == "ab"
    assert "".join(policy.order(("a",))) == "a"
    assert "".join(policy.order(BACKENDS)) == "abc"


def test_an_order_nobody_asked_a_name_of_takes_no_turn() -> None:
    policy = RoundRobinPolicy()
    policy.order(BACKENDS)
    assert next(policy.order(BACKENDS)) == "a"


KINDS = {
    "random": RandomPolicy,
    "round-robin": RoundRobinPolicy,
    "weighted-round-robin": WeightedRoundRobinPolicy,
    "least-connections": LeastConnectionsPolicy,
    "two-choices": TwoChoicesPolicy,
    "least-time": LeastTimePolicy,
    "ip-hash": HashPolicy,
    "hash": HashPolicy,
}


@pytest.mark.parametrize(("algorithm", "kind"), KINDS.items())
def test_each_name_makes_its_policy(algorithm: str, kind: type) -> None:
    assert isinstance(make_policy(algorithm, Random(1)), kind)


def test_every_word_of_the_file_has_a_policy() -> None:
    assert set(KINDS) == set(ALGORITHMS)


def test_each_route_has_turns_of_its_own() -> None:
    first, second = make_policy("round-robin", Random(1)), make_policy("round-robin", Random(1))
    candidates = servers("a b c")
    next(first.order(candidates))
    assert ordered(second, candidates) == "abc"


def test_an_unknown_name_is_an_error() -> None:
    with pytest.raises(KeyError):
        make_policy("best", Random(1))
