"""config/diff.py: what a reload keeps, changes, adds and removes."""

from __future__ import annotations

import pytest

from wsproxy.config.build import load
from wsproxy.config.diff import make_plan, needs_new_listener
from wsproxy.config.model import Config

BASE = """
[frontend]
host = 127.0.0.1
port = 8080
[http]
server1 = 127.0.0.1:9001
server2 = 127.0.0.1:9002
[http:api]
path_prefix = /api
group = api
[group:api]
server1 = 127.0.0.1:9003
"""


def read(text: str) -> Config:
    return load(text, "proxy.ini", {}, "/")


def test_the_same_file_changes_nothing() -> None:
    plan = make_plan(read(BASE), read("# moved\n" + BASE))
    assert plan.is_empty
    assert plan.lines() == ["frontends: 1 kept", "routes: 2 kept", "groups: 2 kept"]


@pytest.mark.parametrize(
    ("before", "after", "lines"),
    [
        ("port = 8080", "port = 8081", ["frontends: 0 kept; changed: frontend", "routes: 2 kept", "groups: 2 kept"]),
        (
            "path_prefix = /api",
            "path_prefix = /api\nqueue_timeout = 1s",
            ["frontends: 1 kept", "routes: 1 kept; changed: http:api", "groups: 2 kept"],
        ),
        (
            "server2 = 127.0.0.1:9002",
            "server2 = 127.0.0.1:9004\nserver1_max_workers = 7",
            [
                "frontends: 1 kept",
                "routes: 2 kept",
                "groups: 1 kept; changed: http",
                "servers of http: 0 kept; changed: 127.0.0.1:9001; added: 127.0.0.1:9004; removed: 127.0.0.1:9002",
            ],
        ),
        (
            "[http:api]\npath_prefix = /api\ngroup = api",
            "[websocket:api]\ngroup = api",
            ["frontends: 1 kept", "routes: 1 kept; added: websocket:api; removed: http:api", "groups: 2 kept"],
        ),
        (
            "server2 = 127.0.0.1:9002",
            "server2 = 127.0.0.1:9002\nserver2_enabled = no",
            [
                "frontends: 1 kept",
                "routes: 2 kept",
                "groups: 1 kept; changed: http",
                "servers of http: 1 kept; changed: 127.0.0.1:9002",
            ],
        ),
        (
            "server1 = 127.0.0.1:9003",
            "server1 = 127.0.0.1:9003\nserver1_name = one",
            [
                "frontends: 1 kept",
                "routes: 2 kept",
                "groups: 1 kept; changed: api",
                "servers of api: 0 kept; added: one at 127.0.0.1:9003; removed: 127.0.0.1:9003",
            ],
        ),
        (
            "[frontend]",
            "[log]\nlevel = debug\n[frontend]",
            ["frontends: 1 kept", "routes: 2 kept", "groups: 2 kept", "log: changed"],
        ),
    ],
)
def test_a_plan_in_words(before: str, after: str, lines: list[str]) -> None:
    assert before in BASE
    plan = make_plan(read(BASE), read(BASE.replace(before, after)))
    assert plan.lines() == lines
    assert not plan.is_empty


@pytest.mark.parametrize(
    ("line", "needed"),
    [
        ("port = 8081", True),
        ("max_connections_per_ip = 3", True),
        ("header_timeout = 1s", False),
        ("max_headers = 7", False),
    ],
)
def test_which_changes_of_a_frontend_need_a_new_listener(line: str, needed: bool) -> None:
    base, other = BASE, BASE.replace("port = 8080", line if line.startswith("port") else f"port = 8080\n{line}")
    assert needs_new_listener(read(base).frontends[0], read(other).frontends[0]) is needed
