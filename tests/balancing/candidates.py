"""Backends as the tests of policies make them: a name, a weight, a load."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from wsproxy.balancing.policy import Policy

PICKS = 100_000


@dataclass(eq=False)
class Server:
    """A candidate whose load the test sets."""

    name: str
    weight: int = 1
    load: int = 0
    latency_s: float | None = None


def servers(written: str) -> tuple[Server, ...]:
    """`a b:3 c@5 d:2@1`: names with weights behind `:` and loads behind `@`."""
    made = []
    for word in written.split():
        rest, _, load = word.partition("@")
        name, _, weight = rest.partition(":")
        made.append(Server(name, int(weight or 1), int(load or 0)))
    return tuple(made)


def ordered(policy: Policy, candidates: tuple[Server, ...], key: bytes = b"") -> str:
    """The names in the order of one pick."""
    return "".join(server.name for server in policy.order(candidates, key))


def first(policy: Policy, candidates: tuple[Server, ...], key: bytes = b"") -> Server:
    """The preferred one; nobody asks for the second."""
    return next(policy.order(candidates, key))


def shares(policy: Policy, candidates: tuple[Server, ...], picks: int = PICKS, in_hand: int = 0) -> dict[str, float]:
    """Of so many picks, the share of each. in_hand: so many of the latest ones are still being carried at any time."""
    counts: Counter[str] = Counter()
    carried: list[Server] = []
    for number in range(picks):
        server = first(policy, candidates, b"client %d" % number)
        counts[server.name] += 1
        if in_hand:
            server.load += 1
            carried.append(server)
            if len(carried) > in_hand:
                carried[number % in_hand], carried[-1] = carried[-1], carried[number % in_hand]
                carried.pop().load -= 1
    return {name: count / picks for name, count in counts.items()}


def turns(policy: Policy, candidates: tuple[Server, ...], count: int) -> str:
    """The first choices of so many picks in a row."""
    return "".join(first(policy, candidates).name for _ in range(count))
