"""The share of a server that comes, or comes back, grows; that of one nobody can stand in for does not."""

from __future__ import annotations

from tests.backend.test_group import Running, run
from tests.fakes import in_loop, make_server, sweep
from wsproxy.backend.backend import Backend
from wsproxy.balancing.slow_start import PARTS
from wsproxy.config.watch_settings import WatchSettings

SLOW = WatchSettings(slow_start_s=30.0)


def served(*names: str, watch: WatchSettings = SLOW) -> Running:
    """A group that has had requests."""
    it = Running(*(make_server(name) for name in names), watch=watch)
    it.pool("a").connections_opened = 1
    return it


def weights(it: Running) -> list[int]:
    return [backend.weight for backend in it.group.backends.values()]


async def bounce(it: Running, backend: Backend) -> None:
    """It goes down, and is back at once."""
    await it.group.set_up(backend, False)
    await it.group.set_up(backend, True)


async def at(it: Running, now: float) -> list[int]:
    """The weights at this time."""
    sweep(it.deadlines, now)
    await it.group.weigh()
    return weights(it)


@in_loop
async def test_a_server_that_recovers_gets_its_share_little_by_little() -> None:
    async with run(Running(make_server("a"), make_server("b", weight=4), watch=SLOW)) as it:
        it.pool("a").connections_opened = 1
        assert weights(it) == [PARTS, 4 * PARTS]
        sweep(it.deadlines, 0.0)
        version = it.group.healthy.version
        await bounce(it, it.group.backends["b"])
        assert weights(it) == [PARTS, 1]
        assert it.group.healthy.version > version, "policies look at weights anew"
        assert await at(it, 15.0) == [PARTS, 2 * PARTS]
        assert await at(it, 31.0) == [PARTS, 4 * PARTS]
        assert it.group.backends["b"].warming_since is None


@in_loop
async def test_a_server_that_joins_does_too() -> None:
    async with run(served("a")) as it:
        sweep(it.deadlines, 0.0)
        it.script(await it.group.add(make_server("b")))
        assert await at(it, 3.0) == [PARTS, PARTS // 10]


@in_loop
async def test_nobody_warms_up_where_nobody_else_is_or_nobody_asked_for_it() -> None:
    async with run(served("a")) as it:
        await bounce(it, it.group.backends["a"])
        assert weights(it) == [PARTS]
    async with run(served("a", "b", watch=WatchSettings())) as it:
        await bounce(it, it.group.backends["b"])
        assert weights(it) == [PARTS, PARTS]
    async with run(Running(make_server("a"), make_server("b"), watch=SLOW)) as it:
        await bounce(it, it.group.backends["b"])
        assert weights(it) == [PARTS, PARTS], "nobody has had a request yet"


@in_loop
async def test_a_reload_that_takes_the_key_away_ends_it() -> None:
    async with run(served("a", "b")) as it:
        await bounce(it, it.group.backends["b"])
        it.group.watch(WatchSettings())
        assert await at(it, 0.1) == [PARTS, PARTS]
