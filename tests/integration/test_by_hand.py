"""What operators have changed by hand in a proxy holds in the one that takes its place, as it would after a reload."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.integration.harness import Proxy, eventually, http_route, in_loop, logged, proxy
from wsproxy.admin.control import Control
from wsproxy.by_hand import changes_by_hand, repeat_changes

ROUTE = http_route(19, 29, 39)  # whether somebody listens there is all the same
FIRST, SECOND, THIRD = "127.0.0.1:19", "127.0.0.1:29", "127.0.0.1:39"


@asynccontextmanager
async def operated(routes: str = ROUTE) -> AsyncIterator[tuple[Proxy, Control]]:
    async with proxy(routes) as running:
        yield running, running.application.make_control()


def told(running: Proxy) -> Any:
    """What it tells a successor, as that reads it."""
    return json.loads(json.dumps(changes_by_hand(running.application.groups.values())))


async def heard(changes: object, routes: str = ROUTE) -> dict[str, tuple[str, int]]:
    """The servers of a successor that was told this: each one's state and weight."""
    async with operated(routes) as (running, control):
        await running.application.groups.until_ready()
        await repeat_changes(changes, running.application.groups, control)
        backends = (await control.snapshot()).backends()
        return {each.url.removeprefix("http://"): (each.state, each.weight) for each in backends}


UNTOUCHED = {FIRST: ("up", 1), SECOND: ("up", 1), THIRD: ("up", 1)}


@in_loop
async def test_where_nothing_was_changed_nothing_is_told() -> None:
    async with operated() as (running, control):
        await control.disable_backend("http", FIRST)
        await control.enable_backend("http", FIRST)
        assert told(running) == []


@in_loop
async def test_what_was_changed_of_servers_holds() -> None:
    async with operated() as (running, control):
        await control.disable_backend("http", FIRST)
        await control.drain_backend("http", SECOND)
        await control.set_weight("http", THIRD, 7)
        changes = told(running)
    assert await heard(changes) == {FIRST: ("disabled", 1), SECOND: ("draining", 1), THIRD: ("up", 7)}


@in_loop
async def test_servers_that_were_added_and_removed_are_so_again() -> None:
    async with operated() as (running, control):
        await control.add_backend("http", "127.0.0.1:49", 3)
        await control.remove_backend("http", SECOND)
        await control.disable_backend("http", "127.0.0.1:49")
        changes = told(running)
    assert await heard(changes) == {FIRST: ("up", 1), THIRD: ("up", 1), "127.0.0.1:49": ("disabled", 3)}


@in_loop
async def test_a_server_that_the_file_has_disabled_may_have_been_enabled() -> None:
    routes = http_route(19, 29, 39, lines="server1_enabled = no")
    async with operated(routes) as (running, control):
        await control.enable_backend("http", FIRST)
        changes = told(running)
    assert await heard(changes, routes) == UNTOUCHED


@pytest.mark.parametrize(
    ("routes", "expected"),
    [
        (http_route(29, 39), {SECOND: ("up", 1), THIRD: ("up", 1)}),
        (http_route(19, section="http:other"), {FIRST: ("up", 1)}),
    ],
    ids=["server", "group"],
)
def test_what_is_no_longer_there_is_not_changed(routes: str, expected: dict[str, tuple[str, int]]) -> None:
    @in_loop
    async def test() -> None:
        async with operated(http_route(19, 29, 39, lines="server1_enabled = no")) as (running, control):
            await control.enable_backend("http", FIRST)
            changes = told(running)
        assert await heard(changes, routes) == expected

    test()


@in_loop
async def test_a_weight_that_the_file_has_changed_is_the_files() -> None:
    weighted = "algorithm = weighted-round-robin\n"
    async with operated(http_route(19, 29, lines=weighted + "server1_weight = 2")) as (running, control):
        await control.set_weight("http", FIRST, 7)
        changes = told(running)
    assert (await heard(changes, http_route(19, 29, lines=weighted + "server1_weight = 2")))[FIRST] == ("up", 7)
    assert (await heard(changes, http_route(19, 29, lines=weighted + "server1_weight = 5")))[FIRST] == ("up", 5)


@in_loop
async def test_servers_of_another_file_are_neither_added_nor_removed() -> None:
    async with operated() as (running, control):
        await control.add_backend("http", "127.0.0.1:49", 1)
        await control.remove_backend("http", SECOND)
        changes = told(running)
    assert await heard(changes, http_route(19, 29)) == {FIRST: ("up", 1), SECOND: ("up", 1)}


@in_loop
async def test_a_server_that_the_file_has_got_meanwhile_is_no_error() -> None:
    async with operated() as (running, control):
        await control.add_backend("http", "127.0.0.1:49", 1)
        changes = told(running)
        changes[0]["added"].append({"url": FIRST, "weight": 1})
    with logged() as log:
        assert len(await heard(changes)) == 4
    assert any("cannot be taken over" in line for line in log.of("WARNING"))


@pytest.mark.parametrize("url", [None, 7, ["http://127.0.0.1:49"], "http://"])
def test_a_server_that_is_named_in_another_way_is_left_out(url: object) -> None:
    @in_loop
    async def test() -> None:
        async with operated() as (running, control):
            await control.add_backend("http", "127.0.0.1:49", 1)
            await control.set_weight("http", FIRST, 7)
            changes = told(running)
        changes[0]["added"][0]["url"] = url
        assert await heard(changes) == UNTOUCHED | {FIRST: ("up", 7)}

    test()


@pytest.mark.parametrize("changes", [None, 7, {}, [7], [{}], [{"group": "http"}], [{"group": 7, "written": []}]])
def test_what_another_version_tells_in_another_way_changes_nothing(changes: object) -> None:
    @in_loop
    async def test() -> None:
        assert await heard(changes) == UNTOUCHED

    test()


@in_loop
async def test_what_was_found_out_of_service_is_no_operators_word(tmp_path: Path) -> None:
    found = tmp_path / "servers.json"
    found.write_text(json.dumps({"servers": [{"addr": FIRST, "enabled": False}, SECOND, THIRD]}))
    routes = f"[http]\ndiscover = file://{found}\nhealth_check_interval = 1h\n"
    async with operated(routes) as (running, control):
        group = running.application.groups["http"].group
        await eventually(lambda: len(group.backends) == 3)
        await control.disable_backend("http", SECOND)
        (change,) = told(running)
        assert [each["server"] for each in change["servers"]] == [SECOND]


@in_loop
async def test_what_was_changed_of_servers_that_are_found_holds(tmp_path: Path) -> None:
    found = tmp_path / "servers.json"
    found.write_text(json.dumps({"servers": [FIRST, {"addr": SECOND, "weight": 2}, THIRD]}))
    routes = f"[http]\ndiscover = file://{found}\nhealth_check_interval = 1h\n"
    async with operated(routes) as (running, control):
        await eventually(lambda: len(running.application.groups["http"].group.backends) == 3)
        await control.set_weight("http", SECOND, 7)
        await control.remove_backend("http", FIRST)
        await control.add_backend("http", "127.0.0.1:49", 3)
        changes = told(running)
    kept = {THIRD: ("up", 1), "127.0.0.1:49": ("up", 3)}
    assert await heard(changes, routes) == {SECOND: ("up", 7), **kept}
    found.write_text(json.dumps({"servers": [FIRST, {"addr": SECOND, "weight": 4}, THIRD, "127.0.0.1:59"]}))
    others = {FIRST: ("up", 1), "127.0.0.1:59": ("up", 1)}
    assert await heard(changes, routes) == {SECOND: ("up", 4), **kept, **others}


@in_loop
async def test_a_server_that_the_file_has_disabled_meanwhile_is_so_though_its_weight_was_changed() -> None:
    async with operated() as (running, control):
        await control.set_weight("http", FIRST, 7)
        changes = told(running)
    assert (await heard(changes, http_route(19, 29, 39, lines="server1_enabled = no")))[FIRST] == ("disabled", 7)


@in_loop
async def test_a_server_that_is_found_out_of_service_is_so_though_its_weight_was_changed(tmp_path: Path) -> None:
    found = tmp_path / "servers.json"
    found.write_text(json.dumps({"servers": [{"addr": FIRST, "enabled": False}, SECOND]}))
    routes = f"[http]\ndiscover = file://{found}\nhealth_check_interval = 1h\n"
    async with operated(routes) as (running, control):
        await eventually(lambda: len(running.application.groups["http"].group.backends) == 2)
        await control.set_weight("http", FIRST, 7)
        changes = told(running)
    assert (await heard(changes, routes))[FIRST] == ("disabled", 7)
