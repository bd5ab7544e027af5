"""How long a reload of a large file takes, and how long it keeps the loop from its traffic meanwhile."""

from __future__ import annotations

import asyncio
import gc
import time
from contextlib import suppress
from pathlib import Path

from tests.integration.harness import RawServer, connect, get, in_loop, ok
from tests.integration.test_admin_reload import from_file

ROUTES = 200
RELOAD_S = 0.3
STRETCH_S = 0.02

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

    async def run(self) -> None:
        while True:
            before = time.thread_time()
            await asyncio.sleep(0.001)
            self.longest_s = max(self.longest_s, time.thread_time() - before)


@in_loop
async def test_a_file_of_200_routes_is_taken_over_in_no_time_and_in_small_steps(tmp_path: Path) -> None:
    path = tmp_path / "proxy.ini"
    async with RawServer(ok()) as server:
        path.write_text(large_file(ROUTES, server.port, 5))
        async with from_file(path) as caller, await connect(caller.proxy.port) as client:
            application = caller.proxy.application
            for routes, response_timeout_s in ((ROUTES, 6), (1, 6), (ROUTES, 6), (ROUTES, 7)):
                path.write_text(large_file(routes, server.port, response_timeout_s))
                gc.collect()  # of the tests before; the product's own is in the figure
                watch = LoopWatch()
                watching = asyncio.ensure_future(watch.run())
                started_at = time.process_time()
                await application.reload()
                spent_s = time.process_time() - started_at
                watching.cancel()
                with suppress(asyncio.CancelledError):
                    await watching
                assert spent_s < RELOAD_S, f"{spent_s * 1000:.0f} ms for {routes} routes"
                assert watch.longest_s < STRETCH_S, f"{watch.longest_s * 1000:.0f} ms at once for {routes} routes"
                await client.send(get(b"/0"))
                assert (await client.response()).status == 200
            assert len(application.routes) == ROUTES
