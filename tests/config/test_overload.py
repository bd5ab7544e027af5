"""The keys of [overload]."""

from __future__ import annotations

import pytest

from tests.config.test_crosscheck import problems
from wsproxy.config.budget_settings import OverloadSettings
from wsproxy.config.build import load
from wsproxy.config.diff import make_plan

_REST = "[frontend]\nport = 80\n[http]\nserver1 = a:1\n"  # lines 1 to 4


def test_without_the_section_there_is_no_budget() -> None:
    assert load(_REST, "a.ini", {}, "/").overload == OverloadSettings()


def test_every_key_is_a_budget_of_its_own() -> None:
    keys = "[overload]\nmax_connections = 900\nmax_handshakes = 50\nmax_buffered = 256m\nmax_lag = 200ms"
    config = load(_REST + keys, "a.ini", {}, "/")
    assert config.overload == OverloadSettings(900, 50, 256 * 1024**2, 0.2)
    plan = make_plan(load(_REST, "a.ini", {}, "/"), config)
    assert not plan.is_empty
    assert "overload: changed" in plan.lines()


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (
            "max_connections = 10000",
            "6:19: 10000 has no effect: the listeners take 10000 together (raise their max_connections)",
        ),
        ("max_buffered = 1k", "6:16: '1k' is out of range (at least 1048576 bytes)"),
        ("max_lag = 0", "6:11: '0' is out of range (more than 0, at most 366d)"),
        ("max_conns = 5", "6:1: unknown key 'max_conns' in [overload] (did you mean 'max_connections'?)"),
    ],
)
def test_what_is_wrong(lines: str, expected: str) -> None:
    assert problems(f"{_REST}[overload]\n{lines}") == [f"a.ini:{expected}"]
