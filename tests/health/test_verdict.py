"""When a backend goes down and comes back, as a table of probes, and how soon each next one follows."""

from __future__ import annotations

from random import Random

import pytest

from wsproxy.config.group_settings import HealthSettings
from wsproxy.health.verdict import VerdictState

SETTINGS = HealthSettings(interval_s=10, fall=3, rise=2)


def changes(probes: str, settings: HealthSettings = SETTINGS) -> str:
    """What each probe (+ good, - bad) changes: U comes up, D goes down, . nothing."""
    state = VerdictState(settings)
    words = {True: "U", False: "D", None: "."}
    return "".join(words[state.success() if probe == "+" else state.failure()] for probe in probes)


@pytest.mark.parametrize(
    ("probes", "expected"),
    [
        ("++++", "...."),
        ("---", "..D"),
        ("--+--+---", "........D"),  # failures count in a row only
        ("---++", "..D.U"),
        ("---+-++", "..D...U"),  # and so do successes
        ("-----++---", "..D...U..D"),
    ],
)
def test_fall_and_rise_count_probes_in_a_row(probes: str, expected: str) -> None:
    assert changes(probes) == expected


def test_fall_and_rise_of_one() -> None:
    assert changes("-+-+", HealthSettings(fall=1, rise=1)) == "DUDU"


def test_a_new_backend_is_up() -> None:
    assert VerdictState(SETTINGS).up


def test_one_that_something_else_speaks_against_is_looked_at_soon() -> None:
    state, rng = VerdictState(SETTINGS), Random(1)
    state.success()
    assert state.next_delay_s(rng) > 5
    state.attentive = True
    assert state.next_delay_s(rng) == 1


def delays(probes: str, settings: HealthSettings = SETTINGS) -> list[float]:
    state, rng = VerdictState(settings), Random(1)
    found = [state.next_delay_s(rng)]
    for probe in probes:
        _ = state.success() if probe == "+" else state.failure()
        found.append(state.next_delay_s(rng))
    return found


@pytest.mark.parametrize(
    ("probes", "attentive"),
    [
        ("++", [True, False, False]),  # new until its first success
        ("--+", [True, True, True, False]),
        ("---", [True, True, True, True]),  # down
        ("---+++", [True, True, True, True, True, False, False]),  # one success is not yet up again
        ("+-", [True, False, False]),  # a failure alone is no reason to look more often
    ],
)
def test_looks_every_second_while_in_doubt(probes: str, attentive: list[bool]) -> None:
    found = delays(probes)
    assert [delay == 1.0 for delay in found] == attentive
    assert all(8.0 <= delay <= 12.0 for delay in found if delay != 1.0)


def test_intervals_differ() -> None:
    assert len(set(delays("+" * 20))) == 21


def test_never_slower_in_doubt_than_at_rest() -> None:
    assert delays("---", HealthSettings(interval_s=0.2, fall=3)) == [0.2] * 4
