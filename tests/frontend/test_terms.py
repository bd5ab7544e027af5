"""What the relays of a route go by."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from wsproxy.config.model import Rate, WebSocketSettings
from wsproxy.frontend.terms import LIFETIME_JITTER, RelayTerms
from wsproxy.net.deadlines import NEVER


def terms(settings: WebSocketSettings) -> RelayTerms:
    return RelayTerms(settings, random.Random(1))


def test_sessions_that_came_together_do_not_go_together() -> None:
    it = terms(WebSocketSettings(max_lifetime_s=100.0))
    ends = [it.end_of_life(1000.0) for _ in range(1000)]
    assert min(ends) >= 1100 - 100 * LIFETIME_JITTER
    assert max(ends) <= 1100
    assert max(ends) - min(ends) > 9


def test_without_a_limit_a_session_lives_for_ever() -> None:
    assert terms(WebSocketSettings(max_lifetime_s=None)).end_of_life(1000.0) == NEVER


@pytest.mark.parametrize(
    ("settings", "limited"),
    [
        (WebSocketSettings(), None),
        (WebSocketSettings(message_rate=Rate(5, 1)), (True, False)),
        (WebSocketSettings(byte_rate=Rate(500, 1)), (False, True)),
    ],
)
def test_a_client_gets_buckets_of_its_own_for_what_is_limited(
    settings: WebSocketSettings, limited: tuple[bool, bool] | None
) -> None:
    it = terms(settings)
    first, second = it.client_rates(0.0), it.client_rates(0.0)
    assert (None if first is None else tuple(rate is not None for rate in first)) == limited
    if first is not None and second is not None:
        assert all(one is None or one is not other for one, other in zip(first, second, strict=True))


def test_a_reload_changes_limits_and_pings_and_keeps_counters_and_marker() -> None:
    it = terms(WebSocketSettings(ping_interval_s=20.0))
    marker, totals = it.marker, it.totals
    it.use(replace(it.settings, ping_interval_s=None, max_lifetime_s=10.0))
    assert it.keepalive.ping_interval_s == 0.0
    assert it.end_of_life(0.0) <= 10.0
    assert it.marker is marker
    assert it.totals is totals


def test_no_two_routes_send_the_same_pings() -> None:
    assert terms(WebSocketSettings()).marker != terms(WebSocketSettings()).marker
