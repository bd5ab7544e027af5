"""What a process says of itself."""

from __future__ import annotations

import os
import time

import anyio
import anyio.lowlevel

from wsproxy.observe.process import KEPT_LOOKS, LOOK_EVERY_S, LoopLag, process_figures


def test_figures_are_of_this_process() -> None:
    figures = process_figures(1000.0, 0.5, 3)
    assert (figures.pid, figures.started_at, figures.lag_s, figures.log_lines_dropped) == (os.getpid(), 1000.0, 0.5, 3)
    assert figures.cpu_s > 0
    assert figures.memory_bytes > 1 << 20
    with open(os.devnull, encoding="utf-8"):
        more = process_figures(1000.0, 0.0, 0)
    assert more.descriptors == figures.descriptors + 1
    assert more.max_descriptors >= more.descriptors


def test_lag_is_the_longest_of_late() -> None:
    lag = LoopLag()
    assert lag.longest_s == 0.0
    lag.add(0.3)
    lag.add(-0.001)
    assert lag.longest_s == 0.3
    for _ in range(KEPT_LOOKS):
        lag.add(0.01)
    assert lag.longest_s == 0.01


def test_a_loop_that_was_held_up_shows() -> None:
    async def main() -> None:
        lag = LoopLag()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lag.run)
            await anyio.lowlevel.checkpoint()
            time.sleep(LOOK_EVERY_S + 0.1)  # noqa: ASYNC251 - what it is to find
            while not lag.longest_s:  # noqa: ASYNC110 - it tells nobody
                await anyio.sleep(0.01)
            tasks.cancel_scope.cancel()
        assert lag.longest_s >= 0.1

    anyio.run(main)
