"""Rates, origins and the slow consumer as they are written."""

from __future__ import annotations

from typing import Any

import pytest

from wsproxy.config.build import load
from wsproxy.config.errors import ConfigError
from wsproxy.config.limits import BYTE_RATE, OPTIONAL_DURATION, ORIGINS, RATE, SESSION_RATE, SLOW_CONSUMER
from wsproxy.config.model import Rate, WebSocketSettings
from wsproxy.config.values import Parser


@pytest.mark.parametrize(
    ("parser", "written", "value"),
    [
        (RATE, "5/s", Rate(5, 1)),
        (RATE, "100/M", Rate(100, 60)),
        (RATE, "1/h", Rate(1, 3600)),
        (BYTE_RATE, "64k/s", Rate(65536, 1)),
        (BYTE_RATE, "10M/m", Rate(10 * 2**20, 60)),
        (SESSION_RATE, "200", Rate(200, 1)),
        (SESSION_RATE, "600/m", Rate(600, 60)),
        (ORIGINS, "same-host", ("same-host",)),
        (ORIGINS, "https://A.example:8443, null", ("https://a.example:8443", "null")),
        (ORIGINS, "https://*.example.org http://[::1]", ("https://*.example.org", "http://[::1]")),
        (SLOW_CONSUMER, "block", None),
        (SLOW_CONSUMER, "Close:30s", 30.0),
        (OPTIONAL_DURATION, "none", None),
        (OPTIONAL_DURATION, "0", None),
        (OPTIONAL_DURATION, "5m", 300.0),
    ],
)
def test_values(parser: Parser, written: str, value: Any) -> None:
    assert parser(written, "/") == value


@pytest.mark.parametrize(
    ("parser", "written", "message"),
    [
        (RATE, "5", "'5' is not a rate (write 5/s, 100/m)"),
        (RATE, "5/d", "'5/d' is not a rate"),
        (RATE, "0/s", "'0/s' is not a rate of 1 to 999999999"),
        (RATE, "5k/s", "'5k/s' is not a rate of 1 to 999999999"),
        (RATE, "1234567890/s", "is not a rate of 1 to 999999999"),
        (BYTE_RATE, "64k", "'64k' is not a rate (write 64k/s, 10m/m)"),
        (BYTE_RATE, "0/s", "'0' is out of range"),
        (SESSION_RATE, "fast", "'fast/s' is not a rate"),
        (ORIGINS, "example.org", "'example.org' is not an origin"),
        (ORIGINS, "https://example.org/", "'https://example.org/' is not an origin"),
        (ORIGINS, "https://a.*.org", "'https://a.*.org' is not an origin"),
        (SLOW_CONSUMER, "drop", "'drop' is neither block nor close:TIME"),
        (SLOW_CONSUMER, "close:", "'' is not a duration"),
        (OPTIONAL_DURATION, "-1s", "'-1s' is not a duration"),
    ],
)
def test_what_is_refused(parser: Parser, written: str, message: str) -> None:
    with pytest.raises(ValueError, match=r".") as refused:
        parser(written, "/")
    assert message in str(refused.value)


def test_a_rate_by_the_second() -> None:
    assert Rate(90, 60).a_second == 1.5


def test_a_websocket_route_has_its_settings() -> None:
    text = """
[frontend]
port = 8080
[websocket]
server1 = 127.0.0.1:1
ping_interval = none
idle_timeout = 5m
max_connections_per_ip = 3
max_message_size = 1m
message_rate = 10/s
rate_action = close
allowed_origins = same-host
  https://app.example
slow_consumer = close:5s
drain_rate = 100
"""
    (route,) = load(text, "proxy.ini", {}, "/").routes
    assert route.websocket == WebSocketSettings(
        ping_interval_s=None,
        idle_timeout_s=300,
        max_connections_per_ip=3,
        max_message_size_bytes=2**20,
        message_rate=Rate(10, 1),
        rate_action="close",
        allowed_origins=("same-host", "https://app.example"),
        slow_consumer_s=5,
        drain_rate=Rate(100, 1),
    )


def test_inspection_and_reconnecting_exclude_each_other() -> None:
    text = "[frontend]\nport=1\n[websocket]\nserver1=a:1\ninspect=yes\non_backend_loss=reconnect\n"
    with pytest.raises(ConfigError, match=r"proxy.ini:5:1: 'inspect' cannot stand beside 'on_backend_loss"):
        load(text, "proxy.ini", {}, "/")


def test_messages_are_replayed_only_where_clients_outlive_their_server() -> None:
    text = "[frontend]\nport=1\n[websocket]\nserver1=a:1\nreplay_messages=2\n"
    with pytest.raises(ConfigError, match=r"proxy.ini:5:1: 'replay_messages' needs 'on_backend_loss = reconnect'"):
        load(text, "proxy.ini", {}, "/")
    (route,) = load(text + "on_backend_loss=reconnect\nreconnect_buffer=1k", "proxy.ini", {}, "/").routes
    assert (route.websocket.replay_messages, route.websocket.reconnect_buffer_bytes) == (2, 1024)
