"""Reloads over the admin API: what they would do, what they did, and what they left alone."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import httpx
import pytest
from websockets.asyncio.client import connect as connect_websocket

from tests.integration.admin_caller import TOKEN, Caller
from tests.integration.harness import (
    Proxy,
    RawServer,
    connect,
    eventually,
    fetch,
    get,
    http_route,
    in_loop,
    ok,
    refused_port,
)
from wsproxy.app import Application
from wsproxy.supervisor.source import Source

HEAD = f"[frontend]\nhost = 127.0.0.1\nport = 0\n[log]\naccess = off\n[admin]\nport = 0\ntoken = {TOKEN}\n"


@asynccontextmanager
async def from_file(path: Path) -> AsyncIterator[Caller]:
    """The product on a file that can be changed."""
    application = Application(Source.read(str(path)).load(), lambda: Source.read(str(path)).load())
    async with anyio.create_task_group() as tasks:
        (address,) = await tasks.start(application.run)
        url = f"http://127.0.0.1:{application.administration.port}"
        fields = {"Authorization": f"Bearer {TOKEN}"}
        async with httpx.AsyncClient(base_url=url, headers=fields, trust_env=False) as client:
            try:
                yield Caller(Proxy(application, int(address.rpartition(":")[2])), client)
            finally:
                tasks.cancel_scope.cancel()


@in_loop
async def test_a_dry_run_says_what_a_reload_then_does(tmp_path: Path) -> None:
    path = tmp_path / "proxy.ini"
    async with RawServer(ok(b"first")) as first, RawServer(ok(b"second")) as second:
        path.write_text(HEAD + http_route(first.port))
        async with from_file(path) as caller:
            path.write_text(HEAD + http_route(second.port) + "\n[cache]\nmax_size = 2m\n[overload]\nmax_lag = 5s\n")
            wanted = (await caller.post("/reload?dry_run=1")).json()
            assert not wanted["done"]
            assert wanted["changed"][-2:] == ["overload", "cache"]
            assert wanted["added"] == [f"server of http 127.0.0.1:{second.port}"]
            assert wanted["removed"] == [f"server of http 127.0.0.1:{first.port}"]
            assert (await fetch(caller.proxy.port)).body == b"first"
            assert (await caller.post("/reload")).json() == {**wanted, "done": True}
            assert (await fetch(caller.proxy.port)).body == b"second"


@in_loop
async def test_a_bad_file_is_refused_with_its_lines(tmp_path: Path) -> None:
    path = tmp_path / "proxy.ini"
    async with RawServer(ok()) as server:
        path.write_text(HEAD + http_route(server.port))
        async with from_file(path) as caller:
            path.write_text(HEAD + "[http]\nnonsense = 1\n")
            report = (await caller.post("/reload", expect=409)).json()
            assert not report["done"]
            assert any(f"{path}:10:1: unknown key 'nonsense'" in line for line in report["problems"])
            assert (await fetch(caller.proxy.port)).status == 200
            metrics = (await caller.get("/metrics")).text
            assert 'wsproxy_reloads_total{outcome="refused"} 1.0' in metrics
            assert 'wsproxy_reloads_total{outcome="done"} 0.0' in metrics


@in_loop
async def test_what_an_operator_changed_outlives_a_reload_of_the_same_file(tmp_path: Path) -> None:
    path = tmp_path / "proxy.ini"
    async with RawServer(ok(b"first")) as first, RawServer(ok(b"second")) as second:
        path.write_text(HEAD + http_route(first.port))
        async with from_file(path) as caller:
            await caller.post("/backends", {"url": f"http://127.0.0.1:{second.port}"}, expect=201)
            await caller.post("/backends/disable", {"backend": f"127.0.0.1:{first.port}"})
            assert (await caller.post("/reload")).json()["done"]
            states = {each["url"]: each["state"] for each in (await caller.get("/backends")).json()["backends"]}
            assert states == {f"http://127.0.0.1:{first.port}": "disabled", f"http://127.0.0.1:{second.port}": "up"}
            assert {(await fetch(caller.proxy.port)).body for _ in range(3)} == {b"second"}


@in_loop
async def test_a_reload_enables_and_disables_servers_and_an_operators_word_counts_until_then(tmp_path: Path) -> None:
    path = tmp_path / "proxy.ini"
    async with RawServer(ok(b"first")) as first, RawServer(ok(b"second")) as second:

        async def reload(lines: str) -> dict[str, str]:
            path.write_text(HEAD + http_route(first.port, second.port, lines=lines))
            assert (await caller.post("/reload")).json()["done"]
            return {each["url"][-5:]: each["state"] for each in (await caller.get("/backends")).json()["backends"]}

        a, b = str(first.port), str(second.port)
        path.write_text(HEAD + http_route(first.port, second.port, lines="server2_enabled = no"))
        async with from_file(path) as caller:
            await caller.post("/backends/enable", {"backend": f"127.0.0.1:{b}"})
            assert await reload("server2_enabled = no\nretries = 2\nmax_workers = 4") == {a: "up", b: "up"}
            assert await reload("server1_enabled = no") == {a: "draining", b: "up"}
            assert {(await fetch(caller.proxy.port)).body for _ in range(4)} == {b"second"}
            assert await reload("") == {a: "up", b: "up"}


@in_loop
async def test_another_token_counts_from_the_reload_on(tmp_path: Path) -> None:
    path = tmp_path / "proxy.ini"
    path.write_text(HEAD + http_route(9))
    async with from_file(path) as caller:
        path.write_text(HEAD.replace(TOKEN, "another-token-than-before") + http_route(9))
        await caller.post("/reload")
        await caller.get("/status", expect=401)
        fields = {"Authorization": "Bearer another-token-than-before"}
        assert (await caller.client.get("/status", headers=fields)).status_code == 200


@in_loop
async def test_the_admin_listener_moves_without_a_restart_and_lets_its_pages_go_in_order(tmp_path: Path) -> None:
    path = tmp_path / "proxy.ini"
    path.write_text(HEAD + http_route(9))
    port = await refused_port()
    async with from_file(path) as caller:
        before = caller.port
        fields = {"Authorization": f"Bearer {TOKEN}"}
        async with connect_websocket(f"ws://127.0.0.1:{before}/live", additional_headers=fields) as page:
            await page.recv()
            path.write_text(HEAD.replace("[admin]\nport = 0", f"[admin]\nport = {port}") + http_route(9))
            report = (await caller.post("/reload")).json()  # over the listener that goes: it is answered all the same
            assert (report["done"], report["changed"]) == (True, ["admin"])
            await page.wait_closed()
            assert page.close_code == 1001
        assert (await caller.client.get(f"http://127.0.0.1:{port}/status")).status_code == 200
        with pytest.raises(httpx.ConnectError):
            await caller.client.get(f"http://127.0.0.1:{before}/status")


@in_loop
async def test_an_admin_listener_that_cannot_open_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "proxy.ini"
    async with RawServer(ok(b"first")) as first, RawServer(ok(b"second")) as second:
        path.write_text(HEAD + http_route(first.port))
        async with from_file(path) as caller:
            taken = HEAD.replace("[admin]\nport = 0", f"[admin]\nport = {first.port}")
            path.write_text(taken + http_route(second.port))
            report = (await caller.post("/reload", expect=409)).json()
            assert report["problems"] == [
                f"{path}:7:8: cannot listen on 127.0.0.1:{first.port}: Address already in use"
            ]
            assert (await caller.get("/status")).json()["backends"][0]["url"] == f"http://127.0.0.1:{first.port}"


@in_loop
async def test_the_admin_listener_goes_with_its_section_and_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "proxy.ini"
    path.write_text(HEAD + http_route(9))
    async with from_file(path) as caller:
        application = caller.proxy.application
        path.write_text(HEAD[: HEAD.index("[admin]")] + http_route(9))
        await caller.post("/reload")
        with pytest.raises(httpx.ConnectError):
            await caller.get("/status")
        path.write_text(HEAD + http_route(9))
        await application.reload()
        url = f"http://127.0.0.1:{application.administration.port}/status"
        assert (await caller.client.get(url)).status_code == 200


@in_loop
async def test_pages_that_watch_go_when_the_token_changes(tmp_path: Path) -> None:
    path = tmp_path / "proxy.ini"
    path.write_text(HEAD + http_route(9))
    async with from_file(path) as caller:
        fields = {"Authorization": f"Bearer {TOKEN}"}
        async with connect_websocket(f"ws://127.0.0.1:{caller.port}/live", additional_headers=fields) as page:
            await page.recv()
            path.write_text(HEAD.replace(TOKEN, "another-token-than-before") + http_route(9))
            await caller.post("/reload")
            await page.wait_closed()
            assert page.close_code == 1001


@in_loop
async def test_the_access_log_changes_its_file_its_form_and_whether_it_is(tmp_path: Path) -> None:
    path, first, second = tmp_path / "proxy.ini", tmp_path / "first.log", tmp_path / "second.log"

    def write(log: str, port: int) -> None:
        path.write_text(HEAD.replace("access = off", log) + http_route(port))

    async with RawServer(ok()) as server:
        write(f"access = {first}\naccess_format = $status $target", server.port)
        async with from_file(path) as caller, await connect(caller.proxy.port) as client:
            application = caller.proxy.application

            async def ask(target: bytes) -> None:  # over one connection: what changes holds for those that are there
                await client.send(get(target))
                await client.response()

            await ask(b"/1")
            write(f"access = {second}\naccess_format = $target", server.port)
            assert (await caller.post("/reload")).json()["changed"] == ["log"]
            await ask(b"/2")
            write("access = off", server.port)
            await caller.post("/reload")
            await ask(b"/3")
            write(f"access = {second}\nformat = json\naccess_format = json $target", server.port)
            await caller.post("/reload")
            await ask(b"/4")
            write(f"access = {tmp_path}/nowhere/access.log", server.port)
            (problem,) = (await caller.post("/reload", expect=409)).json()["problems"]
            assert problem == f"{path}:5:10: {tmp_path}/nowhere/access.log cannot be written: No such file or directory"
            await ask(b"/5")
            assert application.logbook.access is not None
            application.logbook.access.flush()
            await eventually(lambda: second.read_text().count("\n") == 3)
            assert first.read_text() == "200 /1\n"
            assert second.read_text() == '/2\n{"target":"/4"}\n{"target":"/5"}\n'


def test_an_admin_port_that_is_taken_is_told_with_its_line(tmp_path: Path) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        path = tmp_path / "proxy.ini"
        path.write_text(HEAD.replace("[admin]\nport = 0", f"[admin]\nport = {port}") + http_route(9))
        command = [sys.executable, "-m", "wsproxy", os.fspath(path)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert f"{path}:7:8: cannot listen on 127.0.0.1:{port}" in done.stderr
