"""The keys of `[cache]` and of the routes that use it: what may be written, and what is built of it."""

from __future__ import annotations

import pytest

from wsproxy.config.build import load
from wsproxy.config.cache_settings import CacheSettings
from wsproxy.config.errors import ConfigError
from wsproxy.config.model import Config

BEFORE = "[frontend]\nport = 80\n[http]\nserver1 = a:1\n"


def built(text: str) -> Config:
    return load(BEFORE + text, "a.ini", {}, "/etc")


def test_without_a_section_there_are_defaults() -> None:
    config = built("cache = yes\n")
    assert config.cache == CacheSettings()
    assert config.routes[0].cache


def test_everything_that_can_be_written() -> None:
    config = built(
        'cache = yes\ncache_control = public, s-maxage=60, no-cache="x-a, b"\n'
        "[cache]\nstore = redis\nredis_url = redis://:secret@127.0.0.1:6379/3\nredis_timeout = 100ms\nmax_size = 1g\n"
        "max_entry_size = 2m\ndefault_ttl = 1m\nheuristic = yes\nstale_while_revalidate = 30s\nstale_if_error = 1h\n"
        "wait_timeout = 2s\nobey_clients = no\nmethods = get\ncache_ignore = /account, /cart\n  HEAD\n"
    )
    assert config.routes[0].cache_control == 'public, s-maxage=60, no-cache="x-a, b"'
    assert config.cache == CacheSettings(
        store="redis",
        redis_url="redis://:secret@127.0.0.1:6379/3",
        redis_timeout_s=0.1,
        max_size_bytes=2**30,
        max_entry_size_bytes=2 * 2**20,
        default_ttl_s=60.0,
        heuristic=True,
        stale_while_revalidate_s=30.0,
        stale_if_error_s=3600.0,
        wait_timeout_s=2.0,
        obey_clients=False,
        methods=("GET",),
        cache_ignore=("/account", "/cart", "HEAD"),
    )
    assert config.cache.place == "a.ini:9:13"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cache = maybe", "5:9: 'maybe' is neither yes nor no"),
        ("cache_control = no-store", "5:1: 'cache_control' needs 'cache = yes' in [http]"),
        (
            "cache = yes\ncache_control = max-age: 5",
            "6:17: 'max-age: 5' is not a directive of Cache-Control (write public, max-age=60)",
        ),
        ("[cache]\nstore = disk", "6:9: 'disk' is not one of memory, redis"),
        (
            "[cache]\nstore = redis",
            "6:9: 'store = redis' needs a 'redis_url' (write redis_url = redis://127.0.0.1:6379/0)",
        ),
        ("[cache]\nredis_url = redis://a", "6:1: 'redis_url' has no effect without 'store = redis'"),
        (
            "[cache]\nstore = redis\nredis_url = http://:secret@a",
            "7:13: this is not the URL of a Redis server (write redis://host:6379/0, rediss://… or unix:///path)",
        ),
        (
            "[cache]\nmax_size = 1m\nmax_entry_size = 2m",
            "7:18: max_entry_size is more than max_size: such an answer would push out all others",
        ),
        ("[cache]\nmethods = POST", "6:11: answers to 'POST' are never kept (write GET, or GET HEAD)"),
        ("[cache]\ncache_ignore = /a b", "6:16: 'b' is neither a path nor a method (write /account or HEAD)"),
        ("[cache]\ncache_ignore = /a?b", "6:16: '/a?b' is more than a path ('?' and '#' cannot stand in it)"),
        (
            "[websocket]\nserver1 = b:1\ncache = yes",
            "7:1: [websocket] relays WebSockets: there is nothing to keep (remove 'cache')",
        ),
    ],
)
def test_mistakes(text: str, expected: str) -> None:
    with pytest.raises(ConfigError) as refused:
        built(text)
    assert str(refused.value) == f"a.ini:{expected}"


def test_the_password_of_redis_is_in_no_message() -> None:
    with pytest.raises(ConfigError) as refused:
        built("[cache]\nstore = redis\nredis_url = redsi://:secret@a\n")
    assert "secret" not in str(refused.value)
