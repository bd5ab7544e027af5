"""The frozen settings of the cache; a part of `model`, whose rules hold here.

May know: value shapes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class CacheSettings:
    """The store of answers that the routes with `cache` share, and what holds for all of them."""

    store: Literal["memory", "redis"] = "memory"
    redis_url: str | None = None
    redis_timeout_s: float = 0.25
    max_size_bytes: int = 64 * 1024 * 1024
    max_entry_size_bytes: int = 1024 * 1024
    default_ttl_s: float | None = None  # of answers that state no freshness; None: they are not kept
    heuristic: bool = False
    stale_while_revalidate_s: float | None = None
    stale_if_error_s: float | None = None
    wait_timeout_s: float = 5.0  # for another request's fetch of the same answer
    obey_clients: bool = True  # their Cache-Control is followed
    methods: tuple[str, ...] = ("GET", "HEAD")
    cache_ignore: tuple[str, ...] = ()  # beginnings of paths, and methods
    place: str = field(default="", compare=False)  # of the store in the ini file, for one that cannot be used
