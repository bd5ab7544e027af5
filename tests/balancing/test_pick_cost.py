"""What a pick costs: of a hundred backends few are looked at, and no policy takes longer than 3 microseconds."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

import pytest

from tests.balancing.candidates import Server
from tests.yardstick import cost_s
from wsproxy.balancing.algorithms import make_policy
from wsproxy.config.choosing import ALGORITHMS

LIMIT_US = 3.0
PICKS_A_ROUND = 1000
ROUNDS = 40
"""The quickest of so many rounds: the others were disturbed by whatever else the machine does."""

LOOKS_A_PICK = 20
"""On average. Now and then a policy goes through all of them, which makes 12 a pick at most; each time, it is 100."""


@dataclass
class Watched:
    """A candidate that counts how often any of them is looked at."""

    number: int
    looks: list[int]

    def _seen(self) -> int:
        self.looks[0] += 1
        return self.number

    @property
    def name(self) -> str:
        return f"10.0.0.{self._seen()}:80"

    @property
    def weight(self) -> int:
        return 100 + 0 * self._seen()

    @property
    def load(self) -> int:
        return self._seen() % 7

    @property
    def latency_s(self) -> float | None:
        return self._seen() / 1000


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_of_a_hundred_few_are_looked_at(algorithm: str) -> None:
    policy = make_policy(algorithm, Random(1))
    looks = [0]
    candidates = tuple(Watched(number, looks) for number in range(100))
    next(policy.order(candidates, b"the first, which makes the ring"))
    looks[0] = 0
    for number in range(PICKS_A_ROUND):
        next(policy.order(candidates, b"client %d" % number))
    assert looks[0] < LOOKS_A_PICK * PICKS_A_ROUND


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_of_a_hundred(algorithm: str) -> None:
    policy = make_policy(algorithm, Random(1))
    candidates = tuple(Server(f"10.0.0.{n}:80", weight=100, load=n % 7, latency_s=n / 1000) for n in range(100))
    keys = [b"client %d" % number for number in range(PICKS_A_ROUND)]

    def picks() -> None:
        for key in keys:
            for _server in policy.order(candidates, key):
                break

    limit_s = LIMIT_US * PICKS_A_ROUND / 1e6
    assert cost_s(picks, limit_s, ROUNDS) < limit_s
