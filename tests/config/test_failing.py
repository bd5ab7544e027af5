"""Shares and status codes as a person writes them."""

from __future__ import annotations

import pytest

from tests.config.test_crosscheck import problems
from wsproxy.config.build import load
from wsproxy.config.failing import SHARE, STATUSES
from wsproxy.config.watch_settings import BreakerSettings, OutlierSettings, WatchSettings

_INI = "[frontend]\nport = 1\n[http]\nserver1 = a:1\n"


@pytest.mark.parametrize(("written", "value"), [("50%", 0.5), ("1 %", 0.01), ("100%", 1.0), ("none", None)])
def test_shares(written: str, value: float | None) -> None:
    assert SHARE(written, "/") == value


@pytest.mark.parametrize("written", ["50", "0%", "101%", "half", "-1%", "0.5"])
def test_what_is_no_share(written: str) -> None:
    with pytest.raises(ValueError, match="is not a share"):
        SHARE(written, "/")


@pytest.mark.parametrize(
    ("written", "value"), [("503", (503,)), ("504, 502,503", (502, 503, 504)), ("500 500", (500,)), ("none", ())]
)
def test_statuses(written: str, value: tuple[int, ...]) -> None:
    assert STATUSES(written, "/") == value


@pytest.mark.parametrize("written", ["404", "5xx", "600", "502;503", "50"])
def test_what_is_no_failure(written: str) -> None:
    with pytest.raises(ValueError, match="is not the status of a failure"):
        STATUSES(written, "/")


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("", WatchSettings(outlier=OutlierSettings())),
        ("outlier = no", WatchSettings(outlier=None)),
        (
            "outlier_failures = 3\noutlier_rate = none\noutlier_time = 1m\noutlier_status = 500 503",
            WatchSettings(bad_statuses=(500, 503), outlier=OutlierSettings(3, None, 60.0)),
        ),
        ("breaker = yes", WatchSettings(outlier=None, breaker=BreakerSettings())),
        (
            "breaker = yes\noutlier = yes\nbreaker_failures = 2\nbreaker_open = 1s\nbreaker_trials = 3",
            WatchSettings(outlier=OutlierSettings(), breaker=BreakerSettings(2, 1.0, 3)),
        ),
        ("slow_start = 5s\nalgorithm = ewma", WatchSettings(slow_start_s=5.0, timed=True)),
    ],
)
def test_what_is_made_of_answers(lines: str, expected: WatchSettings) -> None:
    assert load(_INI + lines, "p.ini", {}, "/").groups[0].watch == expected


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("outlier = no\noutlier_failures = 3", ["6:1: 'outlier_failures' has no effect without 'outlier = yes'"]),
        ("breaker = yes\noutlier_time = 3s", ["6:1: 'outlier_time' has no effect without 'outlier = yes'"]),
        ("breaker_open = 3s", ["5:1: 'breaker_open' has no effect without 'breaker = yes'"]),
        ("outlier = no\noutlier_status = 500", ["6:1: 'outlier_status' has no effect without 'outlier = yes'"]),
        ("breaker = yes\noutlier_status = 500\nkeys = 1", ["7:1: unknown key 'keys' in [http]"]),
        ("outlier = maybe\noutlier_time = 3s", ["5:11: 'maybe' is neither yes nor no"]),
        ("group = g\nbreaker = yes\n[group:g]\nserver1 = a:1", None),
    ],
)
def test_how_is_not_said_of_what_is_not_done(lines: str, expected: list[str] | None) -> None:
    if expected is None:
        text = _INI.replace("server1 = a:1\n", "") + lines
        expected = ["5:1: 'breaker' has no effect beside 'group = g' (write it where the servers are)"]
    else:
        text = _INI + lines
    assert problems(text) == [f"a.ini:{problem}" for problem in expected]
