"""A web application under uvicorn that the proxy starts itself: more of it under load, less without, none lost."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import anyio
import httpx
import pytest

from tests.integration.harness import eventually, in_loop
from tests.system.harness import Spawned, spawned

APPLICATION = """
import os

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while (message := await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    body = f"{os.getpid()} {os.environ.get('COLOUR', '')}".encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})
"""

ROUTE = """
[http]
command = <python> -m uvicorn --uds <sock> --log-level warning app:app
working_directory = {directory}
startup_servers = 1
max_servers = 3
max_load = 40
min_load = 10
upscale_pings = 1
downscale_pings = 2
interval = 200ms
enable_health_check = yes
health_check_path = /healthCheck
{more}
[admin]
port = 0
"""


def written(directory: Path, more: str = "") -> str:
    (directory / "app.py").write_text(APPLICATION)
    return ROUTE.format(directory=directory, more=more)


def admin_url(running: Spawned) -> str:
    found = re.search(r"admin on (\S+:\d+)", "\n".join(running.log))
    assert found is not None
    return f"http://{found[1]}"


class Load:
    """Clients that ask as fast as they are answered, and count what they get."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.answers: list[int] = []
        self.seen: set[str] = set()
        self.clients = 0

    async def run(self, clients: int) -> None:
        """Ask until `clients` is lowered."""
        self.clients = clients
        async with anyio.create_task_group() as tasks:
            for number in range(clients):
                tasks.start_soon(self._ask, number)

    async def _ask(self, number: int) -> None:
        async with httpx.AsyncClient(trust_env=False) as client:
            while number < self.clients:
                answer = await client.get(self.url)
                self.answers.append(answer.status_code)
                self.seen.add(answer.text)
                await anyio.sleep(0.01)  # the pace of the load, not a wait for anything


async def servers(client: httpx.AsyncClient) -> list[dict[str, object]]:
    found: list[dict[str, object]] = (await client.get("/status")).json()["servers"]
    return found


async def until_ready(client: httpx.AsyncClient, count: int) -> None:
    with anyio.fail_after(40):
        while [server["state"] for server in await servers(client)] != ["ready"] * count:  # noqa: ASYNC110
            await anyio.sleep(0.1)


@pytest.mark.timeout(120)
@in_loop
async def test_servers_come_with_load_and_go_without_and_no_request_fails(tmp_path: Path) -> None:
    async with (
        spawned(tmp_path, written(tmp_path)) as running,
        httpx.AsyncClient(base_url=admin_url(running), trust_env=False) as admin,
        anyio.create_task_group() as tasks,
    ):
        load = Load(f"http://127.0.0.1:{running.port}/")
        tasks.start_soon(load.run, 4)
        await until_ready(admin, 3)
        used = await servers(admin)
        assert all(int(str(server["memory_bytes"])) > 1_000_000 for server in used)
        assert all(float(str(server["cpu_s"])) > 0 for server in used)
        await eventually(lambda: len(load.seen) >= 3)
        load.clients = 0
        await until_ready(admin, 1)
        assert set(load.answers) == {200}
        status = (await admin.get("/status")).json()
        assert status["scaling"]["http"] < 10


@pytest.mark.timeout(120)
@in_loop
async def test_scaling_can_be_switched_off_and_a_new_command_replaces_servers_one_by_one(tmp_path: Path) -> None:
    async with (
        spawned(tmp_path, written(tmp_path)) as running,
        httpx.AsyncClient(base_url=admin_url(running), trust_env=False) as admin,
        anyio.create_task_group() as tasks,
    ):
        answer = await admin.post("/switches", json={"scaling": False})
        assert answer.json()["scaling"] is False
        load = Load(f"http://127.0.0.1:{running.port}/")
        tasks.start_soon(load.run, 4)
        await eventually(lambda: len(load.answers) > 300)
        assert len(await servers(admin)) == 1
        path = tmp_path / "proxy.ini"
        path.write_text(path.read_text().replace("max_load = 40", "max_load = 40\nenvironment = COLOUR=blue"))
        running.signal(signal.SIGHUP)
        await eventually(lambda: any(text.endswith(" blue") for text in load.seen))
        load.clients = 0
        assert set(load.answers) == {200}
        assert not [line for line in running.log if "ERROR" in line or "Traceback" in line]
