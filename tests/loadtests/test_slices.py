"""Slices of a core: what is written for cgroups of both versions, and that they are gone afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest

from loadtests.slices import SliceError, slice_files, sliced


def test_version_1_has_a_tree_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("-1")
    directory, files = slice_files(tmp_path, "one")
    assert directory == tmp_path / "cpu" / "one"
    assert {name: text.format(quota=50_000) for name, text in files.items()} == {
        "cpu.cfs_period_us": "100000",
        "cpu.cfs_quota_us": "50000",
    }


def test_version_2_has_both_in_one_file(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpuset cpu io\n")
    directory, files = slice_files(tmp_path, "one")
    assert directory == tmp_path / "one"
    assert {name: text.format(quota=50_000) for name, text in files.items()} == {"cpu.max": "50000 100000"}


def test_a_machine_without_says_so(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("memory\n")
    with pytest.raises(SliceError, match="no CPU controller"), sliced([[1]], 0.5, tmp_path):
        pass


def test_where_none_may_be_made_the_error_says_what_is_wanted(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpu\n")
    (tmp_path / "cgroup.subtree_control").mkdir()  # cannot be written
    with pytest.raises(SliceError, match="want root"), sliced([[1]], 0.5, tmp_path):
        pass
