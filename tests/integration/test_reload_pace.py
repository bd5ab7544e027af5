"""How long a reload of a large file takes, and how long it keeps the loop from its traffic meanwhile."""

from __future__ import annotations

import asyncio
import gc
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self

from tests.integration.harness import RawServer, connect, get, in_loop, ok
from tests.integration.test_admin_reload import from_file
from tests.yardstick import slowness

ROUTES = 200
ROUNDS = 3
"""The best counts: only what the reload itself computes is in each of them."""

RELOAD_S = 0.3
STRETCH_S = 0.02
"""CPU time of a whole reload, and of its longest stretch without a turn for others."""

HEAD = "[frontend]\nhost = 127.0.0.1\nport = 0\n[log]\naccess = off\n[admin]\nport = 0\n"


def large_file(routes: int, port: int, response_timeout_s: int) -> str:
    return HEAD + "".join(
        f"[http:r{number}]\npath_prefix = /{number}\nresponse_timeout = {response_timeout_s}\n"
        f"server1 = 127.0.0.1:{port}\nhealth_check_interval = 1h\n"
        for number in range(routes)
    )


class LoopWatch:
    """The longest that the loop's thread computed in one go: CPU time, so that a busy machine changes nothing."""

    def __init__(self) -> None:
        self.longest_s = 0.0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """Watch until the block ends."""
        watching = asyncio.ensure_future(self._run())
        try:
            yield self
        finally:
            watching.cancel()
            await asyncio.wait([watching])

    async def _run(self) -> None:
        while True:
            before = time.thread_time()
            await asyncio.sleep(0.001)
            self.longest_s = max(self.longest_s, time.thread_time() - before)


@in_loop
async def test_a_file_of_200_routes_is_taken_over_in_no_time_and_in_small_steps(tmp_path: Path) -> None:
    path = tmp_path / "proxy.ini"
    spent_s: defaultdict[str, list[float]] = defaultdict(list)
    stretches_s: defaultdict[str, list[float]] = defaultdict(list)
    async with RawServer(ok()) as server:
        path.write_text(large_file(ROUTES, server.port, 1))
        async with from_file(path) as caller, await connect(caller.proxy.port) as client:
            application = caller.proxy.application
            for number in range(ROUNDS):
                for change, routes, response_timeout_s in (
                    ("a key of every route", ROUTES, 2 * number + 2),
                    ("all but one route gone", 1, 2 * number + 2),
                    ("those routes again", ROUTES, 2 * number + 2),
                    ("a key of every route", ROUTES, 2 * number + 3),
                ):
                    path.write_text(large_file(routes, server.port, response_timeout_s))
                    gc.collect()  # of the tests before; the product's own is in the figure
                    async with LoopWatch().running() as watch:
                        started_at = time.process_time()
                        await application.reload()
                        spent_s[change].append(time.process_time() - started_at)
                    stretches_s[change].append(watch.longest_s)
                    await client.send(get(b"/0"))
                    assert (await client.response()).status == 200
            assert len(application.routes) == ROUTES
    slower = slowness()
    for change, each in spent_s.items():
        assert min(each) < RELOAD_S * slower, f"{change}: {each} s"
    for change, each in stretches_s.items():
        assert min(each) < STRETCH_S * slower, f"{change}: {each} s at once"
