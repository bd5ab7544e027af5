"""A headless Chromium, driven over its DevTools protocol: one page, and expressions evaluated in it.

Knows how Chromium is started and asked; the pages are the tests'. Nothing of it outlives the block that began it.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any, Final

import anyio
import pytest
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as websocket_connect

PROGRAM: Final = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

FLAGS: Final = (
    "--headless",
    "--no-sandbox",  # tests may run as root, where there is none
    "--disable-gpu",
    "--disable-dev-shm-usage",  # a container's /dev/shm is small
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-port=0",
)

START_LIMIT_S: Final = 20.0
"""What a browser may take to start on a busy machine."""


class NoBrowserError(Exception):
    """A browser that must be there is not."""


if PROGRAM is None and "WSPROXY_NEEDS_BROWSER" in os.environ:
    raise NoBrowserError("install the Debian package chromium")

needs_browser = pytest.mark.skipif(PROGRAM is None, reason="the Debian package chromium brings the browser")


class Browser:
    """One page of a running browser."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._session = ""
        self._numbers = count(1)

    async def open(self, url: str) -> None:
        """Load a page in a tab of its own."""
        target = await self._ask("Target.createTarget", url=url)
        attached = await self._ask("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = attached["sessionId"]
        await self.evaluate("new Promise(done => document.readyState == 'complete' ? done() : onload = done)")

    async def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression, awaited if it is a promise."""
        answer = await self._ask("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    async def _ask(self, method: str, **params: Any) -> dict[str, Any]:
        number = next(self._numbers)
        question = {"id": number, "method": method, "params": params}
        await self._connection.send(json.dumps(question | ({"sessionId": self._session} if self._session else {})))
        while True:
            answer = json.loads(await self._connection.recv())
            if answer.get("id") == number:
                assert "error" not in answer, answer["error"]
                result: dict[str, Any] = answer["result"]
                return result


@asynccontextmanager
async def browser(directory: Path) -> AsyncIterator[Browser]:
    """Run a browser whose profile is kept in `directory`."""
    assert PROGRAM is not None
    process = await asyncio.create_subprocess_exec(
        *(PROGRAM, *FLAGS, f"--user-data-dir={directory / 'profile'}"),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,  # so that its children end with it
    )
    try:
        async with websocket_connect(await _devtools_url(process), max_size=None) as connection:
            yield Browser(connection)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        with anyio.CancelScope(shield=True):
            await process.communicate()


async def _devtools_url(process: asyncio.subprocess.Process) -> str:
    """Where the browser says that it listens."""
    assert process.stderr is not None
    said = b""
    with anyio.fail_after(START_LIMIT_S):
        while line := await process.stderr.readline():
            said += line
            if found := re.search(rb"DevTools listening on (ws://\S+)", line):
                return found[1].decode()
    raise NoBrowserError(said.decode(errors="replace"))
