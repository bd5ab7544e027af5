"""A short soak: every kind of trouble once, with clients that miss nothing."""

from __future__ import annotations

import json
import subprocess
import sys


def test_nothing_is_lost() -> None:
    load = ["--requests", "100", "--websockets", "50", "--growth", "9"]  # of memory nothing can be said so soon
    command = [sys.executable, "-m", "loadtests.soak", "--seconds", "9", "--every", "1.5", "--shutdown", "3"]
    run = subprocess.run([*command, *load], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    report = json.loads(run.stdout)
    assert report["lost"] == {}
    assert report["generations"] > 0
    assert {"reload", "upgrade", "drain", "kill"} <= set(report["done"])
