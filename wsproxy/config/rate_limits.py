"""What the keys of a route's rate limits say together: their problems, and the settings that they become.

Pure. The lines of `rate_limit`, `rate_limit_burst` and `rate_limit_key` belong together, the first to the first; one
key that stands alone is that of every rate.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from wsproxy.config.errors import Problem
from wsproxy.config.model import RateLimit, RateLimitSettings, RequestKey
from wsproxy.config.schema import RATE_LIMIT
from wsproxy.config.sections import ParsedSection, Sections

_WITHOUT_RATE: Final = ("rate_limit_burst", "rate_limit_key", "rate_limit_entries", "rate_limit_store", "redis_url")
_UNITS: Final = {1.0: "s", 60.0: "m", 3600.0: "h"}
_BY_IP: Final = RequestKey("ip")


def rate_limit_problems(route: ParsedSection, sections: Sections) -> Iterator[Problem]:
    """Keys without a rate, lists of other lengths, and a shared store that nobody says the place of."""
    if "rate_limit" not in route.settings:
        for key in _WITHOUT_RATE:
            if key in route.settings:
                yield route.settings[key].key_place.problem(f"'{key}' needs a 'rate_limit' in [{route.name}]")
        return
    rates = route.get("rate_limit")
    for key in ("rate_limit_burst", "rate_limit_key"):
        lines = route.get(key)
        if rates is None or lines is None:
            continue
        counts = {len(rates.value)} if key == "rate_limit_burst" else {1, len(rates.value)}
        if len(lines.value) not in counts:
            message = f"each rate_limit needs its {key}, in the same order"
            yield lines.place.problem(f"{message} (there are {len(rates.value)} and {len(lines.value)})")
    if rates is not None and not rates.value:
        yield rates.key_place.problem("'rate_limit' has no value (write one, or remove the key)")
    store = route.get("rate_limit_store")
    if store is not None and store.value == "redis" and "redis_url" not in route.settings:
        if _shared_url(sections) is None:
            yield store.place.problem("rate_limit_store = redis needs a 'redis_url' (redis://host:6379/0)")
    elif (url := route.settings.get("redis_url")) is not None and (store is None or store.value != "redis"):
        yield url.key_place.problem("'redis_url' has no effect without rate_limit_store = redis")


def rate_limit_settings(route: ParsedSection, sections: Sections) -> RateLimitSettings:
    """The limits of a route whose keys have no problem."""
    rates, bursts, keys = (route.get(key) for key in ("rate_limit", "rate_limit_burst", "rate_limit_key"))
    if rates is None:
        return RateLimitSettings()
    count = len(rates.value)
    most = tuple(rate.amount for rate in rates.value) if bursts is None else bursts.value
    by = (_BY_IP,) * count if keys is None else keys.value if len(keys.value) == count else keys.value * count
    limits = tuple(
        RateLimit(rate, burst, key, f"{key.source} {rate.amount}/{_UNITS[rate.period_s]}")
        for rate, burst, key in zip(rates.value, most, by, strict=True)
    )
    store = route.get("rate_limit_store")
    settings = RateLimitSettings(limits, place=str((store or rates).place), **route.fields(RATE_LIMIT))
    if settings.store == "redis" and settings.redis_url is None:
        return replace(settings, redis_url=_shared_url(sections))
    return settings


def _shared_url(sections: Sections) -> str | None:
    """The server that the cache is kept on."""
    cache = sections.get("cache")
    url = None if cache is None else cache.get("redis_url")
    return None if url is None else str(url.value)
