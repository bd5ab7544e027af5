"""The ring and the policy that goes by it: keys stay where they are, and nobody is overrun."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from tests.balancing.candidates import PICKS, Server, first, ordered, servers, shares
from wsproxy.balancing.hashing import HashPolicy
from wsproxy.balancing.ring import POINTS, Ring, points_of

TEN = tuple(Server(f"10.0.0.{number}:9000") for number in range(10))
KEYS = [b"key %d" % number for number in range(20_000)]


def owners(candidates: tuple[Server, ...]) -> dict[bytes, str]:
    policy = HashPolicy(Random(1))
    return {key: first(policy, candidates, key).name for key in KEYS}


def test_a_key_is_found_again_in_any_process() -> None:
    """By the names alone, so after a restart too: these are written down."""
    orders = [ordered(HashPolicy(Random(1)), servers("a b c"), key) for key in (b"x", b"y", b"z")]
    assert orders == ["cba", "bca", "bac"]


def test_points_are_different_and_stay_when_there_are_more() -> None:
    assert points_of("a", 20)[:11] == points_of("a", 11)
    assert len(set(points_of("a", POINTS)) | set(points_of("b", POINTS))) == 2 * POINTS


def test_a_server_that_leaves_moves_its_keys_and_no_others() -> None:
    before, after = owners(TEN), owners(TEN[:4] + TEN[5:])
    moved = {key for key in KEYS if before[key] != after[key]}
    assert moved == {key for key in KEYS if before[key] == TEN[4].name}
    assert 0.07 < len(moved) / len(KEYS) < 0.13
    heirs = Counter(after[key] for key in moved)
    assert len(heirs) == 9
    assert max(heirs.values()) < 0.3 * len(moved)


def test_the_heir_is_the_second_choice() -> None:
    for key in KEYS[:200]:
        ring = Ring(TEN)
        choice, heir, *_ = (TEN[index].name for index in ring.walk(key))
        assert first(HashPolicy(Random(1)), tuple(s for s in TEN if s.name != choice), key).name == heir


def test_the_order_of_the_servers_in_the_file_makes_no_difference() -> None:
    assert owners(TEN) == owners(TEN[::-1])


@pytest.mark.parametrize(
    ("written", "expected"), [("a:2 b:1 c:1", {"a": 0.5, "b": 0.25, "c": 0.25}), ("a", {"a": 1.0})]
)
def test_shares_follow_the_weights(written: str, expected: dict[str, float]) -> None:
    assert shares(HashPolicy(Random(1)), servers(written)) == pytest.approx(expected, abs=0.06)


def test_many_keys_are_spread_evenly() -> None:
    found = shares(HashPolicy(Random(1)), TEN)
    assert all(0.075 < share < 0.125 for share in found.values())


def test_what_has_no_key_goes_anywhere() -> None:
    policy = HashPolicy(Random(1))
    counts = Counter(first(policy, TEN).name for _ in range(PICKS // 10))
    assert all(700 < counts[server.name] < 1300 for server in TEN)


def test_one_key_alone_stays_until_there_is_too_much_of_it() -> None:
    policy, candidates = HashPolicy(Random(1)), servers("a b c d")
    owner = first(policy, candidates, b"k")
    owner.load = 7
    assert first(policy, candidates, b"k") is owner
    owner.load = 8
    heir = first(policy, candidates, b"k")
    assert heir is not owner
    assert ordered(policy, candidates, b"k").endswith(owner.name)
    for server in candidates:
        server.load = 8
    assert first(policy, candidates, b"k") is owner  # everyone has as much: it is none too much


def test_with_many_servers_loads_are_not_read_at_each_pick() -> None:
    policy, candidates = HashPolicy(Random(1)), tuple(Server(f"s{number}") for number in range(60))
    owner = first(policy, candidates, b"k")
    for server in candidates:
        server.load = 7
    owner.load = 8
    assert first(policy, candidates, b"k") is not owner  # as far as is known, nobody else has anything
    for _ in range(60 // 6):
        picked = first(policy, candidates, b"k")
    assert picked is owner


def test_no_server_has_much_more_than_its_share_of_a_hot_key() -> None:
    policy, candidates = HashPolicy(Random(1)), servers("a b c d")
    for _ in range(400):
        first(policy, candidates, b"hot").load += 1
    loads = sorted(server.load for server in candidates)
    assert loads[-1] <= 126  # 1.25 times a quarter of it, rounded up
    assert loads[0] < loads[-1]
