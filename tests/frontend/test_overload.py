"""The budget of the process: what is too much, and for whom."""

from __future__ import annotations

import pytest

from tests.integration.harness import in_loop, logged
from wsproxy.config.budget_settings import OverloadSettings
from wsproxy.frontend.overload import Closable, Overload


class Load:
    """A load as a test says."""

    def __init__(self, connections: int = 0, upstream_bytes: int = 0) -> None:
        self.connections = connections
        self.upstream_bytes = upstream_bytes
        self.handshakes = self.session_bytes = 0
        self.relays: list[Closable] = []


class WebSocket:
    """One that holds so many bytes."""

    def __init__(self, buffered_bytes: int, is_closing: bool = False) -> None:
        self.buffered_bytes = buffered_bytes
        self.is_closing = is_closing
        self.told: list[int] = []

    def begin_close(self, client_code: int, upstream_code: int = 1001, reason: str = "") -> None:
        self.is_closing = True
        self.told.append(client_code)


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


@in_loop
async def test_those_that_hold_most_are_closed_until_there_is_room_again() -> None:
    load = Load(upstream_bytes=100)
    load.session_bytes = 200
    sizes = {"idle": 0, "small": 50, "most": 600, "more": 300, "leaving": 250}
    sockets = {name: WebSocket(size, is_closing=name == "leaving") for name, size in sizes.items()}
    load.relays = [*sockets.values()]
    overload = Overload(OverloadSettings(max_buffered_bytes=1000), load)
    overload.look(0.0)
    assert overload.buffered_bytes == 1500
    assert {name: socket.told for name, socket in sockets.items() if socket.told} == {"most": [1013]}
    assert overload.closed == 1, "900 bytes are left then, nine tenths of the budget"
    overload.look(0.0)
    assert {name for name, socket in sockets.items() if socket.told} == {"most"}, "it has not gone yet, and is counted"


@in_loop
async def test_handshakes_are_those_that_are_opening_now() -> None:
    load = Load()
    overload = Overload(OverloadSettings(max_handshakes=3), load)
    load.handshakes = 2
    assert overload.excess(is_first=False, is_handshake=True) == ""
    load.handshakes = 3
    assert overload.excess(is_first=False, is_handshake=False) == ""
    assert overload.excess(is_first=False, is_handshake=True) == "handshakes"


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
