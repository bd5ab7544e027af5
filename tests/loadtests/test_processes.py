"""What the measurement of processes makes of its samples."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from loadtests import processes
from loadtests.peers import PEERS
from loadtests.processes import PAIRS, VARIANTS, Sample, middle, sample_of, serving, settle, table


def test_a_sample_is_of_the_window() -> None:
    report = {"completed": 2000, "seconds": 2.0, "cpu_s": 0.5, "failed": 1}
    assert sample_of(report) == Sample(rate=1000.0, cpu_us=250.0, failed=1)


def test_the_middle_of_the_rounds() -> None:
    rounds = [Sample(10, 1, 0), Sample(30, 3, 2), Sample(20, 5, 1)]
    assert middle(rounds) == Sample(20, 3, 3)


def test_a_table_says_what_the_second_process_gained() -> None:
    lines = table("HTTP", {VARIANTS[0].title: Sample(1000, 40, 0), VARIANTS[1].title: Sample(1900, 42, 3)})
    assert lines[0] == "HTTP:"
    assert "1,900 a second" in lines[2]
    assert "3 failed" in lines[2]
    assert lines[3].endswith("1.90 x the requests, each for 1.05 x the CPU")
    assert len(lines) == 4  # what was not measured is not compared


def test_pairs_are_of_one_proxy_and_every_variant_is_known() -> None:
    assert all(VARIANTS[one].peer.split("-")[0] == VARIANTS[two].peer.split("-")[0] for one, two in PAIRS)
    assert all((VARIANTS[one].processes, VARIANTS[two].processes) == (1, 2) for one, two in PAIRS)
    assert all(each.peer in PEERS for each in VARIANTS)


def test_who_carries_traffic_is_below(monkeypatch: pytest.MonkeyPatch) -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        assert serving(child.pid, 1) == ([child.pid], [])
        monkeypatch.setattr(processes, "START_LIMIT_S", 0.0)
        with pytest.raises(RuntimeError, match="and not 2"):
            serving(child.pid, 2)
    finally:
        child.communicate(b"\n")
    assert os.waitstatus_to_exitcode(child.returncode) == 0


def test_a_process_has_come_up_when_it_does_nothing_more(monkeypatch: pytest.MonkeyPatch) -> None:
    spent = iter([0.1, 0.4, 0.5, 0.501])
    monkeypatch.setattr(processes, "cpu_seconds", lambda _: next(spent))
    monkeypatch.setattr(processes, "SETTLE_S", 0.0)
    settle([1])
    assert not list(spent)
