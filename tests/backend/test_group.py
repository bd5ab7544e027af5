"""A group: which backend gets an exchange, who waits for any of them, and what verdicts and removals do to both."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TypeVar

import pytest

from tests.backend.test_pool import done
from tests.fakes import ANSWER, ROUTE, Client, UpstreamDialer, in_loop, make_server, settle, sweep, until
from wsproxy.backend.backend import Backend
from wsproxy.backend.group import Group
from wsproxy.backend.pool import WorkerPool
from wsproxy.balancing.affinity import Preference
from wsproxy.balancing.slow_start import PARTS
from wsproxy.config.group_settings import ServerSettings
from wsproxy.config.watch_settings import WatchSettings
from wsproxy.errors import NO_BACKEND, QUEUE_TIMEOUT, STOPPING
from wsproxy.net.deadlines import NEVER, Deadlines

T = TypeVar("T")


class InOrder:
    """Prefers backends as they stand."""

    def order(self, candidates: Sequence[T], key: bytes = b"") -> Iterator[T]:
        return iter(candidates)


class Running:
    """A running group, each of its backends on a scripted server of its own."""

    def __init__(self, *servers: ServerSettings, watch: WatchSettings | None = None) -> None:
        self.deadlines = Deadlines()
        self.group = Group("http", servers, self.deadlines, watch or WatchSettings(outlier=None))
        self.upstreams: dict[str, UpstreamDialer] = {}
        for backend in self.group.backends.values():
            self.script(backend)

    def script(self, backend: Backend) -> UpstreamDialer:
        upstream = UpstreamDialer()
        backend.pool._dialer = upstream
        self.upstreams[backend.name] = upstream
        return upstream

    def pool(self, name: str) -> WorkerPool:
        return self.group.backends[name].pool

    def submit(self, *clients: Client) -> None:
        """As `forward` does for each attempt."""
        for client in clients:
            servers = self.group.healthy.snapshot()
            assert servers is not None
            self.group.submit(client.exchange, InOrder(), servers)

    def carried_by(self, name: str) -> list[bytes]:
        return [request.split(b" ", 2)[1] for request, _ in self.upstreams[name].requests]


SMALL = {"max_workers": 1, "buffer_size": 0}
"""A server that takes one exchange at a time and queues none, so that the next one waits for the group."""


@asynccontextmanager
async def running(*names: str, **options: int) -> AsyncIterator[Running]:
    async with run(Running(*(make_server(name, **(options or SMALL)) for name in names))) as it:
        yield it


@asynccontextmanager
async def run(it: Running) -> AsyncIterator[Running]:
    task = asyncio.ensure_future(it.group.run())
    await until(lambda: all(backend.pool.idle for backend in it.group.backends.values()))
    yield it
    task.cancel()
    await asyncio.wait([task])
    assert len(it.deadlines) == 0
    await settle()
    assert not any(upstream.open for upstream in it.upstreams.values())


@in_loop
async def test_the_first_with_room_takes_it() -> None:
    async with running("a", "b") as it:
        clients = Client(b"/1"), Client(b"/2")
        it.submit(*clients)
        await until(lambda: it.carried_by("b"))
        assert (it.carried_by("a"), it.carried_by("b")) == ([b"/1"], [b"/2"])
        it.upstreams["a"].answer()
        await until(lambda: done(clients[0]))
        assert clients[0].exchange.backend_name == "a"


@in_loop
async def test_with_every_queue_full_they_wait_and_are_served_in_their_order_by_whoever_is_free() -> None:
    async with running("a", "b") as it:
        clients = [Client(b"/%d" % i) for i in range(6)]
        it.submit(*clients)
        assert len(it.group.waiting) == 4
        await until(lambda: it.upstreams["a"].pending)
        await until(lambda: it.upstreams["b"].pending)
        for name in "babb":
            it.upstreams[name].answer()
            await until(lambda: it.upstreams[name].pending)  # noqa: B023 - awaited before the next round
        assert it.carried_by("a") == [b"/0", b"/3"]
        assert it.carried_by("b") == [b"/1", b"/2", b"/4", b"/5"]
        assert not it.group.waiting


@in_loop
async def test_a_newcomer_does_not_overtake_who_waits() -> None:
    async with running("a") as it:
        busy, waiting, newcomer = Client(b"/busy"), Client(b"/waiting"), Client(b"/newcomer")
        it.submit(busy, waiting)
        await until(lambda: it.upstreams["a"].pending)
        it.upstreams["a"].answer()  # the worker is about to be free, and has not looked yet
        it.submit(newcomer)
        for _ in range(2):
            await until(lambda: it.upstreams["a"].pending)
            it.upstreams["a"].answer()
        await until(lambda: done(newcomer))
        assert it.carried_by("a") == [b"/busy", b"/waiting", b"/newcomer"]


@in_loop
async def test_queue_timeout_counts_for_who_waits_even_if_never_offered() -> None:
    async with running("a") as it:
        hasty = replace(ROUTE, queue_timeout_s=5.0)
        offered, not_offered = Client(route=hasty), Client(route=hasty)
        it.submit(Client(), offered, not_offered)
        sweep(it.deadlines, 4.0)
        assert not done(offered)
        assert not done(not_offered)
        sweep(it.deadlines, 6.0)
        for client in (offered, not_offered):
            assert client.exchange.failure is QUEUE_TIMEOUT
            assert client.status == 503
        assert it.group.deadline == NEVER


@in_loop
async def test_a_short_queue_timeout_counts_behind_a_long_one() -> None:
    async with running("a") as it:
        patient, hasty = Client(route=replace(ROUTE, queue_timeout_s=60.0)), Client()
        it.submit(Client(), patient, hasty)
        sweep(it.deadlines, 10.0)
        assert done(hasty)
        assert not done(patient)


@in_loop
async def test_a_further_attempt_goes_elsewhere_and_waits_on_a_clock_of_its_own() -> None:
    async with running("a", "b") as it:
        client = Client()
        client.exchange.tried = ("a",)
        client.exchange.offered_at = client.exchange.give_up_at = 1.0  # long ago: a worker had it meanwhile
        it.submit(Client(), Client(), client)
        assert client.exchange.give_up_at > asyncio.get_running_loop().time()
        await until(lambda: it.upstreams["a"].pending)
        it.upstreams["a"].answer()
        await until(lambda: it.pool("a").idle == 1)
        assert not done(client), "it came from there"
        await until(lambda: it.upstreams["b"].pending)
        it.upstreams["b"].answer()
        await until(lambda: it.upstreams["b"].pending)
        it.upstreams["b"].answer()
        await until(lambda: done(client))
        assert client.exchange.backend_name == "b"


@in_loop
async def test_a_further_attempt_begins_behind_the_server_that_failed() -> None:
    async with running("a", "b", "c") as it:
        client = Client(b"/1")
        client.exchange.tried = ("b",)
        it.submit(client)
        await until(lambda: it.carried_by("c"))
        client = Client(b"/2")
        client.exchange.tried = ("gone",)
        it.submit(client)
        await until(lambda: it.carried_by("a"))


@in_loop
async def test_who_waits_for_another_server_does_not_keep_newcomers_from_an_idle_one() -> None:
    async with running("a", "b") as it:
        it.submit(Client(), Client())
        returned, newcomer = Client(), Client(b"/newcomer")
        returned.exchange.tried = ("a",)
        it.submit(returned)
        await until(lambda: it.upstreams["a"].pending)
        it.upstreams["a"].answer()
        await until(lambda: it.pool("a").idle == 1)
        it.submit(newcomer)
        await until(lambda: it.carried_by("a")[-1] == b"/newcomer")
        assert list(it.group.waiting) == [returned.exchange]


@in_loop
async def test_nobody_left_to_try() -> None:
    async with running("a") as it:
        await it.group.set_up(it.group.backends["a"], False)
        client = Client()
        it.submit(client)
        assert client.exchange.failure is NO_BACKEND
        client = Client()
        client.exchange.tried = ("a",)
        client.exchange.failure = QUEUE_TIMEOUT
        it.submit(client)
        assert client.exchange.failure is QUEUE_TIMEOUT, "the last attempt's own failure says more"


@in_loop
async def test_a_client_that_leaves_while_it_waits_is_taken_out() -> None:
    async with running("a") as it:
        leaver, stayer = Client(b"/leaver"), Client(b"/stayer")
        it.submit(Client(b"/busy"), leaver, stayer)
        leaver.leave()
        assert leaver.status == 499
        assert list(it.group.waiting) == [stayer.exchange]
        await until(lambda: it.upstreams["a"].pending)
        it.upstreams["a"].answer()
        await until(lambda: it.upstreams["a"].pending)
        assert it.carried_by("a") == [b"/busy", b"/stayer"]
        assert leaver.exchange.times_finished == 1
        it.group.let_go(leaver.exchange)  # once more changes nothing
        assert len(it.group.waiting) == 0


# Verdicts.


@in_loop
async def test_when_the_last_server_goes_down_who_waits_is_told() -> None:
    async with running("a", "b") as it:
        waiting = Client()
        it.submit(Client(), Client(), waiting)
        await it.group.set_up(it.group.backends["a"], False)
        assert not done(waiting)
        await it.group.set_up(it.group.backends["b"], False)
        assert waiting.exchange.failure is NO_BACKEND


@in_loop
async def test_two_verdicts_at_once_do_not_look_like_nobody_left() -> None:
    async with running("a", "b", "c") as it:
        waiting = Client()
        it.submit(Client(), Client(), Client(), waiting)
        lock = it.group.healthy._lock
        assert lock.try_read()  # so that the writers line up behind one another
        verdicts = [asyncio.ensure_future(it.group.set_up(it.group.backends[name], False)) for name in "ab"]
        await settle()
        lock.release_read()
        await asyncio.gather(*verdicts)
        assert not done(waiting), "c is still there"


@in_loop
async def test_a_server_that_is_down_takes_nothing_of_what_waits_until_it_is_up() -> None:
    async with running("a", "b") as it:
        waiting = Client(b"/waiting")
        it.submit(Client(), Client(), waiting)
        await it.group.set_up(it.group.backends["a"], False)
        await until(lambda: it.upstreams["a"].pending)
        it.upstreams["a"].answer()
        await until(lambda: it.pool("a").idle == 1)
        assert not done(waiting)
        await it.group.set_up(it.group.backends["a"], True)
        await until(lambda: it.upstreams["a"].pending)
        assert it.carried_by("a")[-1] == b"/waiting"


# Servers that come and go.


@in_loop
async def test_a_server_that_joins_takes_what_waits() -> None:
    async with running("a") as it:
        waiting = Client()
        it.submit(Client(), waiting)
        backend = await it.group.add(make_server("b", min_workers=0))
        upstream = it.script(backend)
        upstream.always = ANSWER
        await until(lambda: done(waiting))
        assert waiting.exchange.backend_name == "b"
        assert it.group.healthy.snapshot() == tuple(it.group.backends.values())


@in_loop
async def test_a_server_that_leaves_finishes_what_it_has() -> None:
    async with running("a", "b") as it:
        client = Client()
        it.submit(client)
        await until(lambda: it.upstreams["a"].pending)
        backend = await it.group.remove("a")
        assert backend is not None
        assert backend.leaving
        assert it.group.healthy.snapshot() == (it.group.backends["b"],)
        await it.group.set_up(backend, True)
        assert it.group.healthy.snapshot() == (it.group.backends["b"],), "a late verdict brings nobody back"
        it.upstreams["a"].answer()
        await until(lambda: done(client))
        assert client.status == 200
        await until(lambda: not it.upstreams["a"].open)
        assert await it.group.remove("a") is None


@in_loop
async def test_a_group_that_does_not_run_takes_nobody_in() -> None:
    it = Running(make_server("a"), make_server("off", enabled=False))
    assert list(it.group.backends) == ["a", "off"]
    assert names(it) == ["a"]
    with pytest.raises(RuntimeError):
        await it.group.add(make_server("b"))


class Watcher:
    """Who holds leases; keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def backend_leaving(self, backend: Backend) -> None:
        self.told.append(backend.name)


def names(it: Running) -> list[str]:
    return [backend.name for backend in it.group.healthy.snapshot() or ()]


@in_loop
async def test_what_an_operator_disables_gets_nothing_new_until_enabled() -> None:
    async with running("a", "b") as it:
        watcher = Watcher()
        it.group.watchers.append(watcher)
        backend = it.group.backends["a"]
        await it.group.disable(backend)
        assert names(it) == ["b"]
        await it.group.set_up(backend, False)
        await it.group.set_up(backend, True)
        assert names(it) == ["b"], "a verdict does not overrule an operator"
        await it.group.enable(backend)
        assert names(it) == ["a", "b"]
        assert not watcher.told, "its relays stay"


@in_loop
async def test_an_operator_does_not_overrule_a_verdict() -> None:
    async with running("a", "b") as it:
        backend = it.group.backends["a"]
        await it.group.set_up(backend, False)
        await it.group.disable(backend)
        await it.group.enable(backend)
        assert names(it) == ["b"]


@in_loop
async def test_what_is_drained_lets_its_relays_go_and_can_come_back() -> None:
    async with running("a", "b") as it:
        watcher = Watcher()
        it.group.watchers.append(watcher)
        backend = it.group.backends["a"]
        await it.group.drain(backend)
        assert names(it) == ["b"]
        assert backend.leaving
        assert watcher.told == ["a"]
        await it.group.enable(backend)
        assert names(it) == ["a", "b"]
        assert not it.group.backends["a"].leaving
        await it.group.remove("a")
        await it.group.enable(backend)
        assert names(it) == ["b"], "what was removed does not come back"


@in_loop
async def test_when_the_last_server_is_disabled_who_waits_is_told() -> None:
    async with running("a") as it:
        first, waiting = Client(), Client()
        it.submit(first, waiting)
        await until(lambda: it.upstreams["a"].pending)
        await it.group.disable(it.group.backends["a"])
        await until(lambda: waiting.exchange.failure)
        assert waiting.exchange.failure is NO_BACKEND
        it.upstreams["a"].answer()
        await until(lambda: done(first))
        assert first.status == 200


@in_loop
async def test_a_group_that_ends_leaves_nobody_waiting() -> None:
    it = Running(make_server("a", **SMALL))
    clients = Client(b"/1"), Client(b"/2")
    late = Client()
    async with run(it):
        it.submit(*clients)
        await until(lambda: it.upstreams["a"].pending)
        assert list(it.group.waiting) == [clients[1].exchange]
    assert [client.exchange.failure for client in clients] == [STOPPING] * 2
    assert not it.group.waiting
    it.submit(late)
    assert late.exchange.failure is STOPPING
    assert done(late)


# A backend by itself.


@in_loop
async def test_a_backend_counts_its_leases() -> None:
    backend = Running(make_server("a")).group.backends["a"]
    assert (backend.name, str(backend.address), backend.leases) == ("a", "192.0.2.9:80", 0)
    backend.acquire_lease()
    backend.acquire_lease()
    backend.release_lease()
    assert backend.leases == 1


# Spare servers, and those that an exchange is bound to.


@in_loop
async def test_a_spare_server_is_chosen_only_when_no_other_may_be() -> None:
    spare, weightless = replace(make_server("b"), backup=True), replace(make_server("c"), weight=0)
    it = Running(make_server("a"), spare, weightless)
    async with run(it):
        a, b, c = it.group.backends.values()
        assert it.group.healthy.snapshot() == (a,)
        await it.group.set_up(a, up=False)
        assert it.group.healthy.snapshot() == (b, c)
        await it.group.set_up(a, up=True)
        assert it.group.healthy.snapshot() == (a,)


@in_loop
async def test_a_spare_server_takes_nothing_that_waits_for_the_others() -> None:
    it = Running(make_server("a", **SMALL), replace(make_server("b"), backup=True))
    async with run(it):
        waiting = Client(b"/waiting")
        it.submit(Client(b"/busy"), waiting)
        await until(lambda: it.upstreams["a"].pending)
        it.pool("b").fill()
        assert list(it.group.waiting) == [waiting.exchange]
        await it.group.set_up(it.group.backends["a"], up=False)
        await until(lambda: it.carried_by("b") == [b"/waiting"])


@in_loop
async def test_what_policies_derived_is_void_once_weights_change() -> None:
    async with running("a", "b") as it:
        before = it.group.healthy.snapshot()
        await it.group.weigh()
        after = it.group.healthy.snapshot()
        assert after == before
        assert after is not before
        a, b = it.group.backends.values()
        a.use(replace(a.settings, weight=0), a.position)
        await it.group.weigh()
        assert it.group.healthy.snapshot() == (b,)


def belonging(client: Client, name: str) -> Client:
    client.exchange.preference = Preference(b"", b"", None)
    client.exchange.preference.bound_to = name
    return client


@in_loop
async def test_what_is_bound_waits_for_its_server_alone_and_for_any_once_that_is_gone() -> None:
    async with running("a", "b") as it:
        a, b = it.group.backends.values()
        bound, other = belonging(Client(b"/bound"), "a"), Client(b"/other")
        it.submit(Client(b"/1"), Client(b"/2"))
        it.group.submit(bound.exchange, InOrder(), (a,))
        it.submit(other)
        await until(lambda: it.upstreams["b"].pending)
        it.upstreams["b"].answer()
        await until(lambda: it.carried_by("b") == [b"/2", b"/other"])
        assert list(it.group.waiting) == [bound.exchange]
        await it.group.disable(a)
        it.upstreams["b"].answer()
        await until(lambda: it.carried_by("b") == [b"/2", b"/other", b"/bound"])
        assert b.load == 1


class Reversed:
    """Prefers backends from the last to the first."""

    def order(self, candidates: Sequence[T], key: bytes = b"") -> Iterator[T]:
        return iter(candidates[::-1])


@in_loop
async def test_a_further_attempt_of_what_has_a_key_goes_to_the_next_choice_for_it() -> None:
    async with running("a", "b", "c") as it:
        for key, heir in ((b"key", "b"), (b"", "a")):
            client = Client(b"/" + key)
            client.exchange.tried = ("c",)
            it.group.submit(client.exchange, Reversed(), tuple(it.group.backends.values()), key)
            await until(lambda: it.carried_by(heir) == [b"/" + key])  # noqa: B023 - awaited in its round


@in_loop
async def test_load_is_what_workers_carry_the_queue_and_the_leases() -> None:
    async with running("a", max_workers=1, buffer_size=2) as it:
        (a,) = it.group.backends.values()
        assert (a.load, a.weight, a.is_spare) == (0, PARTS, False)
        it.submit(Client(), Client())
        a.acquire_lease()
        await until(lambda: it.upstreams["a"].pending)
        assert a.load == 3
        a.release_lease()
        it.upstreams["a"].answer()
        await until(lambda: a.load == 1)
