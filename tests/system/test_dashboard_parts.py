"""The dashboard of a proxy that has it all: servers of its own, found ones, TCP listeners, a cache, two processes."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import anyio
import pytest

from tests.integration.browser import Page, browser
from tests.integration.harness import RawServer, Wire, connect, fetch, ok, refused_port
from tests.integration.test_admin_dashboard import run_bounded, shoot
from tests.system.harness import Spawned, spawned

ROUTES = """
[http]
server1 = 127.0.0.1:{server}
cache = yes
cache_control = max-age=60

[group:demo]
command = <python> -m wsproxy.demo --listen unix:<sock> --name <name>
startup_servers = 2

[http:demo]
path_prefix = /demo
strip_prefix = yes
group = demo

[http:found]
path_prefix = /found
discover = file://{found}

[tcp:lines]
host = 127.0.0.1
port = {tcp}
server1 = 127.0.0.1:{echo}

[admin]
port = {admin}
"""


async def echo(wire: Wire) -> None:
    while data := await wire.some():
        await wire.send(data)


def cells(part: str) -> str:
    """The texts of a part's rows, as the page has them."""
    rows = f"[...document.querySelectorAll('#{part}-part tbody tr')]"
    return f"{rows}.map(row => [...row.cells].map(cell => cell.innerText))"


async def rows(page: Page, part: str) -> list[list[str]]:
    found: list[list[str]] = await page.run(cells(part))
    return found


async def until_cpu(page: Page, part: str, column: int, count: int) -> None:
    """Each of so many rows has had two samples."""
    await page.until(f"({cells(part)}).filter(row => /^[0-9.]+ %$/.test(row[{column}])).length === {count}")


def tile(name: str) -> str:
    tiles = "[...document.querySelectorAll('#tiles div')]"
    return f"{tiles}.find(tile => tile.firstChild.textContent === '{name}')?.lastChild.textContent"


async def look_at_servers(page: Page, running: Spawned) -> None:
    await until_cpu(page, "server", 5, 2)
    servers = await rows(page, "server")
    assert [row[:2] for row in servers] == [["ready", "demo-1"], ["ready", "demo-2"]]
    assert all("MiB" in row[6] for row in servers)
    os.kill(int(servers[0][3]), signal.SIGKILL)
    await page.until(f"({cells('server')})[0][4] === '1'")
    await page.until(f"({cells('server')})[0][0] === 'ready'")
    again = (await rows(page, "server"))[0]
    assert again[3] != servers[0][3], "another process"


async def look_at_the_rest(page: Page, running: Spawned, found: Path) -> None:
    (source,) = await rows(page, "found")
    assert source[:3] == ["http:found", f"file://{found}", "1"]
    assert source[3].endswith(" s ago")
    await anyio.Path(found).write_text("nonsense")
    await page.until(f"Number(({cells('found')})[0][4]) > 0")
    await page.until(f"({cells('listener')})[0][2] === '1'")
    assert await page.run(tile("WebSockets")) == "0", "what goes over TCP is none"
    await page.until(f"({cells('listener')})[0][4].startsWith('98 KiB')")
    assert (await rows(page, "listener"))[0][0].startswith("tcp:lines")
    await until_cpu(page, "process", 2, 3)
    assert str(running.process.pid) in [row[0] for row in await rows(page, "process")]
    await page.until(f"{tile('From the cache')} === '75 %'")


@pytest.mark.timeout(90)
def test_each_part_is_shown_and_moves(tmp_path: Path) -> None:
    async def main() -> None:
        found = tmp_path / "found.json"
        async with RawServer(ok(b"page")) as server, RawServer(echo) as lines, browser() as page:
            found.write_text(json.dumps([f"127.0.0.1:{server.port}"]))
            tcp, admin = await refused_port(), await refused_port()
            text = ROUTES.format(server=server.port, found=found, tcp=tcp, echo=lines.port, admin=admin)
            async with spawned(tmp_path, text, frontend="processes = 2") as running, await connect(tcp) as client:
                await client.send(b"x" * 100_000)
                assert len(await client.exactly(100_000)) == 100_000
                await page.resize(1400, 1000)
                await page.open(f"http://127.0.0.1:{admin}/")
                await page.until("!document.querySelector('#server-part').hidden")
                async with await connect(running.port) as one:  # one connection, one process, one cache
                    for _ in range(4):
                        await one.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                        assert (await one.response()).body == b"page"
                assert (await fetch(running.port, b"/demo/hello")).status == 200
                await look_at_servers(page, running)
                await look_at_the_rest(page, running, found)
                assert await page.run("document.documentElement.scrollWidth") <= 1400, "nothing sticks out"
                await shoot(page, "parts-light")
                await page.use_dark(True)
                await page.until("document.documentElement.dataset.theme === 'dark'")
                await shoot(page, "parts-dark")
                await page.resize(390, 844, mobile=True)
                await page.until("document.querySelector('.chart canvas').clientWidth < 380")
                assert await page.run("document.documentElement.scrollWidth") <= 390
                await shoot(page, "parts-phone")
                assert not page.problems

    run_bounded(main)
