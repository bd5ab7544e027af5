"""The groups of an application: which stay, which are made anew, which go, and that they run while all do."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio

from tests.fakes import make_server
from tests.integration.harness import in_loop
from wsproxy.config.discovery_settings import DiscoverySettings, Target
from wsproxy.config.group_settings import GroupSettings
from wsproxy.groups import Groups
from wsproxy.net.deadlines import Deadlines
from wsproxy.running import RunningGroup


def group(name: str, *servers: str) -> GroupSettings:
    """Servers that are switched off, so that nobody probes them."""
    return GroupSettings(name, tuple(make_server(each, enabled=False) for each in servers))


def groups(*wanted: GroupSettings) -> Groups:
    deadlines, rng = Deadlines(), random.Random(1)
    made = Groups(lambda settings: RunningGroup(settings, deadlines, rng))
    for each in wanted:
        made.add(each)
    return made


@asynccontextmanager
async def running(*wanted: GroupSettings) -> AsyncIterator[Groups]:
    made = groups(*wanted)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(made.run)
        await made.until_ready()
        yield made
        tasks.cancel_scope.cancel()


@in_loop
async def test_they_are_a_mapping_in_the_order_of_the_file() -> None:
    made = groups(group("http", "a", "b"), group("chat", "c"))
    assert (list(made), len(made)) == (["http", "chat"], 2)
    assert made["chat"].group.name == "chat"
    assert [backend.name for backend in made.backends] == ["a", "b", "c"]


@in_loop
async def test_an_unchanged_group_keeps_its_object_and_a_changed_one_its_servers() -> None:
    async with running(group("http", "a"), group("chat", "b")) as made:
        before, (server,) = dict(made), made["chat"].group.backends.values()
        assert await made.change([group("http", "a"), group("chat", "b", "c")]) == []
        assert dict(made) == before
        assert list(made["chat"].group.backends) == ["b", "c"]
        assert made["chat"].group.backends["b"] is server


@in_loop
async def test_one_whose_servers_come_another_way_is_made_anew_and_runs(tmp_path: Path) -> None:
    path = tmp_path / "servers.json"
    path.write_text('["127.0.0.1:9"]')
    async with running(group("http", "a")) as made:
        old = made["http"]
        found = DiscoverySettings(Target("file", path=str(path)))
        settings = GroupSettings("http", template=make_server("", enabled=False), discovery=found)
        assert await made.change([settings]) == [old]
        await made.until_ready()
        assert made["http"] is not old
        assert list(made["http"].group.backends) == ["127.0.0.1:9"]


@in_loop
async def test_one_that_is_not_wanted_any_more_is_gone_at_once_and_ends_in_its_own_time() -> None:
    async with running(group("http", "a"), group("chat", "b")) as made:
        (server,) = made["chat"].group.backends.values()
        leaving = await made.change([group("http", "a")])
        assert ([each.group.name for each in leaving], list(made)) == (["chat"], ["http"])
        assert not server.leaving, "requests are led there until the routes have changed too"
        await made.retire(leaving, timeout_s=30)
        await server.gone.wait()
