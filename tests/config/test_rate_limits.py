"""What the keys of a rate limit mean, and what they must say of each other."""

from __future__ import annotations

import pytest

from tests.config.test_crosscheck import problems
from wsproxy.config.build import load
from wsproxy.config.model import Rate, RateLimit, RateLimitSettings, RequestKey
from wsproxy.config.shown import MASK, shown

_HEAD = "[frontend]\nport = 80\n[http]\nserver1 = a:1\n"  # lines 1 to 4
_LIMIT = "(write ip, header:NAME, cookie:NAME, query:NAME, path or route)"
_URL = "(write redis://host:6379/0, rediss://… or unix:///path)"
_HASH = "(write header:NAME, cookie:NAME, query:NAME, path or ip)"
_STICKY = "(write cookie, cookie:NAME, header:NAME, query:NAME or ip)"


def settings(lines: str) -> RateLimitSettings:
    (route,) = load(_HEAD + lines, "p.ini", {}, "/").routes
    return route.rate_limit


def test_without_a_rate_nothing_is_limited() -> None:
    assert settings("").limits == ()


def test_a_rate_alone_counts_by_address_and_lets_that_many_come_at_once() -> None:
    assert settings("rate_limit = 100/m").limits == (RateLimit(Rate(100, 60.0), 100, RequestKey("ip"), "ip 100/m"),)


def test_several_rates_with_their_bursts_and_keys() -> None:
    written = """rate_limit = 10/s
  1000/h
rate_limit_burst = 20
  5000
rate_limit_key = header:X-Api-Key
  route
rate_limit_entries = 5000
"""
    found = settings(written)
    assert found.limits == (
        RateLimit(Rate(10, 1.0), 20, RequestKey("header", "x-api-key"), "header 10/s"),
        RateLimit(Rate(1000, 3600.0), 5000, RequestKey("route"), "route 1000/h"),
    )
    assert (found.entries, found.store) == (5000, "memory")


def test_one_key_is_that_of_every_rate() -> None:
    found = settings("rate_limit = 10/s\n  1000/h\nrate_limit_key = cookie:id").limits
    assert [limit.key for limit in found] == [RequestKey("cookie", "id")] * 2


def test_a_shared_store_and_its_url_which_nobody_is_shown() -> None:
    url = "redis://:secret@127.0.0.1:6379/1"
    text = _HEAD + f"rate_limit = 1/s\nrate_limit_store = redis\nredis_url = {url}"
    config = load(text, "p.ini", {}, "/")
    assert config.routes[0].rate_limit.redis_url == url
    assert config.routes[0].rate_limit.place == "p.ini:6:20"
    assert shown(config)["routes"][0]["rate_limit"]["redis_url"] == MASK


@pytest.mark.parametrize(
    "url", ["redis://cache", "rediss://u:p@cache:6380/2", "unix:///run/redis.sock", "redis://[::1]:1"]
)
def test_urls_of_a_store(url: str) -> None:
    assert settings(f"rate_limit = 1/s\nrate_limit_store = redis\nredis_url = {url}").redis_url == url


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("rate_limit = 5", ["5:14: '5' is not a rate (write 5/s, 100/m)"]),
        ("rate_limit = 0/s", ["5:14: '0/s' is not a rate of 1 to 999999999 (write 5/s, 100/m)"]),
        ("rate_limit =", ["5:1: 'rate_limit' has no value (write one, or remove the key)"]),
        ("rate_limit_key = ip", ["5:1: 'rate_limit_key' needs a 'rate_limit' in [http]"]),
        ("rate_limit_burst = 5", ["5:1: 'rate_limit_burst' needs a 'rate_limit' in [http]"]),
        (
            "rate_limit = 5/s\nrate_limit_burst = 5\n  6",
            ["6:20: each rate_limit needs its rate_limit_burst, in the same order (there are 1 and 2)"],
        ),
        (
            "rate_limit = 5/s\n  6/m\n  7/h\nrate_limit_key = ip\n  route",
            ["8:18: each rate_limit needs its rate_limit_key, in the same order (there are 3 and 2)"],
        ),
        ("rate_limit = 5/s\nrate_limit_burst = 0", ["6:20: '0' is not a number of requests (1 to 999999999)"]),
        (
            "rate_limit = 5/s\nrate_limit_key = cookie",
            ["6:18: 'cookie' does not say which cookie (write cookie:NAME)"],
        ),
        (
            "rate_limit = 5/s\nrate_limit_key = body",
            ["6:18: 'body' is not a part of a request " + _LIMIT],
        ),
        (
            "rate_limit = 5/s\nrate_limit_store = redis",
            ["6:20: rate_limit_store = redis needs a 'redis_url' (redis://host:6379/0)"],
        ),
        (
            "rate_limit = 5/s\nredis_url = redis://a",
            ["6:1: 'redis_url' has no effect without rate_limit_store = redis"],
        ),
        (
            "rate_limit = 5/s\nrate_limit_store = redis\nredis_url = http://a",
            ["7:13: this is not the URL of a Redis server " + _URL],
        ),
        (
            "rate_limit = 5/s\nrate_limit_store = redis\nredis_url = redis://:pw@a:x",
            ["7:13: the port of this URL is not a number from 1 to 65535"],
        ),
        (
            "rate_limit = 5/s\nrate_limit_store = redis\nredis_url = redis://a/b",
            ["7:13: the path of this URL is not the number of a database (write redis://host:6379/0)"],
        ),
        (
            "hash_key = route\nalgorithm = hash",
            ["5:12: 'route' tells no request from another " + _HASH],
        ),
        (
            "sticky = route",
            ["5:10: 'route' tells no client from another " + _STICKY],
        ),
    ],
)
def test_what_is_wrong(lines: str, expected: list[str]) -> None:
    assert problems(_HEAD + lines) == [f"a.ini:{each}" for each in expected]
