"""Invariants of the readers-writer lock under any interleaving of its tasks.

The loop is advanced one pass at a time and only when the test draws that rule, so a cancellation or a new arrival can
fall between any two steps of any task: between a hand-over and the new owner's turn, above all.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from wsproxy.net.rwlock import RWLock


@dataclass(eq=False)
class Actor:
    """One task that wants the lock, and how far it has come."""

    writes: bool
    leave: asyncio.Event
    task: asyncio.Task[None] = field(init=False)
    asked: int | None = None  # its place among all that have asked
    inside: bool = False
    cancelled: bool = False

    @property
    def waits(self) -> bool:
        return self.asked is not None and not self.inside and not self.cancelled and not self.task.done()


class LockMachine(RuleBasedStateMachine):
    actors = Bundle("actors")

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.lock = RWLock()
        self.all: list[Actor] = []
        self.asked = 0
        self.direct_readers = 0

    async def _act(self, actor: Actor) -> None:
        self.asked += 1
        actor.asked = self.asked
        if actor.writes:
            async with self.lock.write():
                await self._stay(actor)
        else:
            await self.lock.acquire_read()
            try:
                await self._stay(actor)
            finally:
                self.lock.release_read()

    async def _stay(self, actor: Actor) -> None:
        assert actor.asked is not None
        before = [other for other in self.all if other.writes and other.waits and other is not actor]
        assert not [other for other in before if (other.asked or 0) < actor.asked], "overtook a waiting writer"
        actor.inside = True
        try:
            await actor.leave.wait()
        finally:
            actor.inside = False

    @rule(target=actors, writes=st.booleans())
    def arrive(self, writes: bool) -> Actor:
        return self._start(writes)

    def _start(self, writes: bool) -> Actor:
        actor = Actor(writes, asyncio.Event())
        actor.task = self.loop.create_task(self._act(actor))
        self.all.append(actor)
        return actor

    @rule()
    def try_read(self) -> None:
        writers = [actor for actor in self.all if actor.writes and actor.asked and not actor.task.done()]
        if self.lock.try_read():
            assert not [actor for actor in writers if actor.waits or actor.inside]
            self.direct_readers += 1
        else:  # nobody is kept out but by a writer: there, or told to go and not yet gone
            assert writers

    @rule()
    def release_direct_reader(self) -> None:
        if self.direct_readers:
            self.direct_readers -= 1
            self.lock.release_read()

    @rule(actor=consumes(actors))
    def leave(self, actor: Actor) -> None:
        actor.leave.set()

    @rule(actor=consumes(actors))
    def cancel(self, actor: Actor) -> None:
        actor.cancelled = actor.task.cancel()

    @rule(passes=st.integers(1, 3))
    def step(self, passes: int) -> None:
        for _ in range(passes):
            self.loop.call_soon(self.loop.stop)
            self.loop.run_forever()

    @invariant()
    def writers_are_alone(self) -> None:
        writers = sum(actor.inside for actor in self.all if actor.writes)
        readers = sum(actor.inside for actor in self.all if not actor.writes) + self.direct_readers
        assert writers <= 1
        assert not (writers and readers)

    @invariant()
    def no_one_failed(self) -> None:
        for actor in self.all:
            if actor.task.done() and not actor.task.cancelled():
                actor.task.result()

    def teardown(self) -> None:
        """When all leave, all get through, and the lock is as new: no wake-up was lost."""
        for actor in self.all:
            actor.leave.set()
        while self.direct_readers:
            self.release_direct_reader()
        self.step(4 * len(self.all) + 4)
        assert all(actor.task.done() for actor in self.all), "a wake-up was lost"
        self.no_one_failed()
        last = self._start(writes=True)
        last.leave.set()
        self.step(2)
        assert last.task.done(), "a lock was never given back"
        self.loop.close()


LockMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
TestRWLock = LockMachine.TestCase
