"""loadtests.results: medians, ratios, verdicts and tables."""

from __future__ import annotations

import pytest

from loadtests.results import Goal, Samples, as_markdown, as_text, goals_table, judge, results_table

RATIO = Goal("http-70-64", "cpu_us", 2.0, "nginx")
FAILED = Goal("http-70-512", "failed", 0, sums_up=True)


def http_sample(cpu_us: float, failed: float = 0) -> dict[str, float]:
    return {"cpu_us": cpu_us, "rate": 1000.0, "p50_us": 1.0, "p99_us": 2.0, "failed": failed}


def samples_of(**cpu_us: list[float]) -> Samples:
    samples = Samples()
    for peer, values in cpu_us.items():
        for value in values:
            samples.add("http-70-64", peer, http_sample(value))
    return samples


@pytest.mark.parametrize(("own", "word"), [(30.0, "reached"), (30.1, "missed")])
def test_a_ratio_is_that_of_the_medians(own: float, word: str) -> None:
    (verdict,) = judge(samples_of(wsproxy=[own, 1.0, 99.0], nginx=[15.0, 90.0, 2.0]), [RATIO])
    assert verdict.value == pytest.approx(own / 15)
    assert verdict.word == word


@pytest.mark.parametrize("peers", [{"wsproxy": [1.0]}, {"nginx": [1.0]}, {}])
def test_a_missing_side_is_not_measured(peers: dict[str, list[float]]) -> None:
    (verdict,) = judge(samples_of(**peers), [RATIO])
    assert (verdict.value, verdict.word) == (None, "not measured")


def test_one_failure_in_one_round_is_not_lost_in_the_median() -> None:
    samples = Samples()
    for failed in (0, 1, 0):
        samples.add("http-70-512", "wsproxy", http_sample(1.0, failed))
    (verdict,) = judge(samples, [FAILED])
    assert (verdict.value, verdict.word) == (1, "missed")
    assert any(line[0].endswith("512 connections: failed") and line[1] == "1" for line in results_table(samples))


def test_tables_hold_a_column_per_peer_and_a_dash_where_nothing_was_measured() -> None:
    samples = samples_of(wsproxy=[25.04])
    samples.add("startup", "nginx", {"start_up_ms": 1234.0})
    table = results_table(samples)
    assert table[0] == ["", "wsproxy", "nginx"]
    assert table[1] == ["HTTP 70 B, 64 connections: CPU per request, us", "25.0", "-"]
    assert table[-1] == ["start-up: exec to first 200, ms", "-", "1,234"]


def test_both_forms_of_a_table() -> None:
    table = [["", "a"], ["first", "10"]]
    assert as_markdown(table) == "|  | a |\n| --- | ---: |\n| first | 10 |"
    assert as_text(table) == "        a\nfirst  10"


def test_goals_say_reached_missed_or_not_measured() -> None:
    words = [line[-1] for line in goals_table(judge(samples_of(wsproxy=[1.0], nginx=[1.0])))[1:]]
    assert words[0] == "reached"
    assert set(words[1:]) == {"not measured"}
