"""What the keys for choosing a server must say of each other."""

from __future__ import annotations

import pytest

from tests.config.test_crosscheck import problems
from wsproxy.config.build import load
from wsproxy.config.model import RequestKey
from wsproxy.config.shown import MASK, shown

_FRONTEND = "[frontend]\nport = 80\n"  # lines 1 and 2
_HTTP = "[http]\nserver1 = a:1\n"
_SHARED = """[http]
group = g
[websocket]
group = g
algorithm = hash
hash_key = ip
[group:g]
server1 = a:1
server1_weight = 2"""
_NO_HASH = "'hash_key' has no effect without algorithm = hash"
_NO_WEIGHTS = "has no effect: no route looks at it (write algorithm = weighted-round-robin)"


@pytest.mark.parametrize(
    ("routes", "expected"),
    [
        (_HTTP + "algorithm = hash", ["5:13: algorithm = hash needs a 'hash_key' (such as hash_key = header:NAME)"]),
        (_HTTP + "hash_key = path", [f"5:1: {_NO_HASH}"]),
        (_HTTP + "hash_key = path\nalgorithm = ip-hash", [f"5:1: {_NO_HASH}"]),
        (_HTTP + "sticky_ttl = 1h", ["5:1: 'sticky_ttl' has no effect without sticky = cookie"]),
        (
            _HTTP + "sticky = ip\nsticky_secret = 0123456789abcdef",
            ["6:1: 'sticky_secret' has no effect without sticky = cookie"],
        ),
        (
            "[websocket]\nserver1 = a:1\nsticky = ip\nrebalance = yes",
            ["6:1: 'rebalance' has no effect beside 'sticky': clients would come back (keep one)"],
        ),
        (_HTTP + "server1_weight = 2", [f"5:1: 'server1_weight' {_NO_WEIGHTS}"]),
        (
            _HTTP + "slow_start = 30s",
            ["5:1: 'slow_start' has no effect: no route looks at shares (write algorithm = weighted-round-robin)"],
        ),
        (
            "[http]\ngroup = g\nalgorithm = random\n[group:g]\nserver1 = a:1\nserver1_weight = 2",
            [f"8:1: 'server1_weight' {_NO_WEIGHTS}"],
        ),
        # One mistake is one problem.
        (_HTTP + "algorithm = ?\nhash_key = path\nserver1_weight = 2", None),
        (_HTTP + "sticky = ?\nsticky_ttl = 1h", None),
        (_HTTP + "algorithm = hash\nhash_key = ?", None),
        (_HTTP + "server1_weight = x", None),
    ],
)
def test_problems(routes: str, expected: list[str] | None) -> None:
    found = problems(_FRONTEND + routes)
    if expected is None:
        assert len(found) == 1
    else:
        assert found == [f"a.ini:{line}" for line in expected]


@pytest.mark.parametrize(
    "routes",
    [
        _HTTP + "algorithm = hash\nhash_key = path",
        _HTTP + "sticky = cookie\nsticky_ttl = 1h\nsticky_secret = 0123456789abcdef",
        _HTTP + "server1_weight = 1",
        _HTTP + "server1_weight = 0\nserver2 = b:1\nserver2_backup = yes",
        _HTTP + "server1_weight = 2\nalgorithm = least-conn",
        _SHARED,
    ],
)
def test_what_goes_together(routes: str) -> None:
    load(_FRONTEND + routes, "a.ini", {}, "/")


def test_what_is_built() -> None:
    lines = "algorithm = least-conn\nsticky = cookie:sid\nsticky_ttl = 1h\nserver1_weight = 3\nserver1_backup = yes"
    config = load(_FRONTEND + _HTTP + lines, "a.ini", {}, "/")
    (route,), (group,) = config.routes, config.groups
    assert (route.algorithm, route.sticky, route.sticky_ttl_s) == (
        "least-connections",
        RequestKey("cookie", "sid"),
        3600,
    )
    assert (group.servers[0].weight, group.servers[0].backup) == (3, True)


def test_the_secret_is_masked_where_settings_are_shown() -> None:
    config = load(_FRONTEND + _HTTP + "sticky = cookie\nsticky_secret = 0123456789abcdef", "a.ini", {}, "/")
    assert shown(config)["routes"][0]["sticky_secret"] == MASK
