"""How limits are shared out among processes."""

from __future__ import annotations

import pytest

from wsproxy.config.budget_settings import OverloadSettings
from wsproxy.config.build import load
from wsproxy.config.group_settings import Address, ServerSettings
from wsproxy.config.model import Rate
from wsproxy.config.share import Share, effective_total, share_config, share_server

TEXT = """
[frontend]
port = 80
processes = 2
max_connections = 101
max_connections_per_ip = 5
[websocket]
server1 = a:1
max_connections = 7
max_connections_per_ip = 1
drain_rate = 10/s
[http]
command = serve <sock>
startup_servers = 2
[admin]
"""

POOL_KEYS = frozenset({"max_workers", "min_workers", "buffer_size"})


@pytest.mark.parametrize(
    ("total", "count", "parts"),
    [(10, 3, [4, 3, 3]), (2, 3, [1, 1, 1]), (3, 3, [1, 1, 1]), (0, 2, [0, 0]), (5, 1, [5]), (7, 2, [4, 3])],
)
def test_the_remainder_goes_to_the_first_and_each_has_one(total: int, count: int, parts: list[int]) -> None:
    assert [Share(index, count).of(total) for index in range(count)] == parts
    assert effective_total(total, count) == sum(parts)


def test_a_pool_is_shared_out() -> None:
    server = ServerSettings("a", Address("a", 1), 1, 3, 2, buffer_size=5, pool_keys=POOL_KEYS)
    parts = [share_server(server, Share(index, 2)) for index in range(2)]
    assert [(part.max_workers, part.min_workers, part.buffer_size) for part in parts] == [(2, 1, 3), (1, 1, 2)]


def test_a_pool_is_never_smaller_than_its_least() -> None:
    server = ServerSettings("a", Address("a", 1), 1, 1, 1, buffer_size=0, pool_keys=POOL_KEYS)
    part = share_server(server, Share(3, 4))
    assert (part.max_workers, part.min_workers, part.buffer_size) == (1, 1, 0)


def test_a_pool_that_the_file_says_nothing_of_is_each_processs() -> None:
    text = "[frontend]\nport=1\n[http]\nserver1=a:1\nserver2=a:2\nserver2_max_workers=6\nbuffer_size=8"
    part = share_config(load(text, "p.ini", {}, "/"), Share(1, 2))
    pools = [(server.max_workers, server.min_workers, server.buffer_size) for server in part.groups[0].servers]
    assert pools == [(3, 1, 4), (3, 1, 4)]


def test_the_least_of_a_pool_is_shared_out_with_the_default_above_it() -> None:
    server = ServerSettings("a", Address("a", 1), min_workers=3, pool_keys=frozenset({"min_workers"}))
    assert [share_server(server, Share(index, 2)).min_workers for index in range(2)] == [2, 1]


def test_connections_are_shared_out_and_those_of_one_client_rounded_up() -> None:
    first, second = (share_config(load(TEXT, "p.ini", {}, "/"), Share(index, 2)) for index in range(2))
    assert [part.frontends[0].max_connections for part in (first, second)] == [51, 50]
    assert [part.frontends[0].max_connections_per_ip for part in (first, second)] == [3, 3]
    assert [part.routes[0].websocket.max_connections for part in (first, second)] == [4, 3]
    assert [part.routes[0].websocket.max_connections_per_ip for part in (first, second)] == [1, 1]


def test_what_is_not_limited_stays_so() -> None:
    part = share_config(load("[frontend]\nport=1\n[websocket]\nserver1=a:1", "p.ini", {}, "/"), Share(0, 2))
    assert part.frontends[0].max_connections_per_ip is None
    assert part.routes[0].websocket.max_connections is None
    assert part.routes[0].websocket.drain_rate is None


def test_a_drain_keeps_its_pace_over_all_processes() -> None:
    part = share_config(load(TEXT, "p.ini", {}, "/"), Share(1, 2))
    assert part.routes[0].websocket.drain_rate == Rate(10, 2.0)
    assert part.routes[0].websocket.drain_rate.a_second == 5


def test_what_runs_once_is_not_there() -> None:
    part = share_config(load(TEXT, "p.ini", {}, "/"), Share(0, 2))
    assert part.admin is None
    assert all(group.managed is None for group in part.groups)


def test_the_budget_of_the_whole_proxy_is_shared_out_but_not_a_delay() -> None:
    text = (
        "[overload]\nmax_connections = 101\nmax_handshakes = 10\nmax_buffered = 2m\nmax_lag = 1s\n"
        "[frontend]\nport = 80\n[http]\nserver1 = a:1\nrate_limit = 10/s\n"
    )
    config = load(text, "a.ini", {}, "/")
    mine = share_config(config, Share(0, 2))
    assert mine.overload == OverloadSettings(51, 5, 1024**2, 1.0)
    assert mine.routes[0].rate_limit.limits[0].name == "ip 10/s"
