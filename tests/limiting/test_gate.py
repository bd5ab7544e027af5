"""The gate of a route: for whom a request counts, and what it is told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from wsproxy.config.model import Rate, RateLimit, RateLimitSettings, RequestKey
from wsproxy.http.codec import read_request_head
from wsproxy.http.messages import HeadLimits, RequestHead
from wsproxy.limiting.gate import RouteGate, Verdict

SLOW = Rate(2, 3600.0)
"""So slow that no token comes while a test runs."""


def head(target: bytes = b"/", *lines: bytes) -> RequestHead:
    fields = b"".join(line + b"\r\n" for line in (b"Host: a", *lines))
    parsed = read_request_head(b"GET %b HTTP/1.1\r\n%b\r\n" % (target, fields), HeadLimits())
    assert parsed is not None
    return parsed[0]


def gate(*limits: RateLimit) -> RouteGate:
    named = tuple(replace(limit, name=f"{limit.key.source} 2/h") for limit in limits)
    return RouteGate("http", RateLimitSettings(named), None)


def ask(asked: RouteGate, request: RequestHead | None = None, client: str = "192.0.2.1") -> Verdict:
    verdict = asked.ask(request or head(), client)
    assert isinstance(verdict, Verdict)
    return verdict


def passes(asked: RouteGate, request: RequestHead | None = None, client: str = "192.0.2.1") -> bool:
    return not ask(asked, request, client).wait_s


def test_what_passes_is_told_what_is_left() -> None:
    asked = gate(RateLimit(SLOW, 2))
    policy = b'RateLimit-Policy: "ip 2/h";q=2;w=3600\r\n'
    assert ask(asked).lines == policy + b'RateLimit: "ip 2/h";r=1;t=1800\r\n'
    assert ask(asked).lines == policy + b'RateLimit: "ip 2/h";r=0;t=3600\r\n'
    assert asked.refused == 0


def test_what_does_not_pass_is_told_how_long_to_wait() -> None:
    asked = gate(RateLimit(SLOW, 1))
    ask(asked)
    verdict = ask(asked)
    assert verdict.wait_s == pytest.approx(1800, abs=5)
    assert verdict.refusal_lines == (
        b'Retry-After: 1800\r\nRateLimit-Policy: "ip 2/h";q=1;w=1800\r\nRateLimit: "ip 2/h";r=0;t=1800\r\n'
    )
    assert asked.refused == 1


def test_a_wait_is_never_told_as_none() -> None:
    asked = gate(RateLimit(Rate(1000, 1.0), 1))
    ask(asked)
    while passes(asked):
        pass
    assert Verdict(0.0004, b"").refusal_lines == b"Retry-After: 1\r\n"


@pytest.mark.parametrize(
    ("key", "one", "same", "other"),
    [
        (RequestKey("header", "x-key"), head(b"/", b"X-Key: a"), head(b"/q", b"x-key: a"), head(b"/", b"X-Key: b")),
        (
            RequestKey("cookie", "id"),
            head(b"/", b"Cookie: id=1"),
            head(b"/", b"Cookie: z=0; id=1"),
            head(b"/", b"Cookie: id=2"),
        ),
        (RequestKey("query", "key"), head(b"/?key=1"), head(b"/other?x&key=1"), head(b"/?key=2")),
        (RequestKey("path"), head(b"/a?1"), head(b"/a?2"), head(b"/b")),
        (
            RequestKey("header", "x-key"),
            head(b"/", b"X-Key: " + b"k" * 5000 + b"1"),
            head(b"/", b"X-Key: " + b"k" * 5000 + b"1"),
            head(b"/", b"X-Key: " + b"k" * 5000 + b"2"),
        ),
    ],
)
def test_what_requests_count_by(key: RequestKey, one: RequestHead, same: RequestHead, other: RequestHead) -> None:
    asked = gate(RateLimit(SLOW, 1, key))
    assert passes(asked, one, "192.0.2.1")
    assert not passes(asked, same, "192.0.2.2")
    assert passes(asked, other, "192.0.2.1")


def test_by_address_an_ipv6_network_is_one_client() -> None:
    asked = gate(RateLimit(SLOW, 1))
    assert passes(asked, client="2001:db8::1")
    assert not passes(asked, client="2001:db8::2")
    assert passes(asked, client="2001:db8:0:1::2")
    assert passes(asked, client="192.0.2.1")


def test_a_whole_route_is_one_bucket() -> None:
    asked = gate(RateLimit(SLOW, 1, RequestKey("route")))
    assert passes(asked, client="192.0.2.1")
    assert not passes(asked, head(b"/other"), client="192.0.2.2")


def test_leaving_the_key_out_is_no_way_around_and_no_way_into_anothers_bucket() -> None:
    asked = gate(RateLimit(SLOW, 1, RequestKey("header", "x-key")))
    assert passes(asked, client="192.0.2.1")
    assert not passes(asked, client="192.0.2.1")
    assert passes(asked, client="192.0.2.2")
    assert passes(asked, head(b"/", b"X-Key: 192.0.2.1"))


def test_of_several_limits_each_must_allow_it_and_a_refused_request_costs_none() -> None:
    asked = gate(RateLimit(SLOW, 5), RateLimit(SLOW, 2, RequestKey("route")))
    assert ask(asked).lines.endswith(b'RateLimit: "ip 2/h";r=4;t=1800, "route 2/h";r=1;t=1800\r\n')
    assert passes(asked)
    for _ in range(20):
        assert not passes(asked)
    asked.use(RateLimitSettings((RateLimit(SLOW, 5),)), None)
    assert [passes(asked) for _ in range(4)] == [True, True, True, False]


def test_a_reload_keeps_what_was_counted() -> None:
    asked = gate(RateLimit(SLOW, 2))
    assert [passes(asked) for _ in range(3)] == [True, True, False]
    asked.use(RateLimitSettings((RateLimit(SLOW, 2), RateLimit(SLOW, 9, RequestKey("route")))), None)
    assert not passes(asked)
    asked.use(RateLimitSettings((RateLimit(SLOW, 2, RequestKey("path")),)), None)
    assert passes(asked)
    assert (asked.entries, asked.evicted) == (1, 0)
