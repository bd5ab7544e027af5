"""The example of three kinds of servers does what its comment says: uvicorn under load, a port, and one elsewhere."""

from __future__ import annotations

import json
import os
import re
import signal
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.integration.harness import RawServer, fetch, in_loop, ok, refused_port
from tests.system.harness import spawned
from tests.system.test_examples import EXAMPLES, ask, example

ANSWER = re.compile(rb"process (\d+) answers /hello\n")


@pytest.mark.timeout(120)
@in_loop
async def test_four_are_started_and_more_under_load_beside_a_port_and_one_elsewhere(tmp_path: Path) -> None:
    redirect = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:%d/docs/next\r\nContent-Length: 0\r\n\r\n"
    async with RawServer(ok(b"joker")) as joker, RawServer(b"") as koker:
        koker._script = RawServer(redirect % koker.port)._script
        admin = await refused_port()
        text = example("three-kinds-of-servers.ini", p8080=0, p8081=admin, p9001=joker.port)
        text = text.replace("https://www.example.org", f"http://127.0.0.1:{koker.port}")
        text = text.replace("working_directory = .", f"working_directory = {EXAMPLES}")
        text = text.replace("max_load = 50\nmin_load = 10", "max_load = 2\nmin_load = 1").replace("= 1s", "= 100ms")
        async with spawned(tmp_path, "", whole=text) as running:

            async def status() -> dict[str, Any]:
                found: dict[str, Any] = json.loads((await ask(admin, "GET", "/status")).body)
                return found

            async def seen_until(count: int) -> set[int]:
                """The processes that answer under load, once there are so many."""
                found: set[int] = set()
                with anyio.fail_after(60):
                    while len(found) < count:
                        match = ANSWER.fullmatch((await fetch(running.port, b"/api/hello")).body)
                        assert match is not None
                        found.add(int(match[1]))
                return found

            assert (await fetch(running.port, b"/joker/a")).body == b"joker"
            assert joker.requests[-1] == b"GET /a HTTP/1.1"
            answer = await fetch(running.port, b"/koker/guide")
            assert koker.requests == [b"GET /docs/guide HTTP/1.1"]
            assert (answer.field(b"location") or b"").endswith(b"/koker/next")

            seen = await seen_until(5)
            servers = (await status())["servers"]
            assert {server["group"] for server in servers} == {"http:api"}
            assert 5 <= len(servers) <= 8
            assert seen <= {server["pid"] for server in servers}
            assert (await status())["scaling"]["http:api"] > 2

            killed = min(seen)
            os.kill(killed, signal.SIGKILL)
            await running.wait_for("ended")
            assert len(await seen_until(4)) == 4
