"""The budget of the process: what is too much, and for whom."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from tests.integration.harness import in_loop, logged
from wsproxy.config.budget_settings import OverloadSettings
from wsproxy.frontend.frontend import Frontend
from wsproxy.frontend.overload import Overload
from wsproxy.frontend.route import Route


class Load:
    """A load as a test says."""

    def __init__(self, connections: int = 0, upstream_bytes: int = 0) -> None:
        self.connections = connections
        self.upstream_bytes = upstream_bytes

    @property
    def every_frontend(self) -> Iterable[Frontend]:
        return ()

    @property
    def every_route(self) -> Iterable[Route]:
        return ()


@in_loop
async def test_without_a_budget_there_is_never_too_much() -> None:
    overload = Overload(OverloadSettings(), Load(10**6, 10**12))
    overload.look(100.0)
    assert not overload.is_on
    assert overload.excess(is_first=True, is_handshake=True) == ""
    assert overload.buffered_bytes == 0, "nobody asked for them"


@in_loop
async def test_of_connections_the_first_one_too_many_is_refused_and_requests_on_older_ones_are_not() -> None:
    load = Load(connections=100)
    overload = Overload(OverloadSettings(max_connections=100), load)
    assert overload.excess(is_first=True, is_handshake=False) == ""
    load.connections = 101
    assert overload.excess(is_first=True, is_handshake=False) == "connections"
    assert overload.excess(is_first=False, is_handshake=False) == ""
    assert overload.refused == {"connections": 1}


@in_loop
async def test_one_long_task_alone_is_no_overload() -> None:
    overload = Overload(OverloadSettings(max_lag_s=0.2), Load())
    found = []
    for late_s in (0.0, 3.0, 0.0, 0.3, 0.4, 0.5, 0.1):
        overload.look(late_s)
        found.append(overload.excess(is_first=False, is_handshake=False))
    assert found == ["", "", "", "", "lag", "lag", ""]


@in_loop
async def test_bytes_are_those_of_the_last_look() -> None:
    load = Load(upstream_bytes=999)
    overload = Overload(OverloadSettings(max_buffered_bytes=1000), load)
    overload.look(0.0)
    assert overload.excess(is_first=False, is_handshake=False) == ""
    load.upstream_bytes = 1001
    overload.look(0.0)
    assert overload.excess(is_first=False, is_handshake=False) == "bytes"
    load.upstream_bytes = 0
    overload.look(0.0)
    assert overload.excess(is_first=False, is_handshake=False) == ""


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (OverloadSettings(max_connections=1), "overload (5 connections, max_connections): new work is refused"),
        (OverloadSettings(max_buffered_bytes=1), "overload (7 bytes are buffered, max_buffered): new work is refused"),
        (OverloadSettings(max_lag_s=0.1), "overload (the event loop is 0.25 s late, max_lag): new work is refused"),
    ],
)
def test_the_log_says_once_a_minute_what_there_is_too_much_of(settings: OverloadSettings, said: str) -> None:
    @in_loop
    async def run() -> None:
        overload = Overload(settings, Load(connections=5, upstream_bytes=7))
        overload.look(0.25)
        overload.look(0.25)
        with logged() as log:
            for _ in range(10):
                overload.excess(is_first=True, is_handshake=False)
        assert log.of("WARNING") == [said]

    run()
