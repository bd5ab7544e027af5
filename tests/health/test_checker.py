"""The checker's loops, on scripted probes and a clock that moves only when the test says so."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

import anyio
import pytest
from anyio.abc import SocketAttribute, SocketStream

from wsproxy.config.group_settings import Address, HealthSettings
from wsproxy.health.checker import HealthChecker, ProbeRecord, ProbeTarget

SETTINGS = HealthSettings(interval_s=10, fall=2, rise=2)


class Target:
    def __init__(self, name: str, address: Address | None = None) -> None:
        self.name = name
        self.address = address or Address(name, 80)


class Sink:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.changes: list[tuple[str, bool, str]] = []
        self.told = anyio.Event()
        self.suspects: set[str] = set()

    def probed(self, target: ProbeTarget, is_good: bool) -> bool:
        return target.name in self.suspects

    async def health_changed(self, target: ProbeTarget, up: bool, reason: str) -> None:
        self.changes.append((target.name, up, reason))
        self.told.set()
        self.told = anyio.Event()


class Clock:
    """Sleepers in order of waking; `advance` wakes all that are due and lets them run until they sleep again."""

    def __init__(self) -> None:
        self.now = 0.0
        self._sleepers: list[tuple[float, anyio.Event]] = []

    async def sleep(self, delay_s: float) -> None:
        event = anyio.Event()
        self._sleepers.append((self.now + delay_s, event))
        await event.wait()

    async def advance(self, seconds: float) -> None:
        end = self.now + seconds
        await anyio.wait_all_tasks_blocked()
        while due := [sleeper for sleeper in self._sleepers if sleeper[0] <= end]:
            first = min(due, key=lambda sleeper: sleeper[0])
            self._sleepers.remove(first)
            self.now = first[0]
            first[1].set()
            await anyio.wait_all_tasks_blocked()
        self.now = end


class Probes:
    """Servers that are well, ill, or silent, and when each was asked."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.ill: dict[str, str] = {}
        self.silent: set[str] = set()
        self.asked: list[tuple[str, float]] = []

    async def __call__(self, address: Address, settings: HealthSettings) -> str | None:
        self.asked.append((address.host, self._clock.now))
        if address.host in self.silent:
            await anyio.sleep_forever()
        return self.ill.get(address.host)

    def times(self, host: str) -> list[float]:
        return [time for asked, time in self.asked if asked == host]


class World:
    """A checker with everything around it."""

    def __init__(self) -> None:
        self.clock, self.sink = Clock(), Sink()
        self.probes = Probes(self.clock)
        self.checker = HealthChecker(SETTINGS, self.sink, Random(7), self.probes, self.clock.sleep)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.checker.run)
            await anyio.wait_all_tasks_blocked()
            yield
            tasks.cancel_scope.cancel()


def test_all_are_probed_at_once_and_a_silent_one_delays_no_other() -> None:
    async def main() -> None:
        world = World()
        world.probes.silent.add("silent")
        for name in ("silent", "a", "b"):
            world.checker.add(Target(name))
        async with world.running():
            assert world.probes.asked == [("silent", 0), ("a", 0), ("b", 0)]
            await world.clock.advance(60)
            assert len(world.probes.times("silent")) == 1
            assert 5 <= len(world.probes.times("a")) <= 8

    anyio.run(main)


def test_one_that_is_under_suspicion_is_probed_each_second() -> None:
    async def main() -> None:
        world = World()
        world.checker.add(Target("a"))
        async with world.running():
            world.sink.suspects.add("a")
            await world.clock.advance(20)
            suspected = len(world.probes.times("a"))
            world.sink.suspects.clear()
            await world.clock.advance(20)
            assert suspected >= 8
            assert len(world.probes.times("a")) - suspected <= 4

    anyio.run(main)


def test_down_after_fall_failures_a_second_apart_and_up_after_rise_successes() -> None:
    async def main() -> None:
        world = World()
        world.probes.ill["a"] = "connection refused"
        world.checker.add(Target("a"))
        async with world.running():
            assert world.sink.changes == []
            await world.clock.advance(1)
            assert world.sink.changes == [("a", False, "connection refused")]
            await world.clock.advance(3)
            assert world.probes.times("a") == [0, 1, 2, 3, 4]
            del world.probes.ill["a"]
            await world.clock.advance(1)
            assert len(world.sink.changes) == 1
            await world.clock.advance(1)
            assert world.sink.changes[1:] == [("a", True, "answers again")]
            await world.clock.advance(7.9)  # at rest again: ten seconds, less a fifth at most
            assert world.probes.times("a")[-1] == 6
            await world.clock.advance(4.2)
            assert 14 <= world.probes.times("a")[-1] <= 18

    anyio.run(main)


def test_add_while_running_probes_at_once_and_twice_is_once() -> None:
    async def main() -> None:
        world = World()
        async with world.running():
            target = Target("late")
            world.checker.add(target)
            world.checker.add(target)
            await world.clock.advance(0)
            assert world.probes.asked == [("late", 0)]

    anyio.run(main)


@pytest.mark.parametrize("silent", [True, False])
def test_a_removed_target_is_not_probed_or_told_of_any_more(silent: bool) -> None:
    async def main() -> None:
        world = World()
        world.probes.ill["a"] = "ill"
        if silent:
            world.probes.silent.add("a")
        target = Target("a")
        world.checker.add(target)
        async with world.running():
            world.checker.remove(target)
            world.checker.remove(target)  # unknown by now
            await world.clock.advance(60)
            assert world.probes.asked == [("a", 0)]
            assert world.sink.changes == []
            world.probes.silent.clear()
            world.checker.add(target)  # as new
            await world.clock.advance(1)
            assert world.sink.changes == [("a", False, "ill")]

    anyio.run(main)


def test_one_that_is_removed_before_its_first_probe_ends_nothing() -> None:
    async def main() -> None:
        world = World()
        async with world.running():
            target = Target("a")
            world.checker.add(target)
            world.checker.remove(target)  # the proxy that takes over does so: an operator had removed it
            world.checker.add(Target("b"))
            await world.clock.advance(60)
            assert {name for name, _ in world.probes.asked} == {"b"}

    anyio.run(main)


def test_removed_before_the_run_is_never_probed() -> None:
    async def main() -> None:
        world = World()
        target = Target("a")
        world.checker.add(target)
        world.checker.remove(target)
        async with world.running():
            await world.clock.advance(60)
        assert world.probes.asked == []

    anyio.run(main)


def test_one_log_line_for_each_change(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        world = World()
        world.probes.ill["a"] = "timed out after 2 s"
        world.checker.add(Target("a"))
        async with world.running():
            await world.clock.advance(5)
            world.probes.ill.clear()
            await world.clock.advance(5)

    with caplog.at_level(logging.INFO, "wsproxy.health"):
        anyio.run(main)
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "a (a:80) is down: timed out after 2 s"),
        ("INFO", "a (a:80) is up: answers again"),
    ]


def test_a_real_server_that_goes_and_comes_back() -> None:
    async def main() -> None:
        async def close(stream: SocketStream) -> None:
            await stream.aclose()

        sink, settings = Sink(), HealthSettings(interval_s=0.01, fall=2, rise=2)
        checker = HealthChecker(settings, sink, Random(7))
        listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
        port = listener.extra(SocketAttribute.local_port)
        checker.add(Target("real", Address("127.0.0.1", port)))
        with anyio.fail_after(20):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(checker.run)
                told = sink.told
                await listener.aclose()
                await told.wait()
                told = sink.told
                async with await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=port) as again:
                    tasks.start_soon(again.serve, close)
                    await told.wait()
                    tasks.cancel_scope.cancel()
        assert sink.changes == [("real", False, "connection refused"), ("real", True, "answers again")]

    anyio.run(main, backend_options={"use_uvloop": True})  # as the proxy runs; plain asyncio words it differently


def test_recoveries_are_counted_though_the_verdict_stays() -> None:
    record = ProbeRecord()
    for reason in (None, None, "refused", None, "refused", None, None, None, "refused", "refused", None, None):
        record.add(reason, rise=2)
    assert (record.recoveries, record.good, record.bad) == (2, 8, 4)
