"""A headless Chromium, driven over its DevTools protocol.

Knows how to start it, to look and to click. Without a Chromium the tests that want one are skipped, except in CI.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio
import pytest
from websockets.asyncio.client import ClientConnection, connect

from tests.programs import program

START_LIMIT_S = 60.0
PATIENCE_S = 45.0
"""A page that has not changed by then never will."""

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-component-update"),
    *("--disable-dev-shm-usage", "--no-proxy-server"),  # containers have little of the one, and others the other
    *("--disable-background-networking", "--disable-sync", "--remote-debugging-port=0", "about:blank"),
)


def find_chromium() -> str:
    """Its path; skips the test where there is none, which CI does not allow, or where it cannot run."""
    path = program("chromium", "google-chrome", "chromium-browser")
    if subprocess.run([path, "--version"], capture_output=True, check=False, timeout=START_LIMIT_S).returncode:
        pytest.skip(f"{path} cannot run here: elsewhere it is a package that asks for a snap")
    return path


class Page:
    """One tab. problems: what the page complained of: errors, and what its Content-Security-Policy forbade."""

    def __init__(self, socket: ClientConnection, session: str) -> None:
        self._socket = socket
        self._session = session
        self._number = 0
        self._loaded: set[str] = set()
        self.problems: list[str] = []

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        """One command of the protocol, and its result."""
        self._number += 1
        command = {"id": self._number, "method": method, "params": params, "sessionId": self._session}
        await self._socket.send(json.dumps(command))
        while True:
            message = await self._next()
            if message.get("id") == self._number:
                assert "error" not in message, message
                result: dict[str, Any] = message["result"]
                return result

    async def _next(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(await self._socket.recv())
        self._note(message)
        return message

    def _note(self, message: dict[str, Any]) -> None:
        params = message.get("params", {})
        if message.get("method") == "Page.lifecycleEvent" and params["name"] == "load":
            self._loaded.add(params["loaderId"])
        if message.get("method") == "Runtime.exceptionThrown":
            self.problems.append(params["exceptionDetails"].get("exception", {}).get("description", "exception"))
        elif message.get("method") == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.problems.append(params["entry"]["text"])

    async def run(self, script: str) -> Any:
        """The value of a script."""
        answer = await self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    async def until(self, script: str) -> None:
        """Wait until a script is true."""
        with anyio.fail_after(PATIENCE_S):
            while not await self.run(f"Boolean({script})"):  # noqa: ASYNC110 - the page has no event for it
                await anyio.sleep(0.1)

    async def open(self, url: str) -> None:
        """Go there, and wait until that very document has loaded: scripts may still run in the one before."""
        loader = (await self.call("Page.navigate", url=url))["loaderId"]
        with anyio.fail_after(PATIENCE_S):
            while loader not in self._loaded:
                await self._next()

    async def click(self, script: str) -> None:
        """Click the element that a script finds."""
        await self.run(f"({script}).click()")

    async def press(self, key: str, code: int = 0, text: str = "") -> None:
        """Press and release a key."""
        kind = "keyDown" if text else "rawKeyDown"
        await self.call("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code, text=text)
        await self.call("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=code)

    async def resize(self, width: int, height: int, mobile: bool = False) -> None:
        """Another screen."""
        await self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile
        )

    async def use_dark(self, dark: bool) -> None:
        """What the system prefers."""
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        await self.call("Emulation.setEmulatedMedia", features=scheme)

    async def screenshot(self) -> bytes:
        """What is seen, whole, as PNG."""
        shot = await self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        return base64.b64decode(shot["data"])


@asynccontextmanager
async def browser() -> AsyncIterator[Page]:
    """A fresh browser with one tab, until the block ends."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = await asyncio.create_subprocess_exec(
            find_chromium(),
            f"--user-data-dir={profile}",
            *FLAGS,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,  # a group of its own, with all that it starts
        )
        try:
            url = await _debugger_url(process)
            async with connect(url, proxy=None, max_size=None) as socket:
                yield await _tab(socket)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.communicate()  # until the last of them has let go of the pipe


async def _debugger_url(process: asyncio.subprocess.Process) -> str:
    assert process.stderr is not None
    with anyio.fail_after(START_LIMIT_S):
        while line := (await process.stderr.readline()).decode():
            if found := re.search(r"DevTools listening on (ws://\S+)", line):
                return found[1]
    raise AssertionError("chromium has ended")


async def _tab(socket: ClientConnection) -> Page:
    await socket.send(json.dumps({"id": 1, "method": "Target.createTarget", "params": {"url": "about:blank"}}))
    target = await _result(socket, 1)
    params = {"targetId": target["targetId"], "flatten": True}
    await socket.send(json.dumps({"id": 2, "method": "Target.attachToTarget", "params": params}))
    attached = await _result(socket, 2)
    page = Page(socket, attached["sessionId"])
    for domain in ("Page", "Runtime", "Log"):
        await page.call(f"{domain}.enable")
    await page.call("Page.setLifecycleEventsEnabled", enabled=True)
    return page


async def _result(socket: ClientConnection, number: int) -> dict[str, Any]:
    while True:
        message = json.loads(await socket.recv())
        if message.get("id") == number:
            result: dict[str, Any] = message["result"]
            return result
