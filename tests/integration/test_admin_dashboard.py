"""The dashboard in a real browser: it loads, its charts move under load, and what is clicked happens."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import anyio
import httpx
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from tests.integration.admin_caller import TOKEN, Caller, administered
from tests.integration.browser import Page, browser
from tests.integration.harness import RawServer, http_route, ok

LIMIT_S = 150.0
SHOP = "server1_name = shop-1\nserver2_name = shop-2"
SCREENSHOTS = os.environ.get("WSPROXY_SCREENSHOTS")
"""A directory to leave screenshots in, for who wants to look."""


async def echo(websocket: ServerConnection) -> None:
    with suppress(ConnectionClosed):
        async for message in websocket:
            await websocket.send(message)


async def load(caller: Caller) -> None:
    """Some requests, and a WebSocket with messages, until cancelled."""
    url = f"127.0.0.1:{caller.proxy.port}"
    async with httpx.AsyncClient(trust_env=False) as client, connect(f"ws://{url}/chat", proxy=None) as websocket:
        while True:
            for _ in range(5):
                await client.get(f"http://{url}/")
            await client.get(f"http://{url}/nowhere/../../")
            await websocket.send("message")
            await websocket.recv()
            await anyio.sleep(0.02)


class Tunnel:
    """A way to a port of loopback that can be cut and opened again."""

    def __init__(self, to: int) -> None:
        self._to = to
        self._server: asyncio.Server | None = None
        self._pipes: set[asyncio.Task[None]] = set()
        self._writers: list[asyncio.StreamWriter] = []
        self.port = 0

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._join, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.wait(self._pipes)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._to)
        self._writers += [writer, far_writer]
        for source, sink in ((reader, far_writer), (far_reader, writer)):
            pipe = asyncio.create_task(self._pipe(source, sink))
            self._pipes.add(pipe)

    async def _pipe(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await source.read(65536):
                sink.write(data)
        sink.close()


@asynccontextmanager
async def watched() -> AsyncIterator[tuple[Caller, Page]]:
    """The product under load, and a browser that has logged in to its dashboard."""
    async with (
        RawServer(ok(b"one")) as one,
        RawServer(ok(b"two")) as two,
        serve(echo, "127.0.0.1", 0) as chat,
        administered(
            http_route(one.port, two.port, lines=f"algorithm = round-robin\n{SHOP}")
            + http_route(
                next(iter(chat.sockets)).getsockname()[1],
                lines="server1_name = chat-1\ninspect = yes",
                section="websocket",
            )
        ) as caller,
        browser() as page,
    ):
        loading = asyncio.ensure_future(load(caller))
        try:
            await log_in(page, caller.port)
            yield caller, page
        finally:
            loading.cancel()
            await asyncio.wait([loading])


async def log_in(page: Page, port: int) -> None:
    await page.resize(1400, 1000)
    await page.open(f"http://127.0.0.1:{port}/")
    await page.until("!document.querySelector('#login').hidden")
    assert await page.run("document.activeElement.id") == "token"
    await page.call("Input.insertText", text=TOKEN)
    await page.press("Enter", 13, "\r")
    await page.until("document.querySelector('#link').textContent === 'live'")


async def shoot(page: Page, name: str) -> None:
    if SCREENSHOTS:
        await anyio.Path(SCREENSHOTS, f"{name}.png").write_bytes(await page.screenshot())


def row_of(name: str) -> str:
    rows = "[...document.querySelectorAll('#backend-table tbody tr')]"
    return f"{rows}.find(row => row.cells[1].innerText.startsWith('{name}'))"


def run_bounded(main: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        with anyio.fail_after(LIMIT_S):
            await main()

    anyio.run(bounded, backend_options={"use_uvloop": True})


def test_it_shows_what_happens_and_does_what_is_clicked() -> None:
    async def main() -> None:
        async with watched() as (caller, page):
            await page.until("document.querySelectorAll('.chart canvas').length === 7")
            tile = "document.querySelector('#tiles dd')"
            await page.until(f"Number({tile}.textContent) > 1")
            painted = "[...document.querySelectorAll('.chart canvas')].map(c => c.toDataURL())"
            first = await page.run(painted)
            await anyio.sleep(2.5)
            second = await page.run(painted)
            assert all(one != other for one, other in zip(first[:2], second[:2], strict=True)), "charts move"
            await page.until("document.querySelectorAll('#session-table tbody tr').length === 1")
            await anyio.sleep(8 if SCREENSHOTS else 0)
            await shoot(page, "light")
            parts = "[...document.querySelectorAll('main > section')].filter(part => part.offsetParent && part.id)"
            assert await page.run(f"{parts}.map(part => part.id)") == ["charts"], "what is not there is not shown"

            row = row_of("shop-1")
            assert await page.run(f"{row}.cells[0].innerText") == "up"
            await page.click(f"{row}.querySelector('button[name=drain]')")
            await page.until("document.querySelector('#confirm').open")
            await page.click("document.querySelector('#confirm button[value=no]')")
            assert (await caller.get("/status")).json()["active_backends"] == 3, "cancelled"
            await page.click(f"{row}.querySelector('button[name=drain]')")
            await page.until("document.querySelector('#confirm').open")
            await shoot(page, "confirm")
            await page.click("document.querySelector('#confirm-yes')")
            await page.until(f"{row}.cells[0].innerText === 'draining'")
            assert (await caller.get("/status")).json()["active_backends"] == 2
            await page.click(f"{row}.querySelector('button[name=enable]')")
            await page.until(f"{row}.cells[0].innerText === 'up'")

            await page.click("document.querySelector('#session-table button[name=tap]')")
            await page.until("document.querySelector('#tap').open")
            await page.until("document.querySelector('#tap ol').innerText.includes('client text 7 B')")
            await page.until("document.querySelector('#tap ol code').innerText === 'message'")
            await shoot(page, "tap")
            await page.click("document.querySelector('#tap button')")
            await page.until("!document.querySelector('#tap').open")

            await page.click("document.querySelector('#session-table button[name=close]')")
            await page.click("document.querySelector('#confirm-yes')")
            await page.until("document.querySelector('#session-table').hidden")
            (refusal,) = page.problems  # before the login; nothing was forbidden by the policy
            assert "401" in refusal

    run_bounded(main)


def test_it_splits_fits_a_phone_and_is_dark_where_that_is_wanted() -> None:
    async def main() -> None:
        async with watched() as (_, page):
            await page.use_dark(True)
            await page.until("document.documentElement.dataset.theme === 'dark'")
            split = "document.querySelector('#split')"
            await page.run(f"{split}.value = 'backend'; {split}.dispatchEvent(new Event('change'))")
            await page.until("document.querySelector('.chart .u-legend').innerText.includes('shop-2')")
            await anyio.sleep(8 if SCREENSHOTS else 0)
            await shoot(page, "dark")
            await page.resize(390, 844, mobile=True)
            await page.until("document.querySelector('.chart canvas').clientWidth < 380")
            wide = await page.run("document.documentElement.scrollWidth")
            assert wide <= 390, "nothing sticks out"
            await shoot(page, "phone")

    run_bounded(main)


def test_it_comes_back_by_itself_and_works_by_keyboard() -> None:
    async def main() -> None:
        async with watched() as (caller, page):
            tunnel = Tunnel(caller.port)
            await tunnel.open()
            await page.open(f"http://127.0.0.1:{tunnel.port}/")  # cookies know hosts, not ports
            await page.until("document.querySelectorAll('#backend-table tbody tr').length === 3")
            await page.run("document.querySelector('#backends').focus()")
            await page.press("Tab", 9)
            assert await page.run("document.activeElement.id") == "find"
            rows = "document.querySelectorAll('#backend-table tbody tr').length"
            await page.call("Input.insertText", text="SHOP-2")
            await page.until(f"{rows} === 1")
            assert await page.run("document.querySelector('#backend-count').textContent") == "1 of 3"
            await page.press("Escape", 27)  # empties a search field
            await page.until(f"{rows} === 3")
            await page.press("Tab", 9)
            await page.press("Tab", 9)
            assert await page.run("document.activeElement.name") == "disable"
            await page.press("Enter", 13, "\r")
            await page.until("document.querySelector('#confirm').open")
            assert await page.run("document.activeElement.value") == "no", "the harmless one has the focus"
            await page.press("Escape", 27)
            await page.until("!document.querySelector('#confirm').open")
            assert (await caller.get("/status")).json()["active_backends"] == 3

            await tunnel.close()
            await page.until("document.querySelector('#link').className === 'lost'")
            await tunnel.open()
            await page.until("document.querySelector('#link').className === 'live'")
            await tunnel.close()

    run_bounded(main)
