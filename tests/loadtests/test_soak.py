"""A short soak: every kind of trouble once, with clients that miss nothing."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest


@pytest.mark.parametrize("processes", ["1", "2"])
def test_nothing_is_lost(processes: str) -> None:
    load = ["--requests", "100", "--websockets", "50", "--growth", "9"]  # of memory nothing can be said so soon
    command = [sys.executable, "-m", "loadtests.soak", "--seconds", "12", "--every", "1.5", "--shutdown", "3"]
    run = subprocess.run([*command, "--processes", processes, *load], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    report = json.loads(run.stdout)
    assert report["lost"] == {}
    assert report["generations"] > 0
    assert {"reload", "upgrade", "drain"} <= set(report["done"])
