"""A short soak: every kind of trouble once, with clients that miss nothing; and what counts as a leak."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from loadtests.soak import leaks


def test_nothing_is_lost() -> None:
    load = ["--requests", "100", "--websockets", "50", "--growth", "9"]  # of memory nothing can be said so soon
    command = [sys.executable, "-m", "loadtests.soak", "--seconds", "9", "--every", "1.5", "--shutdown", "3"]
    run = subprocess.run([*command, *load], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    report = json.loads(run.stdout)
    assert report["lost"] == {}
    assert report["generations"] > 0
    assert report["websockets"] == [50, 50]
    assert {"reload", "upgrade", "drain", "kill"} <= set(report["done"])


@pytest.mark.parametrize(
    ("last", "complaint"),
    [
        ({"memory": 104, "descriptors": 2159, "websockets": 1000}, []),
        ({"memory": 106, "descriptors": 2000, "websockets": 1000}, ["memory has grown by 6%"]),
        ({"memory": 100, "descriptors": 2161, "websockets": 1000}, ["descriptors have grown from 2000 to 2161"]),
        ({"memory": 100, "descriptors": 2000, "websockets": 997}, ["3 WebSockets did not come again"]),
    ],
)
def test_a_leak_is_what_is_more_than_noise(last: dict[str, int], complaint: list[str]) -> None:
    assert leaks({"memory": 100, "descriptors": 2000, "websockets": 1000}, last, 0.05) == complaint
