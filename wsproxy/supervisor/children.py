"""The data plane processes: so many are kept alive, and told and asked as one.

Knows processes and orders, not what these mean. A process that dies takes with it what it carried and nothing else; it
is started again, ever less eagerly while it keeps dying. All processes follow the same orders: one that cannot is
ended, and its successor begins with the orders of that moment.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import anyio

from wsproxy.managed.restart import SOUND_LIFE_S, RestartState
from wsproxy.net.shared_memory import SharedMemory
from wsproxy.net.turns import AcceptTurns
from wsproxy.observe.merging import bounded, ended, merged
from wsproxy.observe.snapshot import Snapshot
from wsproxy.supervisor.channel import ANSWER_S, Body, ChannelError, GoneError, RefusedError
from wsproxy.supervisor.child import Child
from wsproxy.supervisor.forks import Forks
from wsproxy.supervisor.orders import Orders
from wsproxy.supervisor.plain import shaped

LOOK_EVERY_S: Final = 5.0
"""How often each process is asked for its figures when nobody else asks: what it has counted outlives it so far."""

HANGS_S: Final = 30.0
"""Who says nothing for so long has an event loop that hangs: it is ended, as nothing else will help."""

OBLIGE_S: Final = 10.0
"""What a process has to follow: the others have done so, and operators wait for their answer."""

ASK_S: Final = 2.0
"""What a scrape waits for a process; its latest figures stand in for one that is busier than that."""

SLOW_START_S: Final = 30.0
"""A process that is not up by then never will be."""

REAP_S: Final = 2.0
"""What the system may take to end a process that was killed: it has ended before we do."""

CRASH_LOOP: Final = 3
"""Short lives in a row that are no accident any more."""

_logger = logging.getLogger("wsproxy.process")


Answers = Mapping[Child, "Body | ChannelError | RefusedError"]
"""What each process said, or why it did not."""


class Children:
    """Keeps `count` processes alive while `run` runs. orders: what a new one is to be.

    changing: held while orders change, so that a process that comes meanwhile comes with the old or the new ones whole.
    past: what processes have counted that are gone. deaths: how many there were. up: each has served, or failed
    once. one_serves: at least one has. ended: the last one has, after `stop`. counts: the memory for what they count
    together.
    """

    def __init__(self, count: int, orders: Callable[[], Orders], counts: SharedMemory) -> None:
        self.count = count
        self.counts = counts
        self.changing = anyio.Lock()
        self.alive: dict[int, Child] = {}
        self.past: Snapshot | None = None
        self.deaths = 0
        self.up = anyio.Event()
        self.one_serves = anyio.Event()
        self.ended = anyio.Event()
        self._orders = orders
        self._turns = AcceptTurns(count)
        self._forks = Forks((self._turns.descriptor, counts.descriptor))
        self._stop = anyio.Event()
        self._short_lives: dict[int, int] = {}
        self._last_words: dict[int, str] = {}
        self._seen: set[int] = set()

    @property
    def serving(self) -> list[Child]:
        """Those that accept connections, in their order."""
        return [child for _, child in sorted(self.alive.items()) if child.serving]

    @property
    def trouble(self) -> str:
        """What a person should know of processes that keep ending, or ""."""
        return "; ".join(
            f"process {index + 1} keeps ending ({self._last_words[index]})"
            for index, lives in sorted(self._short_lives.items())
            if lives >= CRASH_LOOP and not self._is_sound(index)
        )

    @property
    def last_words(self) -> str:
        """How those have ended that do not serve."""
        serving = {child.index for child in self.serving}
        words = sorted(self._last_words.items())
        return "; ".join(f"process {index + 1} has ended ({how})" for index, how in words if index not in serving)

    def _is_sound(self, index: int) -> bool:
        child = self.alive.get(index)
        return child is not None and child.serving and anyio.current_time() - child.started_at >= SOUND_LIFE_S

    # Their lives.

    async def run(self) -> None:
        """Keep all alive until cancelled, or until the last one's end after `stop`."""
        try:
            async with anyio.create_task_group() as tasks:
                for index in range(self.count):
                    tasks.start_soon(self._keep, index)
        finally:
            await self._forks.close()
        self.ended.set()

    async def _keep(self, index: int) -> None:
        """One place, life after life."""
        restart = RestartState(first_delay_s=0.0)  # there is a reason to hurry: the others carry its share meanwhile
        while not self._stop.is_set():
            born = anyio.current_time()
            how = await self._live(index)
            if self._stop.is_set():
                return
            lived_s = anyio.current_time() - born
            delay_s = restart.delay_s(lived_s)
            self.deaths += 1
            self._last_words[index] = how
            self._short_lives[index] = 0 if lived_s >= SOUND_LIFE_S else self._short_lives.get(index, 0) + 1
            self._saw(index)
            when = f"in {delay_s:g} s" if delay_s else "at once"
            _logger.error("process %d has ended (%s), starts again %s", index + 1, how, when)
            if self._short_lives[index] == CRASH_LOOP:
                others = "the others go on without it" if self.serving else "no process serves"
                _logger.critical("process %d keeps ending: %s", index + 1, others)
            with anyio.move_on_after(delay_s):
                await self._stop.wait()

    async def _live(self, index: int) -> str:
        """One life; how it ended."""
        try:
            child = await Child.start(index, self._forks)
        except OSError as error:
            return f"cannot be started: {error}"
        self.alive[index] = child
        if self._stop.is_set():  # said while it was forked
            child.kill()
        how = ""
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._attend, child)
                how = await child.wait()
                tasks.cancel_scope.cancel()
        finally:
            child.kill()
            with anyio.move_on_after(REAP_S, shield=True):
                await child.wait()
            child.channel.close()
            self._turns.absent(index)
            del self.alive[index]
            if child.latest is not None:
                self._remember(ended(child.latest))
        return child.reason or how

    def _remember(self, gone: Snapshot) -> None:
        """Add what a process has counted to what others had; servers come and go, and so do their names."""
        there = {(state.name, server.settings.name) for state in self._orders().states for server in state.servers}
        self.past = bounded(gone if self.past is None else merged((gone, self.past)), there)

    async def _attend(self, child: Child) -> None:
        """Have it serve, then look after it."""
        try:
            async with self.changing:
                orders = self._orders()
                await child.channel.ask("start", orders.start(child.index), orders.sockets, SLOW_START_S)
                child.serving = True
                child.heard_at = anyio.current_time()
        except RefusedError as error:
            self.end(child, str(error))
            return
        except ChannelError as error:
            with anyio.move_on_after(REAP_S):  # how it ended says more than that it is gone
                await child.wait()
                return
            self.end(child, str(error))
            return
        _logger.info("process %d serves (pid %d)", child.number, child.pid)
        self.one_serves.set()
        self._saw(child.index)
        while True:
            await anyio.sleep(LOOK_EVERY_S)
            await self.look(child, LOOK_EVERY_S)
            if anyio.current_time() - child.heard_at >= HANGS_S:
                self.end(child, "it does not answer")

    def _saw(self, index: int) -> None:
        self._seen.add(index)
        if len(self._seen) == self.count:
            self.up.set()

    def end(self, child: Child, reason: str) -> None:
        """A process that does not do as it is told is worse than none."""
        child.reason = reason
        child.serving = False
        child.kill()

    # All of them as one.

    async def look(self, child: Child, timeout_s: float = ASK_S) -> None:
        """Ask a process for its figures; the latest ones stay where it does not answer."""
        try:
            answer = await child.channel.ask("figures", timeout_s=timeout_s)
        except (ChannelError, RefusedError):
            return
        child.heard_at = anyio.current_time()
        child.latest = shaped(Snapshot, answer["snapshot"])

    async def snapshots(self) -> list[Snapshot]:
        """The figures of every process, at this moment, and of those that are gone."""
        async with anyio.create_task_group() as tasks:
            for child in self.serving:
                tasks.start_soon(self.look, child)
        found = [child.latest for child in self.alive.values() if child.latest is not None]  # until it is in `past`
        return found if self.past is None else [*found, self.past]

    async def ask_all(
        self,
        kind: str,
        body: Callable[[Child], Body] = lambda _: {},
        sockets: Sequence[socket.socket] = (),
        timeout_s: float = ANSWER_S,
    ) -> Answers:
        """Ask every process that serves, side by side."""
        answers: dict[Child, Body | ChannelError | RefusedError] = {}

        async def ask(child: Child) -> None:
            try:
                answers[child] = await child.channel.ask(kind, body(child), sockets, timeout_s)
            except (ChannelError, RefusedError) as error:
                answers[child] = error

        async with anyio.create_task_group() as tasks:
            for child in self.serving:
                tasks.start_soon(ask, child)
        return answers

    async def oblige(self, kind: str, body: Body) -> int:
        """Have every process do what none may refuse; how many did. One that does not is ended, and begins anew."""
        answers = await self.ask_all(kind, lambda _: body, timeout_s=OBLIGE_S)
        for child, answer in answers.items():
            if isinstance(answer, Exception):
                _logger.error("process %d did not follow: %s", child.number, answer)
                self.end(child, "" if isinstance(answer, GoneError) else str(answer))  # how it ended says more
        return sum(isinstance(answer, dict) for answer in answers.values())

    async def stop(self, successor: int | None = None) -> None:
        """Have every process drain and end; a second time, at once. successor: the process that serves from now on."""
        self._stop.set()
        for child in tuple(self.alive.values()):
            if not child.serving:
                child.kill()
        await self.ask_all("stop", lambda _: {"successor": successor})
