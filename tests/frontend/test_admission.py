"""The gate of a route: what is asked in which order, and how a refusal is counted."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.fakes import make_head, run
from tests.frontend.test_overload import Load
from wsproxy.config.budget_settings import OverloadSettings
from wsproxy.config.model import Rate, RateLimit, RateLimitSettings
from wsproxy.frontend.admission import Gate, NotAdmittedError, Refusals
from wsproxy.frontend.overload import Overload
from wsproxy.frontend.request_totals import RequestTotals
from wsproxy.limiting.gate import RouteGate


def answered(totals: RequestTotals) -> dict[int, int]:
    return {each.code: each.total.count for each in totals.answered()}


def refused_by(gate: Gate, is_first: bool = True) -> NotAdmittedError:
    async def main() -> None:
        await gate.admit(make_head(), "192.0.2.1", is_first)

    with pytest.raises(NotAdmittedError) as refusal:
        run(main)
    return refusal.value


def limits(requests: int) -> RouteGate:
    return RouteGate("api", RateLimitSettings(limits=(RateLimit(Rate(requests, 60), requests),)), None)


def test_what_is_over_its_rate_is_told_when_to_come_again_on_the_same_connection() -> None:
    totals = RequestTotals()
    gate = Gate(limits(1), None, Refusals("api", totals, None))

    async def first() -> None:
        assert (await gate.admit(make_head(), "192.0.2.1", is_first=True)).wait_s == 0.0

    run(first)
    refusal = refused_by(gate, is_first=False)
    assert (refusal.status, refusal.route, refusal.may_go_on) == (429, "api", True)
    assert refusal.fields.startswith(b"Retry-After: ")
    assert answered(totals) == {429: 1}


@pytest.mark.parametrize(
    ("budget", "load", "may_go_on"),
    [
        (OverloadSettings(max_connections=1), Load(connections=2), False),
        (OverloadSettings(max_buffered_bytes=1), Load(upstream_bytes=2), True),
    ],
)
def test_where_there_is_no_room_nobody_asks_the_rates(budget: OverloadSettings, load: Load, may_go_on: bool) -> None:
    overload = Overload(budget, load)
    overload.look(0.0)
    totals, handshakes = RequestTotals(), Counter[str]()
    rates = limits(1)
    refusal = refused_by(Gate(rates, overload, Refusals("live", totals, handshakes)))
    assert (refusal.status, refusal.may_go_on) == (503, may_go_on)
    assert refusal.fields == b"Retry-After: 1\r\n"
    assert answered(totals) == {503: 1}
    assert handshakes == {"overload": 1}
    assert rates.entries == 0


def test_only_handshakes_are_bound_by_the_budget_of_handshakes() -> None:
    load = Load()
    load.handshakes = 1
    overload = Overload(OverloadSettings(max_handshakes=1), load)
    plain = Gate(None, overload, Refusals("api", RequestTotals(), None))

    async def passes() -> None:
        assert (await plain.admit(make_head(), "192.0.2.1", is_first=True)).lines == b""

    run(passes)
    refused_by(Gate(None, overload, Refusals("live", RequestTotals(), Counter())))
    assert overload.refused == {"handshakes": 1}
