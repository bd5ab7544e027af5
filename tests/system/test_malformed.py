"""Ten thousand requests that are none leave the product's memory and descriptors where they were."""

from __future__ import annotations

import asyncio
import re
import socket
from contextlib import suppress
from pathlib import Path
from typing import Final

from tests.integration.harness import RawServer, eventually, fetch, http_route, in_loop, ok
from tests.system.harness import Spawned, spawned

HOST: Final = b"Host: a.test\r\n"
MALFORMED: Final = (
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"GET / HTTP/1.1\n" + HOST + b"\n",
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + HOST + HOST + b"\r\n",
    b"GET / HTTP/1.1\r\n" + HOST + b"A : b\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + HOST + b"A: b\r\n c\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + HOST + b"A: b\0c\r\n\r\n",
    b"GET /#x HTTP/1.1\r\n" + HOST + b"\r\n",
    b"GET /../.. HTTP/1.1\r\n" + HOST + b"\r\n",
    b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
    b"GET / HTTP/1.1\r\n" + HOST + b"A: " + b"x" * 17_000 + b"\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + HOST + b"A: b\r\n" * 200 + b"\r\n",
    b"GET / HTTP/3.0\r\n" + HOST + b"\r\n",
    b"CONNECT a.test:443 HTTP/1.1\r\n" + HOST + b"\r\n",
    b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: -1\r\n\r\n",
    b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n",
    b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n",
    b"GET /ws HTTP/1.1\r\n" + HOST + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
)
CLIENTS: Final = 4
WARM_UP: Final = 3_000
"""Until the collector of cycles, which runs seldom, has been here: exceptions hold their frames till then."""
GROWTH_BYTES: Final = 4 * 1024 * 1024
"""What the allocator may keep in reserve: 400 bytes for each of them would be a leak, and 4 MB."""


def resident_bytes(running: Spawned) -> int:
    status = Path(f"/proc/{running.process.pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) * 1024


def descriptors(running: Spawned) -> int:
    return len(list(Path(f"/proc/{running.process.pid}/fd").iterdir()))


def insult(port: int, numbers: range) -> None:
    """Send one after the other; each must be answered with an error or closed."""
    for number in numbers:
        with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
            answer = b""
            with suppress(ConnectionError):
                client.sendall(MALFORMED[number % len(MALFORMED)])
                answer = client.recv(100)
                while client.recv(65536):
                    pass
        assert not answer or answer.startswith((b"HTTP/1.1 4", b"HTTP/1.1 5")), answer


async def insult_together(running: Spawned, count: int) -> None:
    """So many, from a few clients at a time."""
    await asyncio.gather(
        *(asyncio.to_thread(insult, running.port, range(first, count, CLIENTS)) for first in range(CLIENTS))
    )


@in_loop
async def test_ten_thousand_malformed_requests_leave_nothing_behind(tmp_path: Path) -> None:
    async with RawServer(ok()) as server:
        routes = http_route(server.port) + f"[websocket]\npath_prefix = /ws\nserver1 = 127.0.0.1:{server.port}\n"
        async with spawned(tmp_path, routes) as running:
            await insult_together(running, WARM_UP)
            assert (await fetch(running.port)).status == 200
            settled, before = descriptors(running), resident_bytes(running)
            await insult_together(running, 10_000)
            assert (await fetch(running.port)).status == 200
            await eventually(lambda: descriptors(running) <= settled)
            assert resident_bytes(running) - before < GROWTH_BYTES
            assert not [line for line in running.log if "Traceback" in line or "internal error" in line]
