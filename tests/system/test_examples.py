"""The files of examples/: each runs as its comment says, on free ports and with servers of the test's own."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import anyio
import pytest

from tests.integration.harness import Message, RawServer, connect, eventually, fetch, in_loop, ok, refused_port
from tests.system.harness import Spawned, run_to_end, spawned

EXAMPLES = Path(__file__).parents[2] / "examples"
FILES = sorted(path.name for path in EXAMPLES.glob("*.ini"))


def example(name: str, **places: object) -> str:
    """The text of an example with other ports or addresses: `p9001="…"` for what stands behind a colon or `port = `."""
    text = (EXAMPLES / name).read_text("utf-8")
    for old, new in places.items():
        text = re.sub(rf"(:|port = ){old.removeprefix('p')}\b", rf"\g<1>{new}", text)
    return text.replace("[frontend]", "[log]\naccess = off\n[frontend]", 1)


async def ask(port: int, method: str, target: str, content: Mapping[str, str | int] | None = None) -> Message:
    """One request to the admin API."""
    body = b"" if content is None else json.dumps(content).encode()
    head = f"{method} {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    async with await connect(port) as client:
        await client.send(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        return await client.response()


async def served(running: Spawned, times: int = 8) -> set[bytes]:
    """Who answers."""
    return {(await fetch(running.port)).body for _ in range(times)}


def test_there_are_examples_and_each_says_how_to_run_it() -> None:
    assert FILES
    for name in FILES:
        assert f"python -m wsproxy examples/{name}" in (EXAMPLES / name).read_text("utf-8"), name
        assert f"]({name})" in (EXAMPLES / "README.md").read_text("utf-8"), name


@pytest.mark.parametrize("name", FILES)
def test_every_example_is_a_good_file(name: str) -> None:
    @in_loop
    async def run() -> None:
        code, out, _ = await run_to_end("--check", str(EXAMPLES / name))
        assert code == 0
        assert ": ok (" in out

    run()


@in_loop
async def test_three_servers_of_which_one_is_disabled(tmp_path: Path) -> None:
    async with RawServer(ok(b"one")) as one, RawServer(ok(b"two")) as two, RawServer(ok(b"three")) as three:
        admin = await refused_port()
        places = {"p8080": 0, "p8081": admin, "p9001": one.port, "p9002": two.port, "p9003": three.port}
        async with spawned(tmp_path, "", whole=example("three-servers.ini", **places)) as running:
            assert await served(running) == {b"one", b"two"}
            shown = json.loads((await ask(admin, "GET", "/backends")).body)["backends"]
            assert {each["name"]: each["state"] for each in shown}["spare"] == "disabled"
            assert (await ask(admin, "POST", "/backends/enable", {"backend": "spare"})).status == 200
            assert await served(running) == {b"one", b"two", b"three"}
            assert (await ask(admin, "POST", "/backends/disable", {"backend": "spare"})).status == 200
            assert await served(running) == {b"one", b"two"}


@in_loop
async def test_servers_come_and_go(tmp_path: Path) -> None:
    async with RawServer(ok(b"one")) as one, RawServer(ok(b"two")) as two, RawServer(ok(b"three")) as three:
        admin = await refused_port()
        text = example("come-and-go.ini", p8080=0, p8081=admin, p9001=one.port, p9002=two.port)
        added = {"url": f"http://127.0.0.1:{three.port}"}
        gone = f"http://127.0.0.1:{one.port}"
        async with spawned(tmp_path, "", whole=text) as running:
            assert await served(running) == {b"one", b"two"}
            assert (await ask(admin, "POST", "/backends", added)).status == 201
            weighed = await ask(admin, "POST", "/backends/weight", {"backend": added["url"], "weight": 3})
            assert weighed.status == 200
            answers = Counter([(await fetch(running.port)).body for _ in range(10)])
            assert answers == {b"one": 2, b"two": 2, b"three": 6}
            assert (await ask(admin, "POST", "/backends/drain", {"backend": gone})).status == 200
            assert await served(running) == {b"two", b"three"}
            assert (await ask(admin, "DELETE", "/backends", {"url": gone})).status == 200
            shown = json.loads((await ask(admin, "GET", "/backends")).body)["backends"]
            assert [each["url"] for each in shown] == [f"http://127.0.0.1:{two.port}", added["url"]]


@in_loop
async def test_an_external_server_gets_its_own_name_and_path(tmp_path: Path) -> None:
    redirect = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:%d/docs/next\r\nContent-Length: 0\r\n\r\n"
    async with RawServer(ok(b"here")) as here, RawServer(b"") as elsewhere:
        elsewhere._script = RawServer(redirect % elsewhere.port)._script
        text = example("external-server.ini", p8080=0, p9001=here.port)
        text = text.replace("https://www.example.org", f"http://127.0.0.1:{elsewhere.port}")
        async with spawned(tmp_path, "", whole=text) as running:
            assert (await fetch(running.port)).body == b"here"
            answer = await fetch(running.port, b"/koker/guide")
            await eventually(lambda: bool(elsewhere.requests))
            assert elsewhere.requests == [b"GET /docs/guide HTTP/1.1"]
            assert b"Host: 127.0.0.1:%d\r\n" % elsewhere.port in bytes(elsewhere.wires[0].received)
            assert answer.status == 302
            assert (answer.field(b"location") or b"").endswith(b"/koker/next")
            with anyio.fail_after(10):
                running.signal(15)
                assert await running.exit_code(within_s=10) == 0
