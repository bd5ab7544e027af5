"""What `processes = auto` counts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from wsproxy.net.cpus import usable_cpus


def test_without_a_quota_all_that_the_affinity_allows(tmp_path: Path) -> None:
    assert usable_cpus(tmp_path / "none") == len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("quota", "cpus"),
    [("max 100000", None), ("100000 100000", 1), ("50000 100000", 1), ("900000000 100000", None), ("?", None)],
)
def test_the_quota_of_a_container(quota: str, cpus: int | None, tmp_path: Path) -> None:
    path = tmp_path / "cpu.max"
    path.write_text(quota)
    assert usable_cpus(path) == (cpus or len(os.sched_getaffinity(0)))
