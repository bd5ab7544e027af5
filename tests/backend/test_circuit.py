"""A breaker around a backend: refused while open, tried by a few, and open to all again."""

from __future__ import annotations

from dataclasses import replace

from tests.backend.test_group import Running, names, run
from tests.backend.test_guard import BAD, OOPS, ask, group
from tests.backend.test_pool import done
from tests.fakes import ANSWER, Client, in_loop, settle, until
from tests.integration.harness import logged
from wsproxy.backend.circuit import CircuitBreaker
from wsproxy.config.watch_settings import BreakerSettings, WatchSettings
from wsproxy.errors import NO_BACKEND


def breaking(trials: int = 1, open_s: float = 3600.0) -> WatchSettings:
    return WatchSettings(outlier=None, breaker=BreakerSettings(failures=2, open_s=open_s, trials=trials))


def breaker(it: Running, name: str = "a") -> CircuitBreaker:
    found = it.group.backends[name].guard.breaker
    assert found is not None
    return found


def give(it: Running, count: int) -> list[Client]:
    clients = [Client(b"/%d" % number) for number in range(count)]
    it.submit(*clients)
    return clients


@in_loop
async def test_an_open_breaker_refuses_at_once_even_where_it_is_the_last() -> None:
    async with run(group("a", breaking())) as it:
        await ask(it, "a", BAD, BAD)
        await until(lambda: not names(it))
        (client,) = give(it, 1)
        assert client.exchange.failure == replace(NO_BACKEND, retry_after_s=3600)
        assert it.group.backends["a"].guard.is_open


@in_loop
async def test_who_is_refused_is_told_when_the_first_of_the_open_ones_may_be_tried() -> None:
    async with run(group("abc", breaking(open_s=3600.0))) as it:
        await ask(it, "a", BAD, BAD)
        it.group.watch(breaking(open_s=7.2))
        await ask(it, "b", BAD, BAD)
        await until(lambda: names(it) == ["c"])
        await it.group.disable(it.group.backends["c"])
        (client,) = give(it, 1)
        assert client.exchange.failure == replace(NO_BACKEND, retry_after_s=8), "rounded up"
        breaker(it, "b").begin_trials()
        await until(lambda: names(it) == ["b"])
        await it.group.set_up(it.group.backends["b"], False)
        (client,) = give(it, 1)
        assert client.exchange.failure == replace(NO_BACKEND, retry_after_s=3600)
        await it.group.disable(it.group.backends["a"])
        (client,) = give(it, 1)
        assert client.exchange.failure is NO_BACKEND, "nobody knows when"


@in_loop
async def test_other_statuses_and_successes_in_between_do_not_open_it() -> None:
    async with run(group("a", breaking())) as it:
        await ask(it, "a", BAD, ANSWER, BAD, OOPS, OOPS)
        await settle()
        assert names(it) == ["a"]


@in_loop
async def test_a_trial_goes_and_the_others_wait_for_what_comes_of_it() -> None:
    with logged() as log:
        async with run(group("a", breaking())) as it:
            await ask(it, "a", BAD, BAD)
            await until(lambda: not names(it))
            it.upstreams["a"].always = None
            breaker(it).begin_trials()
            await until(lambda: names(it) == ["a"])
            clients = give(it, 3)
            await until(lambda: it.upstreams["a"].pending)
            await settle()
            assert len(it.upstreams["a"].pending) == 1
            it.upstreams["a"].always = ANSWER
            it.upstreams["a"].answer()
            await until(lambda: all(done(client) for client in clients))
            assert [client.status for client in clients] == [200, 200, 200]
            assert not it.group.backends["a"].guard.watching
    assert log.of("WARNING") == ["a: its breaker opens for 3600 s; the last failure: it answered 503"]
    assert {"a: its breaker lets 1 requests try it", "a: its breaker closes: it answers again"} <= set(log.of("INFO"))


@in_loop
async def test_a_trial_that_fails_opens_it_again_and_who_waits_is_told() -> None:
    for bad in (BAD, b"nonsense\r\n\r\n"):
        async with run(group("a", breaking())) as it:
            await ask(it, "a", BAD, BAD)
            await until(lambda: not names(it))
            it.upstreams["a"].always = None
            breaker(it).begin_trials()
            await until(lambda: names(it) == ["a"])
            _, waiting = give(it, 2)
            await until(lambda: it.upstreams["a"].pending)
            it.upstreams["a"].answer(bad)
            await until(lambda: done(waiting))  # noqa: B023
            assert waiting.exchange.failure == replace(NO_BACKEND, retry_after_s=3600)
            assert breaker(it).state.count == 2


@in_loop
async def test_it_lets_trials_through_when_its_time_is_over() -> None:
    async with run(group("ab", breaking(open_s=0.02))) as it:
        await ask(it, "a", BAD, BAD)
        await until(lambda: it.group.backends["a"].guard.is_half_open)  # it may be so before we can see it open
        await until(lambda: names(it) == ["a", "b"])
        await ask(it, "a", ANSWER)
        assert not it.group.backends["a"].guard.is_half_open


@in_loop
async def test_health_checks_that_bring_it_back_begin_the_trials() -> None:
    async with run(group("ab", breaking())) as it:
        await ask(it, "a", BAD, BAD)
        backend = it.group.backends["a"]
        await it.group.set_up(backend, False)
        await it.group.set_up(backend, True)
        assert backend.guard.is_half_open


@in_loop
async def test_a_client_that_leaves_is_no_trial() -> None:
    async with run(group("a", breaking())) as it:
        await ask(it, "a", BAD, BAD)
        it.upstreams["a"].always = None
        breaker(it).begin_trials()
        await until(lambda: names(it) == ["a"])
        (leaver,) = give(it, 1)
        await until(lambda: it.upstreams["a"].pending)
        leaver.leave()
        await until(lambda: done(leaver))
        it.upstreams["a"].always = ANSWER
        (client,) = give(it, 1)
        await until(lambda: done(client))
        assert client.status == 200


@in_loop
async def test_a_reload_takes_it_away() -> None:
    async with run(group("ab", breaking())) as it:
        await ask(it, "a", BAD, BAD)
        await until(lambda: names(it) == ["b"])
        it.group.watch(breaking(trials=5))
        assert names(it) == ["b"]
        it.group.watch(WatchSettings(outlier=None))
        await until(lambda: names(it) == ["a", "b"])
        await ask(it, "a", BAD, BAD, BAD)
        await settle()
        assert names(it) == ["a", "b"]
