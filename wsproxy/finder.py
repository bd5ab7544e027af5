"""Assembly: the servers of a group that are found at run time become its backends.

Joins a source of `discovery` with a group. Full sets come in; what has changed is computed here, once for all sources,
so that a server which stays keeps its pool, its connections and its WebSockets.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Final

from wsproxy.config.addresses import UPSTREAM
from wsproxy.config.discovery_settings import DiscoverySettings
from wsproxy.config.group_settings import ServerSettings
from wsproxy.discovery.found import MOST_SERVERS, Found
from wsproxy.discovery.source import discover

SAY_EVERY_S: Final = 60.0
"""A source that does not answer is worth a line, but not one for each question that ends in the same way."""

_DIGITS: Final = re.compile(r"[0-9]+")

_logger = logging.getLogger("wsproxy.discovery")

UseServers = Callable[[Sequence[ServerSettings], frozenset[str]], Awaitable[None]]
"""Takes over a full set; of the servers named beside it none gets anything new."""


class Finder:
    """The finding of one group's servers. count: of the last set. errors: questions in vain. at: Unix time of the last
    good answer, 0 before the first."""

    def __init__(self, group: str, settings: DiscoverySettings, template: ServerSettings, use: UseServers) -> None:
        self.settings = settings
        self.count = self.errors = 0
        self.at = 0.0
        self._group = group
        self._template = template
        self._use = use
        self._found: tuple[Found, ...] | None = None
        self._last: tuple[Found, ...] | None = None
        self._said_at = -SAY_EVERY_S
        self._said = ""

    async def run(self) -> None:
        """Find until cancelled."""
        await discover(self.settings, self)

    async def found(self, servers: Sequence[Found]) -> None:
        """A full set has come."""
        self.at = time.time()
        self._said_at = -SAY_EVERY_S
        latest = tuple(sorted(servers, key=_name))
        if latest != self._found:
            self._found = latest
            usable = self._usable(latest)
            if usable != self._last:
                self._say_what_has_changed(self._last or (), usable)
                self._last = usable
                self.count = len(usable)
                await self._take_over(usable)

    def not_found(self, reason: str) -> None:
        """The source could not be asked: what it said last stays."""
        self.errors += 1
        now = time.monotonic()
        target = self.settings.target
        # Who mends a file wants to hear of the next mistake in it; elsewhere a number may be how long somebody waited.
        mistake = reason if target.kind == "file" else _DIGITS.sub("", reason)
        if mistake != self._said or now - self._said_at >= SAY_EVERY_S:
            self._said_at, self._said = now, mistake
            kept = f"the {self.count} servers found before stay" if self.at else "no server is known"
            said = reason if target.kind == "file" else f"{target}: {reason}"  # a file's mistakes have their place
            _logger.warning("%s: %s: %s", self._group, said, kept)

    async def use_template(self, template: ServerSettings) -> None:
        """Take over other sizes of pools."""
        self._template = template
        if self._last is not None:
            await self._take_over(self._last)

    def _usable(self, servers: Sequence[Found]) -> tuple[Found, ...]:
        """Those that can be asked at all, and no more than there may be; says who is left out."""
        good, bad = [], []
        for each in servers:
            try:
                UPSTREAM.parse(each.address)
                good.append(each)
            except ValueError as error:
                bad.append(str(error))
        if bad:
            self._warn(f"{len(bad)} of {len(servers)} servers are left out: {bad[0]}")
        if len(good) > MOST_SERVERS:
            self._warn(f"{len(good)} servers, of which {MOST_SERVERS} are used, the most that a group may have")
            good = sorted(sorted(good, key=lambda each: not each.takes_new)[:MOST_SERVERS], key=_name)
        return tuple(good)

    async def _take_over(self, servers: Sequence[Found]) -> None:
        settings = [
            replace(
                self._template,
                name=_name(each),
                address=UPSTREAM.parse(each.address),
                weight=each.weight,
                backup=each.backup,
            )
            for each in servers
        ]
        await self._use(settings, frozenset(_name(each) for each in servers if not each.takes_new))

    def _say_what_has_changed(self, before: Sequence[Found], now: Sequence[Found]) -> None:
        old, new = ({_name(each) for each in found} for found in (before, now))
        parts = [f"{len(now)} servers"]
        parts += [f"new: {', '.join(sorted(new - old))}"] if new - old else []
        parts += [f"gone: {', '.join(sorted(old - new))}"] if old - new else []
        if any(each.takes_new for each in now):
            _logger.info("%s: %s: %s", self._group, self.settings.target, "; ".join(parts))
        else:
            self._warn(f"{'; '.join(parts)}; requests get 503, as there is none to take them")

    def _warn(self, words: str) -> None:
        _logger.warning("%s: %s: %s", self._group, self.settings.target, words)


def _name(found: Found) -> str:
    return found.name or found.address
