"""loadtests.measure: what is read out of /proc, on texts as a kernel writes them and on this very process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from loadtests.measure import (
    FORK_SERVER,
    anonymous_bytes,
    cpu_seconds,
    descendants,
    parse_anonymous,
    parse_cpu_model,
    parse_parent,
    parse_pss,
    parse_schedstat,
    percentile,
    process_name,
    process_tree,
    pss_bytes,
)
from wsproxy.supervisor.fork_server import FORK_NAME

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")


def test_schedstat_gives_seconds_on_the_cpu() -> None:
    assert parse_schedstat("1500000000 52326 2\n") == pytest.approx(1.5)


def test_the_parent_is_found_behind_a_command_with_parentheses() -> None:
    assert parse_parent("42 (a) b) (c) S 7 42 42 0 -1 4194560 1 0") == 7


def test_pss_is_the_plain_line_in_bytes() -> None:
    text = "55d0-7ffd ---p 00000000 00:00 0  [rollup]\nRss:   2000 kB\nPss:    1024 kB\nPss_Anon:  900 kB\n"
    assert parse_pss(text) == 1024 * 1024


def test_a_text_without_pss_is_an_error() -> None:
    with pytest.raises(ValueError, match="Pss"):
        parse_pss("Rss: 1 kB\nPss_Anon: 1 kB\n")


def test_what_is_of_no_file_is_told_apart() -> None:
    text = "Rss:   2000 kB\nPss:    1024 kB\nPss_Anon:  900 kB\nAnonymous:   1512 kB\n"
    assert parse_anonymous(text) == 900 * 1024


def test_cpu_model_or_unknown() -> None:
    assert parse_cpu_model("processor\t: 0\nmodel name\t: A CPU @ 3 GHz\n") == "A CPU @ 3 GHz"
    assert parse_cpu_model("processor\t: 0\n") == "unknown"


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [([], 0.5, 0.0), ([3.0], 0.99, 3.0), ([1.0, 2.0, 3.0], 0.5, 2.0), ([float(n) for n in range(100)], 0.99, 99.0)],
)
def test_percentile_is_the_nearest_rank(values: list[float], share: float, expected: float) -> None:
    assert percentile(values, share) == expected


def test_descendants_are_all_generations_and_nobody_else() -> None:
    parents = {10: 1, 11: 10, 12: 10, 13: 12, 20: 1, 21: 20}
    assert descendants(10, parents) == [10, 11, 12, 13]


@linux_only
def test_a_process_has_a_name_while_it_is_there() -> None:
    child = subprocess.Popen(["sleep", "60"])
    try:
        assert process_name(child.pid) in ("sleep", Path(sys.executable).name[:15])  # before or after its exec
    finally:
        child.kill()
        child.wait()
    assert process_name(child.pid) == ""
    assert FORK_NAME == FORK_SERVER


@linux_only
def test_this_process_uses_cpu_and_memory() -> None:
    pid = os.getpid()
    assert process_tree(pid)[0] == pid
    before = cpu_seconds([pid])
    assert sum(range(1_000_000)) > 0
    assert cpu_seconds([pid]) > before > 0
    assert pss_bytes([pid]) > 1024 * 1024
    before_it = anonymous_bytes([pid])
    kept = bytes(range(256)) * (256 * 1024)  # so large that it is memory that nobody has had before
    assert 60 < (anonymous_bytes([pid]) - before_it) / len(kept) * 64 < 85
