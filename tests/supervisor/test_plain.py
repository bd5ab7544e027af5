"""What crosses the control channel comes out as it went in."""

from __future__ import annotations

import json
from dataclasses import dataclass
from ipaddress import ip_network

import pytest

from wsproxy.config.build import load
from wsproxy.config.group_settings import Address, ServerSettings
from wsproxy.config.model import AdminSettings, FrontendSettings, RouteSettings
from wsproxy.observe.histogram import Durations
from wsproxy.observe.snapshot import (
    Answered,
    BackendFigures,
    FrontendFigures,
    GroupFigures,
    ProcessFigures,
    RouteFigures,
    SessionFigures,
    Snapshot,
    WebSocketFigures,
)
from wsproxy.supervisor.following import GroupState, ServerState
from wsproxy.supervisor.plain import plain, shaped

DURATIONS = Durations((1, *(0,) * 15), 0.25)

SNAPSHOT = Snapshot(
    at=1.5,
    version="1",
    frontends=(FrontendFigures("frontend", ("127.0.0.1:80",), refused={404: 3}),),
    routes=(
        RouteFigures("http", "http", "http", (Answered("a", 200, DURATIONS, DURATIONS),)),
        RouteFigures("websocket", "websocket", "ws", websockets=WebSocketFigures(closes={("client", 1000): 2})),
    ),
    groups=(GroupFigures("http", backends=(BackendFigures("http", "a", "http://a:1"),)),),
    processes=(ProcessFigures(7, 0.5),),
)

STATES = (
    GroupState(
        "http",
        (
            ServerState(ServerSettings("a", Address("a", 1)), up=False),
            ServerState(ServerSettings("b", Address(unix_path="/b"), weight=3), leaving=True),
        ),
    ),
)

LIMITED = FrontendSettings("frontend", "::", 80, trusted_proxies=(ip_network("10.0.0.0/8"), ip_network("fc00::/7")))


@pytest.mark.parametrize(
    "value",
    [
        SNAPSHOT,
        LIMITED,
        RouteSettings("http", "http", "http", retries=2),
        AdminSettings(token="x"),
        load("[frontend]\nport=1\n[http]\nserver1=a:1\n[websocket]\nserver1=b:1\n[admin]\n", "p.ini", {}, "/").groups[
            0
        ],
        SessionFigures(
            "websocket.1",
            "websocket",
            "a",
            "127.0.0.1",
            1.0,
            0.5,
            False,
            WebSocketFigures().client,
            WebSocketFigures().upstream,
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_value_comes_back_as_it_was(value: object) -> None:
    assert shaped(type(value), json.loads(json.dumps(plain(value)))) == value


def test_so_does_a_list_of_them() -> None:
    assert shaped(tuple[GroupState, ...], json.loads(json.dumps(plain(STATES)))) == STATES


@dataclass(frozen=True)
class Unfit:
    """Holds what JSON cannot."""

    what: object


def test_what_is_not_plain_data_does_not_cross() -> None:
    with pytest.raises(TypeError, match="a bytes cannot cross"):
        plain(Unfit(b""))
    with pytest.raises(TypeError, match="cannot cross"):
        shaped(bytes, "")


def test_something_is_missing() -> None:
    with pytest.raises(ValueError, match="shorter"):
        shaped(Snapshot, [1.0])


@dataclass(frozen=True)
class Single:
    """Has one field."""

    what: tuple[int, str] | None = None


@pytest.mark.parametrize("value", [Single(), Single((1, "a"))])
def test_a_class_of_one_field(value: Single) -> None:
    assert shaped(Single, plain(value)) == value


@dataclass(frozen=True)
class Ambiguous:
    """Could be either."""

    what: tuple[int, ...] | dict[str, int]


def test_what_cannot_be_told_apart_does_not_cross() -> None:
    with pytest.raises(TypeError, match="cannot be told"):
        shaped(Ambiguous, [[1]])
