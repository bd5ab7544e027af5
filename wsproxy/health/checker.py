"""Watches the backends of a group: probes each in a loop of its own and tells a sink of every change.

Knows probes and verdicts. What a backend is, and what follows from its going down, it does not know: targets come in
and changes go out through two protocols.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from random import Random
from typing import Protocol

import anyio
from anyio.abc import TaskGroup

from wsproxy.config.group_settings import Address, HealthSettings
from wsproxy.health.probe import probe
from wsproxy.health.verdict import VerdictState
from wsproxy.net.dial import OutOfDescriptorsError

_logger = logging.getLogger("wsproxy.health")

Probe = Callable[[Address, HealthSettings], Awaitable[str | None]]
Sleep = Callable[[float], Awaitable[None]]


class ProbeTarget(Protocol):
    """What can be watched; hashable by identity."""

    @property
    def name(self) -> str:
        """What to call it in the log."""

    @property
    def address(self) -> Address:
        """Where to probe it."""


class HealthSink(Protocol):
    """Who is told of changes."""

    async def health_changed(self, target: ProbeTarget, up: bool, reason: str) -> None:
        """A target has gone down (why) or come back. Until the first call a target counts as up."""

    def probed(self, target: ProbeTarget, is_good: bool) -> bool:
        """A probe has ended; True when the next one is to come soon."""


class ProbeRecord:
    """What the probes of one target have said.

    flips: changes of the verdict. reason: of the last bad probe, or "". recoveries: how often `rise` good ones in a row
    came after a bad one, whether that had changed the verdict or not.
    """

    __slots__ = ("_good_missing", "bad", "flips", "good", "reason", "recoveries")

    def __init__(self) -> None:
        self.good = self.bad = self.flips = self.recoveries = 0
        self.reason = ""
        self._good_missing = 0

    def add(self, reason: str | None, rise: int) -> None:
        """A probe has ended: None when it was good."""
        if reason is not None:
            self.bad += 1
            self.reason = reason
            self._good_missing = rise
            return
        self.good += 1
        if self._good_missing:
            self._good_missing -= 1
            self.recoveries += not self._good_missing


class HealthChecker:
    """Probes all its targets side by side, so that a slow one never delays the look at another."""

    def __init__(
        self,
        settings: HealthSettings,
        sink: HealthSink,
        rng: Random,
        probe: Probe = probe,
        sleep: Sleep = anyio.sleep,
    ) -> None:
        self._settings = settings
        self._sink = sink
        self._rng = rng
        self._probe = probe
        self._sleep = sleep
        self.records: dict[ProbeTarget, ProbeRecord] = {}
        self._watched: dict[ProbeTarget, anyio.CancelScope] = {}
        self._watchers: TaskGroup | None = None  # there while run() runs

    def add(self, target: ProbeTarget, record: ProbeRecord | None = None) -> None:
        """Watch a target from now on (or from the start of run()), probing it at once. Twice is once.

        record: what probes have said of it before.
        """
        if target not in self._watched:
            scope = self._watched[target] = anyio.CancelScope()
            record = self.records[target] = record or ProbeRecord()
            if self._watchers:
                self._watchers.start_soon(self._watch, target, record, scope)

    def remove(self, target: ProbeTarget) -> ProbeRecord | None:
        """Watch a target no longer; a probe under way is abandoned. Returns its record, None for an unknown target."""
        scope = self._watched.pop(target, None)
        if scope:
            scope.cancel()
        return self.records.pop(target, None)

    async def run(self) -> None:
        """Watch until cancelled."""
        async with anyio.create_task_group() as self._watchers:
            for target, scope in self._watched.items():
                self._watchers.start_soon(self._watch, target, self.records[target], scope)
            await anyio.sleep_forever()

    async def _watch(self, target: ProbeTarget, record: ProbeRecord, scope: anyio.CancelScope) -> None:
        """The target may have been removed before this begins."""
        state = VerdictState(self._settings)
        with scope:
            while not scope.cancel_called:
                try:
                    reason = await self._probe(target.address, self._settings)
                except OutOfDescriptorsError as error:
                    _logger.warning("%s cannot be probed: %s", target.name, error)
                else:
                    record.add(reason, self._settings.rise)
                    state.attentive = self._sink.probed(target, reason is None)
                    changed = state.success() if reason is None else state.failure()
                    if changed is not None:
                        record.flips += 1
                        await self._tell(target, changed, reason or "answers again")
                await self._sleep(state.next_delay_s(self._rng))

    async def _tell(self, target: ProbeTarget, up: bool, reason: str) -> None:
        level, word = (logging.INFO, "up") if up else (logging.WARNING, "down")
        _logger.log(level, "%s (%s) is %s: %s", target.name, target.address, word, reason)
        await self._sink.health_changed(target, up, reason)
