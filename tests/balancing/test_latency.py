"""How long answers take: what the average believes, and who is asked for it."""

from __future__ import annotations

from random import Random

import pytest

from tests.balancing.candidates import PICKS, Server, first, ordered, servers
from wsproxy.balancing.latency import FAILED_S, FORGOTTEN_S, MEMORY_S, LatencyState, LeastTimePolicy


def test_nothing_is_known_at_first() -> None:
    assert LatencyState().value_s(5.0) is None


def test_a_slower_answer_is_believed_at_once_and_quicker_ones_little_by_little() -> None:
    state = LatencyState()
    state.answered(0.1, 0.0)
    state.answered(0.5, 1.0)
    assert state.value_s(1.0) == 0.5
    state.answered(0.1, 2.0)
    assert state.value_s(2.0) == pytest.approx(0.5 * 0.9048 + 0.1 * 0.0952, rel=1e-3)


def test_many_equal_answers_are_the_average() -> None:
    state = LatencyState()
    state.answered(3.0, 0.0)
    for number in range(10_000):
        state.answered(0.02, number / 100)
    assert state.value_s(100.0) == pytest.approx(0.02, rel=0.01)


def test_what_nobody_confirms_is_forgotten() -> None:
    state = LatencyState()
    state.answered(1.0, 0.0)
    assert state.value_s(MEMORY_S) == pytest.approx(0.368, abs=0.001)
    assert state.value_s(FORGOTTEN_S + 0.1) is None
    state.answered(0.01, FORGOTTEN_S + 0.1)
    assert state.value_s(FORGOTTEN_S + 0.1) == 0.01


def test_who_fails_at_once_is_not_quick() -> None:
    state = LatencyState()
    state.failed(0.001, 0.0)
    assert state.value_s(0.0) == FAILED_S
    state.failed(30.0, 1.0)
    assert state.value_s(1.0) == 30.0


def timed(written: str, *latencies_s: float | None) -> tuple[Server, ...]:
    made = servers(written)
    for server, latency_s in zip(made, latencies_s, strict=True):
        server.latency_s = latency_s
    return made


@pytest.mark.parametrize(
    ("candidates", "expected"),
    [
        (timed("a b c", 0.3, 0.1, 0.2), "bca"),
        (timed("a@0 b@2 c@1", 0.25, 0.1, 0.1), "cab"),  # 0.25, 0.3, 0.2
        (timed("a:2 b", 0.3, 0.2), "ab"),  # twice the weight is half the time
        (timed("a b", 0.001, None), "ba"),  # who is not known yet gets one,
        (timed("a b@1", 0.001, None), "ab"),  # and no more until that is answered
        (timed("a@2 b@1 c", None, None, None), "cba"),
        (timed("a", None), "a"),
    ],
)
def test_the_soonest_answer_comes_first(candidates: tuple[Server, ...], expected: str) -> None:
    assert ordered(LeastTimePolicy(Random(1)), candidates) == expected


def simulated(candidates: tuple[Server, ...], picks: int, in_hand: int) -> dict[str, float]:
    """Shares, with so many requests always in hand, each taking as long as its server does (virtual time)."""
    policy, now = LeastTimePolicy(Random(1)), 0.0
    states = {server.name: LatencyState() for server in candidates}
    true_s = {server.name: server.latency_s or 0.0 for server in candidates}
    counts = dict.fromkeys(states, 0)
    busy: list[tuple[float, Server]] = []
    for _ in range(picks):
        for server in candidates:
            server.latency_s = states[server.name].value_s(now)
        server = first(policy, candidates)
        counts[server.name] += 1
        server.load += 1
        busy.append((now + true_s[server.name], server))
        if len(busy) >= in_hand:
            now, done = min(busy, key=lambda item: item[0])
            busy.remove((now, done))
            done.load -= 1
            states[done.name].answered(true_s[done.name], now)
    return {name: count / picks for name, count in counts.items()}


def test_shares_follow_speed() -> None:
    """Each server's answers take the same time however much it has in hand: so requests in hand even out the costs."""
    found = simulated(timed("a b c", 0.01, 0.02, 0.04), PICKS // 2, in_hand=21)
    assert found == pytest.approx({"a": 16 / 21, "b": 4 / 21, "c": 1 / 21}, abs=0.05)


def test_of_many_the_quick_ones_get_the_most() -> None:
    candidates = timed(" ".join("abcdefghij"), *([0.01] * 5 + [0.1] * 5))
    found = simulated(candidates, PICKS // 2, in_hand=40)
    assert sum(found[name] for name in "abcde") > 0.7  # 7/9 at best: one in 4.5 times both that are drawn are slow
    assert min(found[name] for name in "fghij") > 0.001


def test_everyone_is_named_once() -> None:
    for names in ("a", "ab", "abcd", "abcdefgh"):
        candidates = timed(" ".join(names), *(0.1 for _ in names))
        for _ in range(20):
            assert sorted(ordered(LeastTimePolicy(Random(1)), candidates)) == list(names)
