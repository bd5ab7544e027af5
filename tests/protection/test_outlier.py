"""When requests that fail take a backend out, for how long, and how many at a time."""

from __future__ import annotations

import pytest

from wsproxy.config.watch_settings import OutlierSettings
from wsproxy.protection.outlier import LEAST_ATTEMPTS, LONGEST, WINDOW_S, OutlierState, may_eject

SETTINGS = OutlierSettings(failures=5, rate=0.5, time_s=30.0)
IN_A_ROW = OutlierSettings(failures=5, rate=None, time_s=30.0)


def test_failures_in_a_row() -> None:
    state = OutlierState(IN_A_ROW)
    assert [state.failed(0.0, n) for n in range(1, 5)] == [None] * 4
    state.succeeded()
    assert [state.failed(1.0, n) for n in range(6, 10)] == [None] * 4
    assert state.run == 4
    assert state.failed(2.0, 10) == "5 failures in a row"
    assert state.failed(2.1, 11) == "6 failures in a row", "as long as nobody takes it out"


def failing(state: OutlierState, every: int, attempts: int, period_s: float) -> str | None:
    """Why, when one of so many attempts fails, evenly over a time."""
    for number in range(1, attempts + 1):
        if number % every:
            state.succeeded()
        elif why := state.failed(period_s * number / attempts, number):
            return why
    return None


@pytest.mark.parametrize(
    ("settings", "every", "period_s", "expected"),
    [
        (SETTINGS, 2, 5.0, "11 failures in 21 requests"),  # counted from the first failure on
        (SETTINGS, 3, 5.0, None),
        (IN_A_ROW, 2, 5.0, None),
        (OutlierSettings(failures=5, rate=0.1), 9, 9.0, "4 failures in 28 requests"),
        (SETTINGS, 2, 1000.0, None),  # ten requests in each window are too few to judge
    ],
)
def test_the_rate(settings: OutlierSettings, every: int, period_s: float, expected: str | None) -> None:
    assert failing(OutlierState(settings), every, 1000 if period_s > 100 else 100, period_s) == expected


def test_a_window_later_the_rate_begins_anew() -> None:
    state = OutlierState(OutlierSettings(failures=1000, rate=0.5))
    for number in range(1, LEAST_ATTEMPTS):
        assert state.failed(0.0, number) is None
    assert state.failed(WINDOW_S, LEAST_ATTEMPTS) is None
    assert state.failed(WINDOW_S, LEAST_ATTEMPTS + 1) is None


def test_while_it_is_out_late_failures_mean_nothing() -> None:
    state = OutlierState(IN_A_ROW)
    assert state.eject(0.0) == 30.0
    assert (state.ejected, state.count) == (True, 1)
    assert [state.failed(1.0, n) for n in range(1, 10)] == [None] * 9
    assert state.run == 0
    state.bring_back(30.0)
    assert not state.ejected
    assert [state.failed(31.0, n) for n in range(10, 15)] == [None] * 4 + ["5 failures in a row"]


def test_each_time_is_longer_up_to_ten_times() -> None:
    state, now, times = OutlierState(SETTINGS), 0.0, []
    for _ in range(LONGEST + 2):
        times.append(state.eject(now))
        now += times[-1]
        state.bring_back(now)
    assert times == [30.0 * n for n in range(1, 11)] + [300.0, 300.0]


@pytest.mark.parametrize(
    ("well_s", "expected"), [(0.0, 120.0), (29.0, 120.0), (31.0, 90.0), (61.0, 60.0), (200.0, 30.0)]
)
def test_doing_well_makes_up_for_it(well_s: float, expected: float) -> None:
    state, now = OutlierState(SETTINGS), 0.0
    for _ in range(3):
        now += state.eject(now)
        state.bring_back(now)
    assert state.eject(now + well_s) == expected


def test_other_settings_keep_what_was_counted() -> None:
    state = OutlierState(IN_A_ROW)
    for number in range(1, 4):
        state.failed(0.0, number)
    state.use(OutlierSettings(failures=4))
    assert state.failed(0.0, 4) == "4 failures in a row"


@pytest.mark.parametrize(
    ("size", "ejected", "well", "expected"),
    [
        (1, 0, 0, False),
        (2, 0, 1, True),
        (2, 0, 0, False),  # the other one is down, or fails as well
        (3, 0, 2, True),
        (3, 1, 1, False),
        (4, 1, 2, True),
        (4, 2, 2, False),
        (10, 4, 1, True),
        (10, 5, 5, False),
    ],
)
def test_half_at_most_and_never_the_last(size: int, ejected: int, well: int, expected: bool) -> None:
    assert may_eject(size, ejected, well) is expected
