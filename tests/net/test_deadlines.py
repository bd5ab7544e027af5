"""Deadlines: never early, at most two ticks late, watched only while wanted."""

from __future__ import annotations

import asyncio

import pytest

from tests.fakes import run, until
from wsproxy.net.deadlines import NEVER, TICK_S, Deadlines


class Item:
    def __init__(self, deadline: float = NEVER) -> None:
        self.deadline = deadline
        self.expired = 0

    def expire(self) -> None:
        self.deadline = NEVER
        self.expired += 1


def test_a_sweep_expires_what_is_due_and_nothing_else() -> None:
    async def main() -> None:
        deadlines = Deadlines()
        due, later, never = Item(10.0), Item(10.1), Item()
        for item in (due, later, never):
            deadlines.watch(item)
        deadlines.sweep(10.0)
        assert (due.expired, later.expired, never.expired) == (1, 0, 0)
        assert deadlines.now == 10.0
        deadlines.sweep(20.0)
        assert (due.expired, later.expired, never.expired) == (1, 1, 0)

    run(main)


def test_a_sweep_that_comes_late_is_known_as_one() -> None:
    async def main() -> None:
        deadlines = Deadlines()
        seen = []
        for now in (10.0, 10.0 + 1.9 * TICK_S, 10.0 + 4 * TICK_S, 10.0 + 5 * TICK_S):
            deadlines.sweep(now)
            seen.append(deadlines.was_late)
        assert seen[1:] == [False, True, False]

    run(main)


def test_a_forgotten_item_is_left_alone() -> None:
    async def main() -> None:
        deadlines = Deadlines()
        item = Item(0.0)
        deadlines.forget(item)
        deadlines.watch(item)
        deadlines.watch(item)
        assert len(deadlines) == 1
        deadlines.forget(item)
        deadlines.sweep(1.0)
        assert (len(deadlines), item.expired) == (0, 0)

    run(main)


def test_an_item_may_leave_while_it_expires() -> None:
    async def main() -> None:
        deadlines = Deadlines()

        class Leaver(Item):
            def expire(self) -> None:
                super().expire()
                deadlines.forget(self)

        leavers = [Leaver(0.0) for _ in range(3)]
        for leaver in leavers:
            deadlines.watch(leaver)
        deadlines.sweep(1.0)
        assert [leaver.expired for leaver in leavers] == [1, 1, 1]
        assert len(deadlines) == 0

    run(main)


def test_a_deadline_is_never_early_however_old_the_last_sweep() -> None:
    async def main() -> None:
        deadlines = Deadlines()
        deadlines.sweep(100.0)
        # It is armed just before the next sweep, at 100 + TICK_S, and may not pass before that + 5.
        assert deadlines.after(5.0) >= 100.0 + TICK_S + 5.0
        assert deadlines.after(5.0) <= 100.0 + 2 * TICK_S + 5.0
        assert deadlines.after(NEVER) == NEVER

    run(main)


def test_the_clock_runs_by_itself() -> None:
    async def main() -> None:
        deadlines = Deadlines(tick_s=0.001)
        before = deadlines.now
        item = Item(deadlines.after(0.01))
        deadlines.watch(item)
        task = asyncio.ensure_future(deadlines.run())
        await until(lambda: item.expired)
        assert deadlines.now - before >= 0.01
        task.cancel()
        await asyncio.wait([task])

    run(main)


def test_the_date_changes_with_the_second() -> None:
    async def main() -> None:
        seconds = iter([784111777.1, 784111777.9, 784111778.0])
        deadlines = Deadlines(clock=lambda: next(seconds))
        lines = [deadlines.date_line]
        for now in (1.0, 1.25):
            deadlines.sweep(now)
            lines.append(deadlines.date_line)
        assert [line.split(b":")[-1][:2] for line in lines] == [b"37", b"37", b"38"]
        assert lines[0] is lines[1]

    run(main)


def test_an_item_that_fails_ends_neither_the_sweep_nor_the_process(caplog: pytest.LogCaptureFixture) -> None:
    class Faulty:
        deadline = 0.0

        def expire(self) -> None:
            raise ValueError("a bug")

    class Sound:
        deadline = 0.0
        expired = 0

        def expire(self) -> None:
            self.expired += 1

    async def main() -> None:
        deadlines, sound = Deadlines(), Sound()
        deadlines.watch(Faulty())
        deadlines.watch(sound)
        deadlines.sweep(deadlines.now + 1)
        deadlines.sweep(deadlines.now + 1)
        assert sound.expired == 2

    run(main)
    assert [record.getMessage() for record in caplog.records] == ["internal error at a deadline of Faulty"] * 2
