"""What the keys of `[cache]`, and of the routes that use it, must say of each other.

Pure. Part of `crosscheck`, with its rule: a setting that was refused already is passed over.
"""

from __future__ import annotations

from collections.abc import Iterator

from wsproxy.config.errors import Problem
from wsproxy.config.schema import CACHE
from wsproxy.config.sections import ParsedSection


def check_cache(section: ParsedSection) -> Iterator[Problem]:
    """A store in Redis needs to know where that is; an answer that may be kept must fit in."""
    fields = section.fields(CACHE)
    store, url = section.get("store"), section.settings.get("redis_url")
    if fields["store"] == "redis" and url is None and store is not None:
        yield store.place.problem("'store = redis' needs a 'redis_url' (write redis_url = redis://127.0.0.1:6379/0)")
    for key in ("redis_url", "redis_timeout"):
        if fields["store"] != "redis" and (setting := section.settings.get(key)) is not None:
            yield setting.key_place.problem(f"'{key}' has no effect without 'store = redis'")
    most, largest = section.get("max_entry_size"), section.get("max_size")
    if fields["max_entry_size_bytes"] > fields["max_size_bytes"] and (told := most or largest) is not None:
        yield told.place.problem("max_entry_size is more than max_size: such an answer would push out all others")


def check_caching_route(section: ParsedSection) -> Iterator[Problem]:
    """A WebSocket is not kept, and what the cache is told needs a cache."""
    cache, cache_control = section.get("cache"), section.settings.get("cache_control")
    is_on = cache is not None and cache.value
    if section.kind.name == "websocket" and cache is not None and is_on:
        yield cache.key_place.problem(f"[{section.name}] relays WebSockets: there is nothing to keep (remove 'cache')")
    elif cache_control is not None and not is_on:
        yield cache_control.key_place.problem(f"'cache_control' needs 'cache = yes' in [{section.name}]")
