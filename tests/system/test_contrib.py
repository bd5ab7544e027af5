"""The files for operators: a unit that systemd accepts and finds tight, and that says what the product does."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.programs import program
from wsproxy.config.model import FrontendSettings

CONTRIB = Path(__file__).resolve().parents[2] / "contrib"
UNIT = (CONTRIB / "wsproxy.service").read_text("utf-8")


def unit_for_here(directory: Path) -> Path:
    """The unit with this Python, which is there, in place of the one it is made for."""
    unit = directory / "wsproxy.service"
    unit.write_text(UNIT.replace("/opt/wsproxy/bin/python", sys.executable))
    shutil.copy(CONTRIB / "wsproxy.socket", directory)
    return unit


def test_systemd_finds_nothing_wrong_with_the_units(tmp_path: Path) -> None:
    units = [str(unit_for_here(tmp_path)), str(tmp_path / "wsproxy.socket")]
    command = [program("systemd-analyze", package="systemd"), "verify", "--man=no", *units]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert not [line for line in done.stderr.splitlines() if "wsproxy" in line], done.stderr


def test_systemd_finds_the_service_well_protected(tmp_path: Path) -> None:
    systemd_analyze = program("systemd-analyze", package="systemd")
    command = [systemd_analyze, "security", "--offline=true", "--threshold=20", str(unit_for_here(tmp_path))]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0, done.stdout


def test_the_unit_gives_more_time_than_the_proxy_takes() -> None:
    found = re.search(r"(?m)^TimeoutStopSec=(\d+)$", UNIT)
    assert found is not None
    assert int(found[1]) > FrontendSettings("frontend", "", 0).shutdown_timeout_s


def test_the_rotation_and_the_unit_mean_the_same_directory() -> None:
    rotation = (CONTRIB / "wsproxy.logrotate").read_text("utf-8")
    assert "LogsDirectory=wsproxy\n" in UNIT
    assert "\n/var/log/wsproxy/*.log {\n" in rotation
    assert "SIGUSR1" in rotation
