"""A deploy of all servers, one after the other, under clients that go on sending numbered messages to an echo.

    python -m loadtests.deploy --way drain        each server is drained through the admin API, then restarted
    python -m loadtests.deploy --way goodbye      each gets SIGTERM: the demo server closes its WebSockets with 1001
    python -m loadtests.deploy --way kill         each gets SIGKILL

prints as JSON what the clients saw: Closes and lost connections, messages lost and doubled, the longest silence. The
route has `on_backend_loss = reconnect`. Servers and proxy are processes of their own; about 15 s.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import resource
import signal
import sys
import tempfile
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, cast

from loadtests.frames import BINARY, CLOSE, PING, PONG, encode_frame, scan_frame
from loadtests.peers import ROOT, free_ports

WAYS: Final = ("drain", "goodbye", "kill")
SERVERS: Final = 3
MESSAGES_A_SECOND: Final = 10
"""By each client, in step with nobody's answers: what is lost is seen, and not waited for."""
LIMIT_S: Final = 20.0
"""For each step of a deploy; it takes one or two."""
ECHO_S: Final = 5.0
"""What the last echoes may take once nothing is sent any more."""
KEY: Final = b"dGhlIHNhbXBsZSBub25jZQ=="  # that of RFC 6455 section 1.3: who checks it is the proxy
HANDSHAKE: Final = (
    b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %b\r\n\r\n" % KEY
)
CONFIG: Final = """\
[frontend]
host = 127.0.0.1
port = {port}
[log]
access = off
level = error
[admin]
port = {admin}
[websocket]
path_prefix = /ws
algorithm = least-connections
on_backend_loss = reconnect
drain_rate = {rate}
max_workers = 100
buffer_size = {clients}
{servers}"""


class DeployError(Exception):
    """A step that took too long, or a process that ended by itself."""


@dataclass(frozen=True, slots=True)
class Report:
    """What the clients saw, all together. silence_s: the longest time any of them waited for the next echo."""

    way: str
    clients: int
    sent: int
    lost: int
    doubled: int
    disordered: int
    closes: dict[str, int]
    silence_s: float
    seconds: float


class NumberingClient(asyncio.Protocol):
    """A client that sends 0, 1, 2, … and counts what comes back."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.opened: asyncio.Future[None] = loop.create_future()
        self.sent = 0
        self.heard: Counter[int] = Counter()
        self.disordered = 0
        self.end = ""  # how the connection ended, if it did
        self.silence_s = 0.0
        self._clock = loop.time
        self._heard_at = 0.0
        self._latest = -1
        self._data = b""
        self._is_leaving = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Shake hands."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(HANDSHAKE)

    def connection_lost(self, error: Exception | None) -> None:
        """The end, which is not to come before `leave`."""
        if not self._is_leaving:
            self.end = self.end or f"lost: {error}"
        if not self.opened.done():
            self.opened.set_exception(DeployError(f"no handshake: {self._data[:80]!r}"))

    def data_received(self, data: bytes) -> None:
        """Read the answer to the handshake, then frames."""
        data = self._data + data
        if not self.opened.done():
            head, found, data = data.partition(b"\r\n\r\n")
            if not found:
                self._data = head
                return
            if not head.startswith(b"HTTP/1.1 101 "):
                self.opened.set_exception(DeployError(f"no handshake: {head[:80]!r}"))
                return
            self._heard_at = self._clock()
            self.opened.set_result(None)
        while (frame := scan_frame(data)) is not None:
            opcode, payload, size = frame
            data = data[size:]
            self._take(opcode, payload)
        self._data = data

    def _take(self, opcode: int, payload: bytes) -> None:
        if opcode == BINARY:
            self._count(int(payload))
        elif opcode == PING:
            self._transport.write(encode_frame(PONG, payload, masked=True))
        elif opcode == CLOSE:
            self.end = f"closed: {int.from_bytes(payload[:2], 'big')}"

    def _count(self, number: int) -> None:
        now = self._clock()
        self.silence_s = max(self.silence_s, now - self._heard_at)
        self._heard_at = now
        self.heard[number] += 1
        self.disordered += number < self._latest
        self._latest = max(self._latest, number)

    def say_next(self) -> None:
        """Send the next number."""
        if not self.end:
            self._transport.write(encode_frame(BINARY, b"%d" % self.sent, masked=True))
            self.sent += 1

    @property
    def is_answered(self) -> bool:
        """Whether the last number has come back: those before it will not come any more."""
        return bool(self.end) or self._latest == self.sent - 1

    def leave(self) -> None:
        """End the connection."""
        self._is_leaving = True
        self._transport.abort()


class Server:
    """A server of the group: the demo, in a process of its own."""

    def __init__(self) -> None:
        (self.port,) = free_ports(1)
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it, and wait until it listens."""
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "wsproxy.demo", "--listen", f"127.0.0.1:{self.port}"),
            cwd=ROOT,
            stderr=asyncio.subprocess.DEVNULL,
        )
        await until_listening(self._process, self.port)

    async def stop(self, number: int) -> None:
        """End it with this signal, and wait until it is gone."""
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)
            await self._process.wait()


async def until_listening(process: asyncio.subprocess.Process, port: int) -> None:
    """Raises DeployError."""
    async with within(LIMIT_S, f"listening at {port}"):
        while process.returncode is None:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return
            await asyncio.sleep(0.02)
    raise DeployError("a process ended at its start")


@contextlib.asynccontextmanager
async def within(limit_s: float, what: str) -> AsyncIterator[None]:
    """Raises DeployError where the block takes longer."""
    try:
        async with asyncio.timeout(limit_s):
            yield
    except TimeoutError:
        raise DeployError(f"{what} took more than {limit_s:g} s") from None


class Deployment:
    """The servers and the proxy before them."""

    def __init__(self, clients: int) -> None:
        self.port, self._admin = free_ports(2)
        self.servers = [Server() for _ in range(SERVERS)]
        self._clients = clients

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Start all of them, and end them with the block."""
        with tempfile.TemporaryDirectory(prefix="loadtests-deploy-") as directory:
            file = Path(directory) / "proxy.ini"
            lines = "".join(f"server{n} = 127.0.0.1:{each.port}\n" for n, each in enumerate(self.servers, 1))
            rate = max(50, self._clients // 5)  # a server is empty within two seconds
            file.write_text(
                CONFIG.format(port=self.port, admin=self._admin, rate=rate, clients=self._clients, servers=lines)
            )
            proxy: asyncio.subprocess.Process | None = None
            try:
                for server in self.servers:
                    await server.start()
                proxy = await asyncio.create_subprocess_exec(sys.executable, "-m", "wsproxy", str(file), cwd=ROOT)
                await until_listening(proxy, self.port)
                yield
            finally:
                if proxy is not None and proxy.returncode is None:
                    proxy.kill()
                    await proxy.wait()
                for server in self.servers:
                    await server.stop(signal.SIGKILL)

    async def replace(self, server: Server, way: str) -> None:
        """Restart one server in that way, and wait until it has work again."""
        name = f"127.0.0.1:{server.port}"
        if way == "drain":
            await self._ask("/backends/drain", {"backend": name})
            async with within(LIMIT_S, f"draining {name}"):
                while (await self._backend(name))["websockets"]:  # noqa: ASYNC110 - it is asked, and says nothing
                    await asyncio.sleep(0.05)
        await server.stop(signal.SIGKILL if way == "kill" else signal.SIGTERM)
        await server.start()
        if way == "drain":
            await self._ask("/backends/enable", {"backend": name})
        async with within(LIMIT_S, f"bringing {name} back"):
            while (await self._backend(name))["state"] != "up":  # noqa: ASYNC110 - likewise
                await asyncio.sleep(0.05)

    async def _backend(self, name: str) -> dict[str, object]:
        backends = (await self._ask("/backends", None))["backends"]
        assert isinstance(backends, list)
        return next(backend for backend in backends if backend["name"] == name)

    async def _ask(self, path: str, content: object) -> dict[str, object]:
        body = None if content is None else json.dumps(content).encode()
        fields = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"http://127.0.0.1:{self._admin}{path}", body, fields)

        def ask() -> dict[str, object]:
            with urllib.request.urlopen(request, timeout=LIMIT_S) as answer:
                return cast(dict[str, object], json.load(answer))

        return await asyncio.to_thread(ask)


async def say(clients: list[NumberingClient]) -> None:
    """Have every client send at its pace, spread over each moment, until cancelled."""
    loop = asyncio.get_running_loop()
    slices = 10
    turn = 0
    started = loop.time()
    while True:
        for client in clients[turn % slices :: slices]:
            client.say_next()
        turn += 1
        await asyncio.sleep(max(0.0, started + turn / (MESSAGES_A_SECOND * slices) - loop.time()))


async def deploy(way: str, count: int) -> Report:
    """Replace every server under so many clients. Raises DeployError."""
    loop = asyncio.get_running_loop()
    deployment = Deployment(count)
    async with deployment.running():
        clients: list[NumberingClient] = []
        async with within(LIMIT_S, "opening the WebSockets"):
            for _ in range(count):
                _, client = await loop.create_connection(NumberingClient, "127.0.0.1", deployment.port)
                clients.append(client)
            for client in clients:
                await client.opened
        started = loop.time()
        talking = asyncio.create_task(say(clients))
        for server in deployment.servers:
            await deployment.replace(server, way)
        await asyncio.sleep(1)  # all are talking with a server that stays
        talking.cancel()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ECHO_S):
                while not all(client.is_answered for client in clients):  # noqa: ASYNC110 - it is the end of a wait
                    await asyncio.sleep(0.05)
        seconds = loop.time() - started
        for client in clients:
            client.leave()
    return Report(
        way=way,
        clients=count,
        sent=sum(client.sent for client in clients),
        lost=sum(client.sent - len(client.heard) for client in clients),
        doubled=sum(client.heard.total() - len(client.heard) for client in clients),
        disordered=sum(client.disordered for client in clients),
        closes=dict(Counter(client.end for client in clients if client.end)),
        silence_s=round(max(client.silence_s for client in clients), 2),
        seconds=round(seconds, 1),
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--way", choices=WAYS, action="append", help="may be given more than once; default: all three")
    parser.add_argument("--clients", type=int, default=500)
    arguments = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    for way in arguments.way or WAYS:
        print(json.dumps(asdict(asyncio.run(deploy(way, arguments.clients)))), flush=True)


if __name__ == "__main__":
    main()
