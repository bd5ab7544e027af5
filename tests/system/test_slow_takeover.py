"""What happens while a successor is coming up: whatever it is, somebody serves, and nobody is cut off by it."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from tests.integration.harness import RawServer, Wire, connect, eventually, fetch, get, http_route, in_loop, ok
from tests.system.harness import Spawned
from tests.system.test_takeover import replaceable, successors, taken_over


@asynccontextmanager
async def waiting(running: Spawned, directory: Path) -> AsyncIterator[Path]:
    """Its successor has the listeners and comes up once the file that is given is there: its server waits for that."""
    gate = directory / "gate"
    script = directory / "server.sh"
    python = shlex.quote(sys.executable)
    script.write_text(f"while ! test -e {gate}; do sleep 0.05; done\nexec {python} -m wsproxy.demo --listen unix:$1\n")
    path = directory / "proxy.ini"
    text = path.read_text().partition("[http]")[0]
    path.write_text(f"{text}[http]\ncommand = /bin/sh {script} <sock>\nstartup_servers = 1\n")
    running.signal(signal.SIGUSR2)
    await running.wait_for("takes over")
    yield gate


@in_loop
async def test_operators_and_probes_are_answered_by_the_one_that_serves(tmp_path: Path) -> None:
    async with (
        RawServer(ok()) as server,
        replaceable(tmp_path, f"[admin]\nport = 0\n{http_route(server.port)}") as running,
    ):
        (port,) = re.findall(r"admin on 127.0.0.1:(\d+)", "\n".join(running.log))
        url = f"http://127.0.0.1:{port}/readyz"
        async with waiting(running, tmp_path) as gate, httpx.AsyncClient(trust_env=False) as one:
            assert (await one.get(url)).status_code == 200
            for _ in range(20):
                async with httpx.AsyncClient(trust_env=False) as probe:
                    assert (await probe.get(url)).status_code == 200
            answer = (await one.post(url.replace("readyz", "reload"), json={})).json()
            (successor,) = set(successors(running))
            assert answer["problems"] == [f"process {successor} is taking over, with the file as it has found it"]
            for what in ("disable", "drain"):
                refused = await one.post(url.replace("readyz", f"backends/{what}"), json={"backend": "server1"})
                assert (refused.status_code, f"process {successor} is taking over" in refused.text) == (409, True)
            gate.touch()
            await taken_over(running)
            async with httpx.AsyncClient(trust_env=False) as probe:
                assert (await probe.get(url)).status_code == 200


@pytest.mark.parametrize("lines", ["", "processes = 2"])
@in_loop
async def test_what_operators_have_changed_holds_with_the_successor(lines: str, tmp_path: Path) -> None:
    async with RawServer(ok(b"kept")) as kept, RawServer(ok(b"disabled")) as disabled:
        routes = f"[admin]\nport = 0\n{http_route(kept.port, disabled.port)}"
        async with replaceable(tmp_path, routes, f"shutdown_timeout = 5s\n{lines}") as running:
            (port,) = re.findall(r"admin on 127.0.0.1:(\d+)", "\n".join(running.log))
            url = f"http://127.0.0.1:{port}/backends"
            async with httpx.AsyncClient(trust_env=False) as operator:
                server = f"127.0.0.1:{disabled.port}"
                answer = await operator.post(f"{url}/disable", json={"backend": server})
                assert answer.status_code == 200
            running.signal(signal.SIGUSR2)
            await taken_over(running)
            assert {(await fetch(running.port)).body for _ in range(6)} == {b"kept"}
            async with httpx.AsyncClient(trust_env=False) as operator:
                states = {each["url"]: each["state"] for each in (await operator.get(url)).json()["backends"]}
                assert states[f"http://{server}"] == "disabled"


@in_loop
async def test_one_that_is_stopped_meanwhile_drains_all_the_same(tmp_path: Path) -> None:
    may_answer = asyncio.Event()

    async def slow(wire: Wire) -> None:
        await wire.request()
        await may_answer.wait()
        await wire.send(ok())

    async with (
        RawServer(slow) as server,
        replaceable(tmp_path, http_route(server.port), "shutdown_timeout = 20s") as running,
        waiting(running, tmp_path) as gate,
        await connect(running.port) as client,
    ):
        await client.send(get())
        await eventually(lambda: bool(server.opened))
        running.signal(signal.SIGTERM)
        await running.wait_for("stopping: finishing")
        gate.touch()
        await running.wait_for("serves from now on")
        assert (await fetch(running.port, b"/health")).field(b"x-backend") is not None
        may_answer.set()
        assert (await client.response()).status == 200
        await taken_over(running)
        assert not [line for line in running.log if "second signal" in line]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
@in_loop
async def test_a_successor_goes_on_alone_after_the_others_death(number: int, tmp_path: Path) -> None:
    async with (
        RawServer(ok()) as server,
        replaceable(tmp_path, http_route(server.port)) as running,
        waiting(running, tmp_path) as gate,
    ):
        running.signal(number)
        await running.wait_for("has ended before we served: going on alone")
        async with await connect(running.port) as client:  # it waits, and is not refused
            gate.touch()
            await client.send(get(b"/health"))
            assert (await client.response()).field(b"x-backend") is not None


@in_loop
async def test_a_successor_that_is_killed_changes_nothing(tmp_path: Path) -> None:
    async with (
        RawServer(ok()) as server,
        replaceable(tmp_path, http_route(server.port)) as running,
        waiting(running, tmp_path),
    ):
        os.kill(successors(running)[-1], signal.SIGKILL)
        await running.wait_for("the successor has ended (SIGKILL) before it served: going on")
        for _ in range(5):
            assert (await fetch(running.port)).status == 200


@in_loop
async def test_a_successor_whose_processes_do_not_serve_changes_nothing(tmp_path: Path) -> None:
    """As after an upgrade that is broken where only they see it."""
    async with RawServer(ok()) as server, replaceable(tmp_path, http_route(server.port)) as running:
        path = tmp_path / "proxy.ini"
        path.write_text(path.read_text().replace("[frontend]", "[frontend]\nprocesses = 2"))
        broken = tmp_path / "broken"
        broken.mkdir()
        (broken / "sitecustomize.py").write_text(
            "import sys\nif 'wsproxy.supervisor' in sys.orig_argv[:4]: sys.exit('broken')\n"
        )
        environment = os.environ | {"PYTHONPATH": f"{broken}:{os.getcwd()}"}
        second = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "wsproxy", str(path), "--takeover"),
            env=environment,
            stderr=subprocess.PIPE,
        )
        _, err = await second.communicate()
        assert second.returncode == 1
        how = "cannot be started: the fork server has ended (exit status 1)"
        assert f"{path}: process 1 has ended ({how}); process 2 has ended ({how})" in err.decode()
        await running.wait_for("has not taken over")
        for _ in range(5):
            assert (await fetch(running.port)).status == 200
