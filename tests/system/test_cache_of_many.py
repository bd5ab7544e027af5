"""A cache in each of two processes: what operators see and do is of both, and a change reaches both."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

import anyio

from tests.integration.harness import Message, RawServer, Wire, connect, get, http_route, in_loop, ok
from tests.system.test_processes import Processes, processes

ROUTE = "cache = yes\n"


class Pages:
    """A server whose page says how often it has been changed."""

    def __init__(self) -> None:
        self.version = 0

    async def serve(self, wire: Wire) -> None:
        while True:
            request = await wire.request()
            self.version += request.start.startswith(b"POST")
            await wire.send(ok(b"version %d" % self.version, b"Cache-Control: max-age=3600"))


CLIENTS = 8
"""So many at a time come to both processes, as these share clients out evenly."""


async def fetch_by_each(running: Processes) -> set[bytes]:
    """The page as all of many clients have it."""
    async with AsyncExitStack() as stack:
        wires = [await stack.enter_async_context(await connect(running.port)) for _ in range(CLIENTS)]
        answers: list[Message] = []
        for wire in wires:
            await wire.send(get())
            answers.append(await wire.response())
        return {answer.body for answer in answers}


@in_loop
async def test_purges_and_changes_reach_every_process(tmp_path: Path) -> None:
    pages = Pages()
    async with RawServer(pages.serve) as server, processes(tmp_path, http_route(server.port, lines=ROUTE)) as running:
        await running.all_serve()
        assert await fetch_by_each(running) == {b"version 0"}
        status = (await running.ask("/status")).json()["cache"]
        assert (status["entries"], status["max_bytes"]) == (2, 64 * 1024 * 1024)
        answer = await running.tell("/cache/purge", {"url": "http://site.example/"})
        assert answer.json() == {"purged": 2}
        assert await fetch_by_each(running) == {b"version 0"}
        async with await connect(running.port) as client:
            await client.send(b"POST / HTTP/1.1\r\nHost: site.example\r\nContent-Length: 1\r\n\r\nx")
            assert (await client.response()).body == b"version 1"
        with anyio.fail_after(5):
            while await fetch_by_each(running) != {b"version 1"}:  # noqa: ASYNC110 - nothing announces it
                await anyio.sleep(0.02)
