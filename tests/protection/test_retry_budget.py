"""The budget: a floor, a share of the traffic, and a window after which both begin anew."""

from __future__ import annotations

from wsproxy.protection.retry_budget import WINDOW_S, RetryBudgetState


def spend(budget: RetryBudgetState, now: float, requests: int, wanted: int) -> int:
    """How many of the wanted retries are let through while no first attempt comes."""
    spent = 0
    for _ in range(wanted):
        if budget.try_spend(now, requests + spent):
            spent += 1
    return spent


def test_the_floor_is_three_a_second() -> None:
    assert spend(RetryBudgetState(), 1000.0, 0, 1000) == 30


def test_traffic_adds_a_fifth_of_itself() -> None:
    budget = RetryBudgetState()
    assert budget.try_spend(0.0, 500)
    assert spend(budget, 5.0, 500 + 1 + 1000, 1000) == 29 + 200


def test_retries_are_no_traffic() -> None:
    budget = RetryBudgetState()
    requests = retried = 0
    for _ in range(10_000):  # every first attempt fails, and so does its retry
        requests += 1
        if budget.try_spend(3.0, requests):
            requests += 1
            retried += 1
    assert 0.2 * 10_000 <= retried <= 0.2 * 10_000 + 30


def test_a_window_later_it_begins_anew() -> None:
    budget = RetryBudgetState()
    assert spend(budget, 0.0, 0, 100) == 30
    assert spend(budget, WINDOW_S - 0.1, 30, 100) == 0
    assert spend(budget, WINDOW_S, 30, 100) == 30


def test_what_was_before_a_quiet_night_counts_no_more() -> None:
    budget = RetryBudgetState()
    assert budget.try_spend(0.0, 0)
    assert spend(budget, 30_000.0, 1_000_000, 1000) == 30
