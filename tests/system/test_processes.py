"""Several processes behind one address: served by all, mended when one dies, changed and ended as one."""

from __future__ import annotations

import os
import re
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import anyio
import httpx
import pytest

from tests.integration.harness import LOST, RawServer, Wire, connect, eventually, fetch, get, http_route, in_loop, ok
from tests.integration.websocket_wire import acceptance, close, closing, echo, handshake, open_websocket, receive_frame
from tests.system.harness import Spawned, run_to_end, spawned


def children_of(pid: int) -> list[int]:
    """The processes that one has started and that are still there, or not yet waited for."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


class Processes:
    """The product with two processes, and what the system says of them."""

    def __init__(self, running: Spawned, admin: httpx.AsyncClient) -> None:
        self.running = running
        self.port = running.port
        self.admin = admin

    @property
    def children(self) -> list[int]:
        """The ids of the processes that serve, or will: those that the fork server has forked."""
        return [child for server in children_of(self.running.process.pid) for child in children_of(server)]

    async def kill(self, victim: int) -> None:
        """Kill a process and wait until the parent knows."""
        count = len(self._deaths())
        os.kill(victim, signal.SIGKILL)
        await eventually(lambda: len(self._deaths()) > count)

    def _deaths(self) -> list[str]:
        return [line for line in self.running.log if "has ended (SIGKILL), starts again" in line]

    async def all_serve(self, count: int = 2) -> list[int]:
        """The children, once there are so many and each has said that it serves."""
        with anyio.fail_after(20):
            while True:
                children = self.children
                serving = re.findall(r"serves \(pid (\d+)\)", "\n".join(self.running.log))
                if len(children) == count and {str(child) for child in children} <= set(serving):
                    return children
                await anyio.sleep(0.02)

    async def ask(self, path: str) -> httpx.Response:
        return await self.admin.get(path)

    async def tell(self, path: str, content: object = None) -> httpx.Response:
        return await self.admin.post(path, json=content)

    async def status(self) -> dict[str, int]:
        answer: dict[str, int] = (await self.ask("/status")).json()
        return answer


@asynccontextmanager
async def processes(directory: Path, routes: str, frontend: str = "", log: str = "") -> AsyncIterator[Processes]:
    """Two of them, with an admin listener."""
    lines = f"{log}\n[admin]\nport = 0\n{routes}"
    async with spawned(directory, lines, f"processes = 2\n{frontend}") as running:
        (port,) = re.findall(r"admin on 127.0.0.1:(\d+)", "\n".join(running.log))
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as admin:
            yield Processes(running, admin)


@in_loop
async def test_clients_are_spread_and_counted_as_one(tmp_path: Path) -> None:
    async with (
        RawServer(ok()) as server,
        processes(tmp_path, http_route(server.port)) as running,
        AsyncExitStack() as clients,
    ):
        wires = [await clients.enter_async_context(await connect(running.port)) for _ in range(8)]
        for wire in wires:
            await wire.send(get())
            assert (await wire.response()).status == 200
        status = await running.status()
        assert (status["connections"], status["requests"]) == (8, 8)
        held = [_held(child, running.port) for child in running.children]
        assert sum(held) == 8
        assert min(held) >= 3
        metrics = (await running.ask("/metrics")).text
        assert 'wsproxy_frontend_connections_accepted_total{frontend="frontend"} 8.0' in metrics
        assert len(re.findall(r"^wsproxy_process_cpu_seconds_total", metrics, re.MULTILINE)) == 3


def _held(child: int, port: int) -> int:
    """How many connections of clients a process has."""
    inodes = {os.readlink(entry) for entry in Path(f"/proc/{child}/fd").iterdir() if entry.is_symlink()}
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    mine = [line for line in lines if line[1].endswith(f":{port:04X}") and line[3] == "01"]
    return sum(f"socket:[{line[9]}]" in inodes for line in mine)


@in_loop
async def test_a_process_that_is_killed_takes_only_its_own_with_it(tmp_path: Path) -> None:
    async with RawServer(ok()) as server, processes(tmp_path, http_route(server.port)) as running:
        wires = [await connect(running.port) for _ in range(6)]
        for wire in wires:
            await wire.send(get())
            assert (await wire.response()).status == 200
        await running.ask("/status")
        victim, other = running.children
        kept = _held(other, running.port)
        os.kill(victim, signal.SIGKILL)
        alive = 0
        for wire in wires:
            with suppress(*LOST):
                await wire.send(get())
                alive += (await wire.response()).status == 200
            await wire.close()
        assert alive == kept
        assert 2 <= kept <= 4
        for _ in range(4):
            assert (await fetch(running.port)).status == 200
        await eventually(lambda: any("process 1 has ended (SIGKILL)" in line for line in running.running.log))
        after = await running.all_serve()
        assert other in after
        assert victim not in after
        assert (await running.status())["requests"] == 6 + kept + 4
        assert [line for line in running.running.log if "process 1 has ended (SIGKILL), starts again" in line]


@in_loop
async def test_a_process_that_hangs_holds_up_nobody_for_long(tmp_path: Path) -> None:
    async with RawServer(ok()) as server, processes(tmp_path, http_route(server.port)) as running:
        hung, _ = running.children
        os.kill(hung, signal.SIGSTOP)
        for _ in range(4):
            assert (await fetch(running.port)).status == 200
        assert (await running.ask("/readyz")).status_code == 200
        os.kill(hung, signal.SIGCONT)


@in_loop
async def test_nobody_is_left_behind(tmp_path: Path) -> None:
    async with RawServer(ok()) as server, processes(tmp_path, http_route(server.port)) as running:
        children = running.children
        running.running.signal(signal.SIGKILL)
        await eventually(lambda: not any(os.path.exists(f"/proc/{child}") for child in children))


@in_loop
async def test_an_operators_word_holds_in_every_process(tmp_path: Path) -> None:
    async with RawServer(ok()) as server, processes(tmp_path, http_route(server.port)) as running:
        name = {"backend": f"127.0.0.1:{server.port}"}
        answer = (await running.tell("/backends/disable", name)).json()
        assert answer["backend"]["state"] == "disabled"
        assert {(await fetch(running.port)).status for _ in range(6)} == {503}
        await running.kill(running.children[0])
        await running.all_serve()
        assert {(await fetch(running.port)).status for _ in range(6)} == {503}  # whoever came since knows it too
        await running.tell("/backends/enable", name)
        assert {(await fetch(running.port)).status for _ in range(6)} == {200}
        assert (await running.tell("/backends/enable", {"backend": "nobody"})).status_code == 404


@in_loop
async def test_a_server_comes_and_goes_in_every_process(tmp_path: Path) -> None:
    async with (
        RawServer(ok(b"one")) as one,
        RawServer(ok(b"two")) as two,
        processes(tmp_path, http_route(one.port, lines="algorithm = round-robin")) as running,
    ):
        url = f"http://127.0.0.1:{two.port}"
        answer = await running.tell("/backends", {"url": url})
        assert (answer.status_code, answer.json()["backend"]["max_workers"]) == (201, 6)
        assert {(await fetch(running.port)).body for _ in range(8)} == {b"one", b"two"}
        gone = await running.admin.request("DELETE", "/backends", json={"url": url})
        assert gone.status_code == 200
        assert {(await fetch(running.port)).body for _ in range(8)} == {b"one"}


@in_loop
async def test_health_checks_run_once_and_count_everywhere(tmp_path: Path) -> None:
    async with RawServer(ok()) as server, RawServer(ok(b"other")) as other:
        routes = http_route(server.port, other.port, lines="health_check_interval = 200ms\nretries = 0")
        async with processes(tmp_path, routes) as running:
            await server.stop()
            await running.running.wait_for("is down")
            assert {(await fetch(running.port)).body for _ in range(8)} == {b"other"}
            lines = [line for line in running.running.log if "is down" in line]
            assert len(lines) == 1


@in_loop
async def test_a_reload_reaches_all_processes_or_none(tmp_path: Path) -> None:
    async with (
        RawServer(ok(b"one")) as one,
        RawServer(ok(b"two")) as two,
        processes(tmp_path, http_route(one.port)) as running,
    ):
        path = tmp_path / "proxy.ini"
        before = path.read_text()
        path.write_text(before.replace(f":{one.port}", f":{two.port}").replace("[http]", "[http]\nalgorithm = no"))
        answer = (await running.tell("/reload")).json()
        assert not answer["done"]
        assert "'no' is not one of" in answer["problems"][0]
        assert {(await fetch(running.port)).body for _ in range(4)} == {b"one"}

        path.write_text(before.replace(f":{one.port}", f":{two.port}"))
        assert (await running.tell("/reload")).json()["done"]
        assert {(await fetch(running.port)).body for _ in range(4)} == {b"two"}
        await running.kill(running.children[0])
        await running.all_serve()
        assert {(await fetch(running.port)).body for _ in range(4)} == {b"two"}


@in_loop
async def test_a_reload_that_one_process_cannot_follow_changes_nothing(tmp_path: Path) -> None:
    async with RawServer(ok()) as server, processes(tmp_path, http_route(server.port)) as running:
        path = tmp_path / "proxy.ini"
        path.write_text(path.read_text().replace("[http]", "[http]\nretries = 3"))
        os.kill(running.children[0], signal.SIGSTOP)
        answer = (await running.admin.post("/reload", timeout=30)).json()
        os.kill(running.children[0], signal.SIGCONT)
        assert not answer["done"]
        assert answer["problems"] == ["process 1: no answer to 'prepare' within 5 s"]
        assert (await running.ask("/config")).json()["routes"][0]["retries"] == 1


@in_loop
async def test_a_new_listener_is_there_in_every_process(tmp_path: Path) -> None:
    async with RawServer(ok()) as server, processes(tmp_path, http_route(server.port)) as running:
        path = tmp_path / "proxy.ini"
        before = path.read_text()
        path.write_text(before + "[frontend:more]\nhost = 127.0.0.1\nport = 0\n")
        assert (await running.tell("/reload")).json()["added"] == ["frontend frontend:more"]
        metrics = (await running.ask("/metrics")).text
        assert set(re.findall(r'frontend="([^"]*)"', metrics)) == {"frontend", "frontend:more"}
        path.write_text(before)
        assert (await running.tell("/reload")).json()["removed"] == ["frontend frontend:more"]
        assert (await fetch(running.port)).status == 200


@in_loop
async def test_websockets_of_all_processes_are_listed_closed_and_drained(tmp_path: Path) -> None:
    async def talk(wire: Wire) -> None:
        await echo(wire)

    async with (
        RawServer(talk) as server,
        processes(tmp_path, http_route(server.port, section="websocket")) as running,
    ):
        wires = [await open_websocket(running.port) for _ in range(4)]
        sessions = (await running.ask("/sessions")).json()["sessions"]
        assert len({session["id"] for session in sessions}) == 4
        pids = {int(session["id"].partition("@")[2]) for session in sessions}
        assert pids == set(running.children)
        assert len((await running.ask("/sessions?limit=3")).json()["sessions"]) == 3

        answer = await running.tell("/sessions/close", {"id": sessions[0]["id"], "code": 4001})
        assert answer.status_code == 200
        assert (await running.tell("/sessions/close", {"id": "websocket.1@1"})).status_code == 404
        assert (await running.tell("/sessions/drain", {})).json() == {"draining": 3}
        codes = Counter([(await receive_frame(wire)) for wire in wires])
        assert codes == {closing(4001): 1, closing(1012): 3}
        for wire in wires:
            await wire.close()


@in_loop
async def test_all_end_in_order(tmp_path: Path) -> None:
    async def talk(wire: Wire) -> None:
        request = await wire.request()
        await wire.send(acceptance(request.head))
        await receive_frame(wire)
        await wire.send(close(1001))

    async with (
        RawServer(talk) as server,
        processes(tmp_path, http_route(server.port, section="websocket"), "shutdown_timeout = 5s") as running,
    ):
        wires = [await connect(running.port) for _ in range(4)]
        for wire in wires:
            await wire.send(handshake())
            assert (await wire.response()).status == 101
        running.running.signal(signal.SIGTERM)
        assert [await receive_frame(wire) for wire in wires] == [closing(1001)] * 4
        for wire in wires:
            await wire.send(close(1001, masked=True))
            assert await wire.rest() == b""
            await wire.close()
        assert await running.running.exit_code(within_s=10) == 0
        assert "stopped" in running.running.log[-1]


@in_loop
async def test_a_second_signal_ends_all_at_once(tmp_path: Path) -> None:
    async def hold(wire: Wire) -> None:
        await wire.request()
        await wire.rest()

    async with (
        RawServer(hold) as server,
        processes(tmp_path, http_route(server.port)) as running,
        await connect(running.port) as client,
    ):
        await client.send(get())
        await eventually(lambda: bool(server.opened))
        running.running.signal(signal.SIGTERM)
        await running.running.wait_for("stopping")
        running.running.signal(signal.SIGTERM)
        assert await running.running.exit_code(within_s=10) == 0


@in_loop
async def test_each_process_writes_whole_lines_to_one_access_log(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    async with RawServer(ok()) as server:
        routes = http_route(server.port)
        text = f"[frontend]\nhost = 127.0.0.1\nport = 0\nprocesses = 2\n[log]\naccess = {log}\n{routes}"
        async with spawned(tmp_path, "", whole=text) as running:
            for _ in range(10):
                await fetch(running.port)
            log.rename(tmp_path / "access.log.1")
            running.signal(signal.SIGUSR1)
            await eventually(log.exists)
            for _ in range(10):
                await fetch(running.port)
            running.signal(signal.SIGTERM)
            assert await running.exit_code(within_s=10) == 0
    lines = [line for path in (log, tmp_path / "access.log.1") for line in path.read_text().splitlines()]
    assert len(lines) == 20
    assert all(line.startswith("127.0.0.1 - - [") for line in lines)


@in_loop
async def test_managed_servers_run_once(tmp_path: Path) -> None:
    command = "<python> -m wsproxy.demo --listen unix:<sock> --name <name>"
    routes = f"[http]\ncommand = {command}\nstartup_servers = 2\nalgorithm = round-robin\n"
    async with processes(tmp_path, routes) as running:
        names = {(await fetch(running.port, b"/health")).field(b"x-backend") for _ in range(8)}
        assert names == {b"http-1", b"http-2"}
        assert len(children_of(running.running.process.pid)) == 1 + 2  # the fork server, and each of them once


@in_loop
async def test_a_pool_below_the_number_of_processes_is_named(tmp_path: Path) -> None:
    path = tmp_path / "proxy.ini"
    path.write_text("[frontend]\nport = 0\nprocesses = 4\n[http]\nserver1 = 127.0.0.1:1\nmax_workers = 3\n")
    code, _, err = await run_to_end("--check", str(path))
    assert code == 0
    assert "max_workers = 3 of 127.0.0.1:1 is below processes = 4: each has one at least, so it is 4 in total" in err


@pytest.mark.parametrize("processes_", [2])
@in_loop
async def test_an_address_in_use_starts_nothing(processes_: int, tmp_path: Path) -> None:
    async with RawServer(ok()) as taken:
        path = tmp_path / "proxy.ini"
        path.write_text(
            f"[frontend]\nhost = 127.0.0.1\nport = {taken.port}\nprocesses = {processes_}\n[http]\nserver1 = a:1\n"
        )
        code, _, err = await run_to_end(str(path))
        assert code == 2
        assert f"{path}:3" in err


@in_loop
async def test_one_that_was_stopped_does_not_outlive_the_parent_either(tmp_path: Path) -> None:
    async with RawServer(ok()) as server, processes(tmp_path, http_route(server.port)) as running:
        children = running.children
        os.kill(children[0], signal.SIGSTOP)
        running.running.signal(signal.SIGKILL)
        await eventually(lambda: not any(os.path.exists(f"/proc/{child}") for child in children))


@in_loop
async def test_one_that_dies_in_a_reload_does_not_hold_it_up(tmp_path: Path) -> None:
    async with RawServer(ok()) as server, processes(tmp_path, http_route(server.port)) as running:
        path = tmp_path / "proxy.ini"
        path.write_text(path.read_text().replace("[http]", "[http]\nretries = 3"))
        dying, other = running.children
        os.kill(dying, signal.SIGSTOP)
        async with anyio.create_task_group() as tasks:
            answers: list[httpx.Response] = []

            async def reload() -> None:
                answers.append(await running.tell("/reload"))

            tasks.start_soon(reload)
            await _has_heard(other)
            os.kill(dying, signal.SIGKILL)
        assert answers[0].json()["problems"] == []
        await running.all_serve()
        assert (await running.ask("/config")).json()["routes"][0]["retries"] == 3


async def _has_heard(child: int) -> None:
    """It has had something to do: the message that all of them got."""

    def switches() -> int:
        status = Path(f"/proc/{child}/status").read_text()
        return int(status.partition("\nvoluntary_ctxt_switches:")[2].split()[0])

    before = switches()
    await eventually(lambda: switches() > before + 3)


@in_loop
async def test_what_one_process_did_not_do_is_said(tmp_path: Path) -> None:
    async with RawServer(ok()) as server, processes(tmp_path, http_route(server.port, section="websocket")) as running:
        stopped, _ = running.children
        os.kill(stopped, signal.SIGSTOP)
        assert (await running.admin.get("/sessions", timeout=30)).json() == {"sessions": []}
        await running.running.wait_for("the WebSockets of process 1 are not listed: no answer to 'sessions' within 5 s")
        answer = await running.admin.post("/sessions/drain", json={}, timeout=30)
        os.kill(stopped, signal.SIGCONT)
        assert (answer.status_code, answer.json()) == (503, {"error": "1 of 2 processes did not answer: [1]"})
        assert (await running.tell("/sessions/drain", {})).json() == {"draining": 0}
