"""Durations: where each is counted, and what a quantile of them is."""

from __future__ import annotations

import pytest

from wsproxy.observe.histogram import NO_DURATIONS, Durations, Histogram


def durations(*seconds: float) -> Durations:
    histogram = Histogram()
    for each in seconds:
        histogram.record(each)
    return Durations.of(histogram)


@pytest.mark.parametrize(
    ("seconds", "bucket"), [(0.0, 0), (0.001, 0), (0.0011, 1), (0.5, 8), (60.0, 14), (60.1, 15), (1e9, 15)]
)
def test_a_bound_belongs_to_the_bucket_below_it(seconds: float, bucket: int) -> None:
    assert durations(seconds).counts.index(1) == bucket


def test_the_sum_is_exact() -> None:
    assert durations(0.25, 0.5, 70.0).sum_s == 70.75


def test_several_are_added() -> None:
    first, second = durations(0.01, 0.2), durations(0.2, 3.0)
    both = first + second
    assert both == durations(0.01, 0.2, 0.2, 3.0)
    assert Durations.of() == NO_DURATIONS
