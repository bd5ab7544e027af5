"""The figures of several processes as one, and of those that have ended."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import Any, get_args, get_type_hints

from wsproxy.observe.histogram import Durations
from wsproxy.observe.merging import GAUGES, LONGEST, OF_ANY, OF_THE_FIRST, TROUBLE, bounded, ended, merged
from wsproxy.observe.past import MOST_NAMES
from wsproxy.observe.snapshot import (
    Answered,
    BackendFigures,
    BackendState,
    Carried,
    FrontendFigures,
    GroupFigures,
    PoolFigures,
    ProcessFigures,
    RouteFigures,
    Snapshot,
    WebSocketFigures,
)

ONE_MS = Durations((1, *(0,) * 15), 0.001)


def snapshot(pid: int, **changes: Any) -> Snapshot:
    pool = PoolFigures(
        workers=2, idle=1, max_workers=5, exchanges=10, oldest_wait_s=float(pid), failed={"upstream": pid}
    )
    backend = BackendFigures("http", "a", "http://a:1", weight=4, websockets=3, pool=pool)
    route = RouteFigures(
        "websocket",
        "websocket",
        "http",
        (Answered("a", 200, ONE_MS, ONE_MS), Answered("a", 500 + pid, ONE_MS, ONE_MS)),
        websockets=WebSocketFigures(open={"a": 3}, closes={("client", 1000): pid}, client=Carried(messages=7)),
    )
    whole = Snapshot(
        at=float(pid),
        version="1",
        frontends=(FrontendFigures("frontend", ("x:1",), 5, 50, 100, {404: pid}),),
        routes=(route,),
        groups=(GroupFigures("http", 1, (backend,)),),
        processes=(ProcessFigures(pid, 0.0),),
    )
    return replace(whole, **changes)


def test_counts_are_added_up() -> None:
    both = merged([snapshot(1), snapshot(2)])
    (backend,) = both.backends()
    assert (backend.pool.workers, backend.pool.max_workers, backend.pool.exchanges) == (4, 10, 20)
    assert backend.pool.failed == {"upstream": 3}
    assert (backend.weight, backend.websockets, backend.pool.oldest_wait_s) == (4, 6, 2.0)
    (route,) = both.routes
    assert [(each.code, each.total.count) for each in route.answered] == [(200, 2), (501, 1), (502, 1)]
    assert route.websockets is not None
    assert route.websockets.open == {"a": 6}
    assert route.websockets.closes == {("client", 1000): 3}
    assert route.websockets.client.messages == 14
    (frontend,) = both.frontends
    assert (frontend.connections, frontend.max_connections, frontend.accepted) == (10, 100, 200)
    assert (frontend.refused, frontend.addresses) == ({404: 3}, ("x:1",))
    assert [process.pid for process in both.processes] == [1, 2]


def test_what_only_one_has_is_kept() -> None:
    other = snapshot(2, routes=(RouteFigures("http", "http", "http"),), groups=())
    both = merged([snapshot(1), other])
    assert [route.name for route in both.routes] == ["websocket", "http"]
    assert [group.name for group in both.groups] == ["http"]


def test_of_one_that_has_ended_the_counters_stay() -> None:
    gone = ended(snapshot(1))
    (backend,) = gone.backends()
    assert (backend.pool.exchanges, backend.pool.failed) == (10, {"upstream": 1})
    assert (backend.pool.workers, backend.pool.max_workers, backend.websockets) == (0, 0, 0)
    assert gone.groups[0].waiting == 0
    (route,) = gone.routes
    assert route.answered == snapshot(1).routes[0].answered
    assert route.websockets is not None
    assert (route.websockets.open, route.websockets.closes) == ({"a": 0}, {("client", 1000): 1})
    assert (gone.frontends[0].connections, gone.frontends[0].accepted, gone.processes) == (0, 100, ())


def test_of_servers_that_are_not_there_any_more_the_last_are_remembered() -> None:
    there = {("http", "there"), ("other", "1")}
    past = snapshot(0, groups=(GroupFigures("http", backends=(BackendFigures("http", "there", ""),)),))
    for number in range(MOST_NAMES + 9):
        group = GroupFigures("http", backends=(BackendFigures("http", str(number), ""),))
        past = bounded(merged((snapshot(1, groups=(group,)), past)), there)
    names = [backend.name for backend in past.backends()]
    assert len(names) == MOST_NAMES + 1
    assert names[0] == str(MOST_NAMES + 8)
    assert names[-2:] == ["9", "there"]


def test_each_name_of_the_tables_is_a_figure() -> None:
    names: set[str] = set()

    def collect(kind: Any) -> None:
        if is_dataclass(kind):
            for each in fields(kind):
                if each.name not in names:
                    names.add(each.name)
                    hint = get_type_hints(kind)[each.name]
                    collect(hint)
        for argument in get_args(kind):
            collect(argument)

    collect(Snapshot)
    assert names >= GAUGES | LONGEST | OF_ANY | OF_THE_FIRST


def test_of_a_backends_states_the_one_in_most_trouble_counts() -> None:
    states: tuple[BackendState, ...] = ("up", "ejected", "half-open")
    several = [
        Snapshot(0.0, "", groups=(GroupFigures("g", backends=(BackendFigures("g", "a", "", state),)),))
        for state in states
    ]
    assert merged(several).groups[0].backends[0].state == "ejected"
    lost = replace(BackendFigures("g", "a", ""), pool=PoolFigures(unreachable=True))
    several.append(Snapshot(0.0, "", groups=(GroupFigures("g", backends=(lost,)),)))
    assert merged(several).groups[0].backends[0].pool.unreachable
    assert set(get_args(BackendState)) == set(TROUBLE)
    gone = ended(merged(several)).groups[0].backends[0]
    assert (gone.state, gone.pool.unreachable) == ("up", False), "an ended process is in no trouble"
