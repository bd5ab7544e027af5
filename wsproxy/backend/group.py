"""A group: the backends that routes choose among, which of them are healthy, and the requests that wait for any.

Knows backends and their verdicts; how one is preferred is the route's policy, and who gives verdicts stays outside.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from math import ceil
from typing import Protocol

import anyio
from anyio.abc import TaskGroup

from wsproxy.backend.backend import Backend
from wsproxy.backend.guard import Guard
from wsproxy.backend.healthy import HealthyServers
from wsproxy.backend.totals import Counted
from wsproxy.balancing.named_sessions import NamedSessions
from wsproxy.balancing.policy import Policy
from wsproxy.balancing.slow_start import step_s
from wsproxy.config.group_settings import ServerSettings
from wsproxy.config.watch_settings import WatchSettings
from wsproxy.errors import CLIENT_LEFT, NO_BACKEND, QUEUE_TIMEOUT, STOPPING, UNREACHABLE, Failure
from wsproxy.exchange import Exchange
from wsproxy.net.deadlines import NEVER, Deadlines
from wsproxy.observe.past import Past
from wsproxy.protection.outlier import may_eject
from wsproxy.protection.retry_budget import RetryBudgetState

_logger = logging.getLogger("wsproxy.backend")


class LeaseWatcher(Protocol):
    """Who holds leases on backends."""

    def backend_leaving(self, backend: Backend) -> None:
        """A backend is let go: what still holds it is to leave."""
        ...


class Group:
    """Backends and what waits for them.

    healthy: those that may be chosen now. waiting: exchanges for which no queue had room, first come first served.
    watchers: who is told when a backend is let go. on_change: called when one has come, gone or changed.
    named_sessions: those that the backends have named, where a route binds by that.
    """

    def __init__(
        self,
        name: str,
        servers: Iterable[ServerSettings],
        deadlines: Deadlines,
        watch: WatchSettings | None = None,
    ) -> None:
        self.name = name
        self._watch = watch or WatchSettings()
        self.waiting: deque[Exchange] = deque()
        self.watchers: list[LeaseWatcher] = []
        self.named_sessions = NamedSessions()
        self.deadline = NEVER
        self._deadlines = deadlines
        self.backends: dict[str, Backend] = {}
        self._past: Past[Counted] = Past()
        for settings in servers:
            self._make(settings)
        self.healthy: HealthyServers[Backend] = HealthyServers(lambda backend: backend.position, self._to_be_chosen())
        self._retries = RetryBudgetState()
        self._tasks: TaskGroup | None = None
        self._is_warming = False
        self._is_over = False
        self.on_change: Callable[[], None] | None = None

    def _make(self, settings: ServerSettings) -> Backend:
        guard = Guard(self._watch, settings.name, self)
        backend = Backend(settings, len(self.backends), self._deadlines, self.waiting, guard)
        self.backends[settings.name] = backend
        if (counted := self._past.take(settings.name)) is not None:
            backend.go_on_from(counted)
        return backend

    def go_on_from(self, old: Group) -> None:
        """Take the place of another of this name, before `run`: each backend counts on from the one of its name."""
        self._past.add(old._past)
        for backend in old.backends.values():
            self._past.note(backend.name, backend.counted())
        for backend in self.backends.values():
            if (counted := self._past.take(backend.name)) is not None:
                backend.go_on_from(counted)

    async def run(self) -> None:
        """Run the pools until cancelled."""
        self._deadlines.watch(self)
        try:
            async with anyio.create_task_group() as tasks:
                self._tasks = tasks
                for backend in self.backends.values():
                    tasks.start_soon(backend.run)
                await anyio.sleep_forever()
        finally:
            self._deadlines.forget(self)
            self._tasks = None
            self._is_over = True
            self._fail_waiting(STOPPING)

    # What routes ask.

    def submit(
        self, exchange: Exchange, policy: Policy, servers: Sequence[Backend], key: bytes = b""
    ) -> asyncio.Future[None] | None:
        """Bring `exchange` to one of `servers` that has not been tried, in `policy`'s order for `key`. Never waits.

        Returns what to await until the attempt has ended, `exchange.failure` saying how; None when nobody is left to
        try. With every queue full the exchange waits its turn.
        """
        if exchange.tried:
            if key and servers:  # the key's next choice, so that what belongs together stays together
                servers = [server for server in policy.order(servers, key) if server.name not in exchange.tried]
            else:
                servers = self._after(exchange.tried, servers)
            exchange.offered_at = 0.0  # a worker has had it: this attempt waits on a clock of its own
        if not servers:
            exchange.failure = exchange.failure or self._nobody()
            return None
        done = exchange.begin()
        if not self.waiting:  # else it would overtake those who wait
            for backend in servers if exchange.tried else policy.order(servers, key):
                if backend.offer(exchange):
                    return done
        if servers[0].pool.reach.is_lost and all(backend.pool.reach.is_lost for backend in servers):
            exchange.backend_name = servers[0].name
            exchange.fail(UNREACHABLE)
            return done
        if self._is_over:
            exchange.fail(STOPPING)
            return done
        self._wait(exchange)
        if self.waiting[0] is not exchange:  # those in front may all wait for another backend than one that has room
            for backend in servers:
                backend.pool.fill()
        return done

    def may_retry(self, now: float) -> bool:
        """Take a retry out of the group's budget; False when it is spent."""
        return self._retries.try_spend(now, sum(backend.pool.exchanges for backend in self.backends.values()))

    def _after(self, tried: tuple[str, ...], servers: Sequence[Backend]) -> Sequence[Backend]:
        """Those not tried yet, the successors of the last one first.

        A further attempt takes no turn of the policy: with two servers each turn would lead to the failing one again.
        """
        last = self.backends.get(tried[-1])
        place = -1 if last is None else last.position
        left = (backend for backend in servers if backend.name not in tried)
        return tuple(sorted(left, key=lambda backend: (backend.position < place, backend.position)))

    def _wait(self, exchange: Exchange) -> None:
        exchange.start_clock(exchange.client.loop.time())
        exchange.holder = self
        self.waiting.append(exchange)
        self.deadline = 0.0  # looked at in every sweep while something waits

    def let_go(self, exchange: Exchange) -> None:
        """Nobody waits for a waiting exchange any more."""
        if exchange in self.waiting:
            self.waiting.remove(exchange)
        exchange.fail(exchange.abandoned or CLIENT_LEFT)

    def expire(self) -> None:
        """In every sweep while something waits: fail what has waited long enough."""
        waiting = self.waiting
        now = self._deadlines.now
        for exchange in [item for item in waiting if item.give_up_at <= now]:  # each route has its own queue_timeout
            waiting.remove(exchange)
            exchange.fail(QUEUE_TIMEOUT)
            for backend in self.backends.values():
                backend.pool.warn_if_held(now, exchange.route.queue_timeout_s)
        if waiting:
            self._help_who_waits()
        if not waiting:
            self.deadline = NEVER

    def _help_who_waits(self) -> None:
        """Nobody waits for those that cannot be reached; a breaker may let one try that a trial in vain left behind."""
        servers = self.healthy.snapshot() or ()
        if servers and all(backend.pool.reach.is_lost for backend in servers):
            while self.waiting:
                exchange = self.waiting.popleft()
                exchange.backend_name = servers[0].name
                exchange.fail(UNREACHABLE)
        for backend in servers:
            backend.pool.fill()

    # What health checks and managed servers say.

    async def set_up(self, backend: Backend, up: bool) -> None:
        """A verdict: `backend` may be chosen from now on, or may not."""
        if up and not backend.up:
            backend.guard.recovered()
        backend.up = up
        await self._see_who_may_be_chosen(backend)

    async def _see_who_may_be_chosen(self, backend: Backend) -> None:
        self._begin_to_warm()
        chosen = self._to_be_chosen()
        await self.healthy.replace(chosen)
        self._fill(chosen)
        if not backend.may_be_chosen and not await self.healthy.wait_snapshot():
            self._fail_waiting(self._nobody())
        self._tell()

    def _tell(self) -> None:
        if self.on_change is not None:
            self.on_change()

    def _to_be_chosen(self) -> list[Backend]:
        """Those that may be, without the spare ones as long as there are others."""
        backends = self.backends.values()
        able = [backend for backend in backends if backend.may_be_chosen]
        if not able:  # rather one that fails requests than none
            able = [backend for backend in backends if backend.may_be_asked_at_last]
        chosen = [backend for backend in able if not backend.is_spare] or able
        for backend in self.backends.values():
            backend.pool.takes_waiting = backend in chosen
        return chosen

    def _fill(self, chosen: Sequence[Backend]) -> None:
        """Let those have what waits; what is bound to another one waits for anybody from now on."""
        names = {backend.name for backend in chosen}
        for exchange in self.waiting:
            if (preference := exchange.preference) is not None and preference.bound_to not in names:
                preference.bound_to = ""
        for backend in chosen:
            backend.pool.fill()

    def _begin_to_warm(self) -> None:
        """Those that may be chosen again get their share little by little, unless there is nobody else to take it.

        Before the first connection there is nothing to share, and all servers are equally new.
        """
        backends = self.backends.values()
        others = any(backend.may_be_chosen and backend.was_chosen for backend in backends)
        others = others and any(backend.pool.connections_opened for backend in backends)
        for backend in self.backends.values():
            if backend.may_be_chosen and not backend.was_chosen and others and self._watch.slow_start_s is not None:
                backend.warming_since = self._deadlines.now
                backend.warm(self._deadlines.now, self._watch.slow_start_s)
                if self._tasks is not None and not self._is_warming:
                    self._is_warming = True
                    self._tasks.start_soon(self._warm_up)
            backend.was_chosen = backend.may_be_chosen

    async def _warm_up(self) -> None:
        """Step by step, until everybody has its whole share."""
        while any(backend.warming_since is not None for backend in self.backends.values()):
            await anyio.sleep(step_s(self._watch.slow_start_s or 0.0))
            await self.weigh()
        self._is_warming = False

    async def weigh(self) -> None:
        """Weights, names or places have changed: what policies have derived from them is void."""
        for backend in self.backends.values():
            backend.warm(self._deadlines.now, self._watch.slow_start_s)
        chosen = self._to_be_chosen()
        await self.healthy.renew(chosen)
        self._fill(chosen)
        self._tell()

    # What requests say.

    def may_eject(self, guard: Guard) -> bool:
        """Whether one more may be taken out."""
        there = [backend for backend in self.backends.values() if backend.enabled and not backend.leaving]
        others = [backend for backend in there if backend.guard is not guard]
        well = sum(backend.may_be_chosen and backend.guard.is_well for backend in others)
        return may_eject(len(there), sum(backend.guard.ejected for backend in others), well)

    def has_others(self, guard: Guard, tried: Sequence[str]) -> bool:
        """Whether a request that has been at this one and the `tried` could go to yet another."""
        others = (backend for backend in self.backends.values() if backend.guard is not guard)
        return any(backend.may_be_chosen and backend.name not in tried for backend in others)

    def guard_changed(self, guard: Guard) -> None:
        """One is taken out, or comes back."""
        backend = next((backend for backend in self.backends.values() if backend.guard is guard), None)
        if backend is not None and self._tasks is not None:
            backend.see_offer()
            self._tasks.start_soon(self._see_who_may_be_chosen, backend)

    # What an operator says.

    async def enable(self, backend: Backend) -> None:
        """Let it have work again, if its health checks do."""
        backend.enabled = True
        backend.leaving = backend.pool.is_closing
        await self._see_who_may_be_chosen(backend)

    async def disable(self, backend: Backend) -> None:
        """Give it nothing new; what it holds stays."""
        backend.enabled = False
        await self._see_who_may_be_chosen(backend)

    async def drain(self, backend: Backend) -> None:
        """Give it nothing new, and have its relays go; it can be enabled again."""
        backend.enabled = False
        backend.leaving = True
        await self._see_who_may_be_chosen(backend)
        for watcher in self.watchers:
            watcher.backend_leaving(backend)

    def _fail_waiting(self, failure: Failure) -> None:
        """Nobody is left to wait for."""
        while self.waiting:
            self.waiting.popleft().fail(failure)

    def _nobody(self) -> Failure:
        """Nobody may be asked; with when the first of the open breakers lets somebody try, where there are any."""
        breakers = (backend.guard.breaker for backend in self.backends.values() if backend.is_able)
        waits_s = [breaker.open_for_s for breaker in breakers if breaker is not None and breaker.is_open]
        if not waits_s:
            return NO_BACKEND
        seconds = ceil(round(min(waits_s), 3))  # differences of moments are binary fractions: 3600 may be a little more
        return replace(NO_BACKEND, retry_after_s=max(seconds, 1))

    async def add(self, settings: ServerSettings) -> Backend:
        """Take in a backend, healthy until a check says otherwise; only while `run` runs."""
        if self._tasks is None:
            raise RuntimeError("the group is not running")
        backend = self._make(settings)
        backend.was_chosen = False
        self._tasks.start_soon(backend.run)
        await self._see_who_may_be_chosen(backend)
        return backend

    def watch(self, settings: WatchSettings) -> None:
        """Take over other settings of how answers are judged."""
        self._watch = settings
        for backend in self.backends.values():
            backend.guard.use(settings)

    def use(self, servers: Sequence[ServerSettings]) -> None:
        """Take over other settings and another order of servers that are there already."""
        for position, settings in enumerate(servers):
            backend = self.backends.get(settings.name)
            if backend is not None and backend.address == settings.address:
                backend.use(settings, position)

    async def remove(self, name: str) -> Backend | None:
        """Let a backend go: it takes nothing new, and finishes what it has."""
        backend = self.backends.pop(name, None)
        if backend is not None:
            self._past.note(name, backend.counted())
            backend.close()
            for watcher in self.watchers:
                watcher.backend_leaving(backend)
            await self.set_up(backend, False)
        return backend
