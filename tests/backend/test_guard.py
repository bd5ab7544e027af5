"""What follows from requests that fail: who is taken out, who is not, and how one comes back."""

from __future__ import annotations

from tests.backend.test_group import Running, names, run
from tests.backend.test_pool import done
from tests.fakes import ANSWER, Client, in_loop, make_server, settle, until
from tests.integration.harness import logged
from wsproxy.config.watch_settings import OutlierSettings, WatchSettings

STRICT = WatchSettings(outlier=OutlierSettings(failures=2, time_s=3600.0))
BAD = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"
OOPS = b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"


def group(written: str, watch: WatchSettings = STRICT) -> Running:
    return Running(*(make_server(name) for name in written), watch=watch)


async def ask(it: Running, name: str, *answers: bytes) -> None:
    """Requests to one server, one after the other; an answer of b"" ends the connection, b"refuse" refuses it."""
    for answer in answers:
        upstream = it.upstreams[name]
        upstream.refusing = answer == b"refuse"
        upstream.always = answer
        for transport in upstream.open if upstream.refusing else ():
            transport.end()
        await settle()
        client = Client()
        assert it.group.backends[name].offer(client.exchange)
        client.exchange.begin()
        await until(lambda: done(client))  # noqa: B023 - awaited before the next round


@in_loop
async def test_failures_in_a_row_take_it_out() -> None:
    for bad in (BAD, b"", b"nonsense\r\n\r\n", b"refuse"):
        async with run(group("ab")) as it:
            await ask(it, "a", bad)
            assert names(it) == ["a", "b"]
            await ask(it, "a", bad)
            await until(lambda: names(it) == ["b"])
            guard = it.group.backends["a"].guard
            assert (guard.ejected, guard.ejections) == (True, 1)


@in_loop
async def test_a_good_answer_in_between_is_a_new_beginning() -> None:
    async with run(group("ab")) as it:
        guard = it.group.backends["a"].guard
        watching = [guard.watching]
        for answer in (BAD, ANSWER):  # between the two a success means something
            await ask(it, "a", answer)
            watching.append(guard.watching)
        assert watching == [False, True, False]
        await ask(it, "a", BAD, OOPS, BAD, OOPS)
        await settle()
        assert names(it) == ["a", "b"]


@in_loop
async def test_the_last_one_stays_and_so_does_half_of_them() -> None:
    async with run(group("a")) as it:
        await ask(it, "a", BAD, BAD, BAD)
        await settle()
        assert names(it) == ["a"]
    async with run(group("abc")) as it:
        await ask(it, "a", BAD, BAD)
        await ask(it, "b", BAD, BAD)
        await settle()
        assert names(it) == ["b", "c"]


@in_loop
async def test_what_happens_to_all_takes_nobody_out() -> None:
    async with run(group("ab")) as it:
        await ask(it, "b", BAD)
        await ask(it, "a", BAD, BAD, BAD)
        await settle()
        assert names(it) == ["a", "b"]
        await ask(it, "b", ANSWER)
        await ask(it, "a", BAD)
        await until(lambda: names(it) == ["b"])


@in_loop
async def test_one_that_is_out_is_better_than_nobody() -> None:
    async with run(group("ab")) as it:
        await ask(it, "a", BAD, BAD)
        await until(lambda: names(it) == ["b"])
        await it.group.set_up(it.group.backends["b"], False)
        assert names(it) == ["a"]
        await it.group.set_up(it.group.backends["b"], True)
        assert names(it) == ["b"]


@in_loop
async def test_its_time_ends() -> None:
    with logged() as log:
        async with run(group("ab", WatchSettings(outlier=OutlierSettings(failures=2, time_s=0.02)))) as it:
            await ask(it, "a", BAD, BAD)
            await until(lambda: names(it) == ["b"])
            await until(lambda: names(it) == ["a", "b"])
    assert log.of("WARNING") == ["a is ejected for 0.02 s: 2 failures in a row, the last: it answered 503"]
    assert "a is no longer ejected: its time is over" in log.of("INFO")


@in_loop
async def test_probes_bring_back_who_could_not_be_reached() -> None:
    async with run(group("ab")) as it:
        await ask(it, "a", b"refuse", b"refuse")
        await until(lambda: names(it) == ["b"])
        guard = it.group.backends["a"].guard
        assert [guard.probed(good, 2) for good in (True, False, True)] == [True, True, True]
        assert not guard.probed(True, 2)
        await until(lambda: names(it) == ["a", "b"])
        assert not guard.probed(True, 2), "which is nothing to look at closely"


@in_loop
async def test_so_does_word_of_probes_that_were_made_elsewhere() -> None:
    async with run(group("ab")) as it:
        guard = it.group.backends["a"].guard
        guard.heard_of_recoveries(3)
        await ask(it, "a", b"refuse", b"refuse")
        await until(lambda: names(it) == ["b"])
        guard.heard_of_recoveries(3)
        assert guard.ejected
        guard.heard_of_recoveries(4)
        await until(lambda: names(it) == ["a", "b"])


@in_loop
async def test_but_not_who_answered_badly_unless_they_had_taken_it_out_too() -> None:
    async with run(group("ab")) as it:
        await ask(it, "a", BAD, BAD)
        await until(lambda: names(it) == ["b"])
        backend = it.group.backends["a"]
        assert not any(backend.guard.probed(True, 2) for _ in range(10))
        assert backend.guard.ejected
        await it.group.set_up(backend, False)
        await it.group.set_up(backend, True)
        await until(lambda: names(it) == ["a", "b"])


@in_loop
async def test_a_reload_that_says_no_brings_it_back_and_another_one_keeps_it_out() -> None:
    async with run(group("ab")) as it:
        await ask(it, "a", BAD, BAD)
        await until(lambda: names(it) == ["b"])
        it.group.watch(WatchSettings(outlier=OutlierSettings(failures=3)))
        assert names(it) == ["b"]
        it.group.watch(WatchSettings(outlier=None))
        await until(lambda: names(it) == ["a", "b"])
        await ask(it, "a", BAD, BAD, BAD, BAD)
        await settle()
        assert names(it) == ["a", "b"]


@in_loop
async def test_who_is_removed_while_it_is_out_is_forgotten() -> None:
    async with run(group("ab")) as it:
        await ask(it, "a", BAD, BAD)
        await until(lambda: names(it) == ["b"])
        backend = await it.group.remove("a")
        assert backend is not None
        backend.guard.recovered()
        await settle()
        assert names(it) == ["b"]


@in_loop
async def test_clients_that_leave_are_nobodys_failure() -> None:
    async with run(group("ab")) as it:
        for _ in range(5):
            client = Client()
            assert it.group.backends["a"].offer(client.exchange)
            client.exchange.begin()
            await until(lambda: it.upstreams["a"].pending)
            client.leave()
            await until(lambda: done(client))  # noqa: B023 - awaited before the next round
            it.upstreams["a"].pending.clear()
        await settle()
        assert names(it) == ["a", "b"]


@in_loop
async def test_how_long_it_took_before_an_absence_is_forgotten() -> None:
    async with run(group("ab", WatchSettings(outlier=None, timed=True))) as it:
        backend = it.group.backends["a"]
        await ask(it, "a", ANSWER)
        found = [backend.latency_s]
        await it.group.set_up(backend, False)
        await it.group.set_up(backend, True)
        found.append(backend.latency_s)
        await ask(it, "a", BAD)  # which counts as a second
        found.append(backend.latency_s)
        assert [None if each is None else round(each) for each in found] == [0, None, 1]
