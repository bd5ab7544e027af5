"""Shares and status codes as a person writes them."""

from __future__ import annotations

import pytest

from tests.config.test_crosscheck import problems
from wsproxy.config.build import load
from wsproxy.config.failing import SHARE, STATUSES
from wsproxy.config.model import OutlierSettings

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


def outlier(lines: str) -> OutlierSettings | None:
    return load(_INI + lines, "p.ini", {}, "/").groups[0].watch.outlier


def test_outliers_are_looked_for_unless_one_says_no() -> None:
    assert outlier("") == OutlierSettings()
    assert outlier("outlier = no") is None
    written = "outlier_failures = 3\noutlier_rate = none\noutlier_time = 1m\noutlier_status = 500 503"
    assert outlier(written) == OutlierSettings(3, None, 60.0, (500, 503))


def test_how_is_not_said_of_what_is_not_done() -> None:
    lines = "outlier = no\noutlier_failures = 3\n"
    assert problems(_INI + lines) == ["a.ini:6:1: 'outlier_failures' has no effect beside 'outlier = no'"]
