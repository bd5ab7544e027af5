"""One probe against real servers on loopback that say what the test gives them, byte for byte."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from anyio.abc import SocketAttribute, SocketStream

from wsproxy.config.group_settings import Address, HealthSettings
from wsproxy.health.probe import probe

HEALTH = HealthSettings(path="/healthCheck", timeout_s=20)
CONNECT = HealthSettings(timeout_s=20)


class CannedServer:
    """Answers each connection with the same pieces, whatever was asked, and keeps what was asked."""

    def __init__(self, pieces: tuple[bytes, ...], hold: bool = False) -> None:
        self._pieces = pieces
        self._hold = hold
        self.requests: list[bytes] = []

    async def serve(self, stream: SocketStream) -> None:
        async with stream:
            try:
                self.requests.append(await stream.receive())
                for piece in self._pieces:
                    await stream.send(piece)
                if self._hold:
                    await stream.receive()
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                pass

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[Address]:
        listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
        async with listener, anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, self.serve)
            yield Address(host="127.0.0.1", port=listener.extra(SocketAttribute.local_port))
            tasks.cancel_scope.cancel()


def ask(*pieces: bytes, settings: HealthSettings = HEALTH, hold: bool = False) -> str | None:
    """The outcome of a probe of a server that answers so."""

    async def main() -> str | None:
        async with CannedServer(pieces, hold).listening() as address:
            return await probe(address, settings)

    return anyio.run(main)


def with_body(body: bytes, status: bytes = b"200 OK") -> bytes:
    return b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body)


@pytest.mark.parametrize(
    "pieces",
    [
        (with_body(b""),),
        (b"HTTP/1.1 204 No Content\r\n\r\n",),
        (b"HTTP/1.0 200 OK\r\n\r\nall is well",),
        (with_body(b'{"status": 200}'),),
        (with_body(b'{"status": "204"}'),),
        (with_body(b'{"load": 0.3}'),),
        (with_body(b'["status", 500]'),),
        (with_body(b"status: 500"),),
        (with_body(b'{"status": 500'),),  # not JSON
        (with_body(b"[" * 30_000),),  # nor is this, and it is no reason to fall over
        (with_body(b"\xff\xfe\x00"),),
        (b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", with_body(b"")),
        tuple(bytes([byte]) for byte in with_body(b'{"status": 200}')),
        (b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"sta\r\n', b'c\r\ntus": 200}  \r\n0\r\n\r\n'),
    ],
    ids=lambda pieces: repr(pieces[0][:60]),
)
def test_healthy(pieces: tuple[bytes, ...]) -> None:
    assert ask(*pieces, hold=not pieces[0].startswith(b"HTTP/1.0")) is None


@pytest.mark.parametrize(
    ("pieces", "reason"),
    [
        ((with_body(b"", b"503 Service Unavailable"),), "GET /healthCheck answered 503"),
        ((b"HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n",), "GET /healthCheck answered 302"),
        ((with_body(b'{"status": 500}'),), "GET /healthCheck answered 200, but its body says status '500'"),
        ((with_body(b'{"status": "503"}'),), "GET /healthCheck answered 200, but its body says status '503'"),
        ((with_body(b'{"status": "200 OK"}'),), "GET /healthCheck answered 200, but its body says status '200 OK'"),
        ((with_body(b'{"status": null}'),), "GET /healthCheck answered 200, but its body says status 'None'"),
        ((), "GET /healthCheck: the connection ended before the answer did"),
        ((b"HTTP/1.1 200 OK\r\nContent-Le",), "GET /healthCheck: the connection ended before the answer did"),
        ((with_body(b'{"status": 200}')[:-1],), "GET /healthCheck: the connection ended before the answer did"),
        ((b"+PONG\r\n",), "GET /healthCheck answered what is not HTTP: not an HTTP/1 response: b'+PONG\\r\\n'"),
        (
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",),
            "GET /healthCheck answered what is not HTTP: illegal chunk size line",
        ),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_unhealthy(pieces: tuple[bytes, ...], reason: str) -> None:
    assert ask(*pieces) == reason


def test_a_101_that_nobody_asked_for_is_unhealthy() -> None:
    answer = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    reason = ask(answer, hold=True)
    assert reason is not None
    assert reason.startswith("GET /healthCheck answered ")


def test_a_long_body_is_not_read_to_its_end() -> None:
    # An endless answer: only a bounded read comes back from it before the timeout.
    assert ask(b"HTTP/1.1 200 OK\r\n\r\n", b" " * 100_000, hold=True) is None


@pytest.mark.parametrize("pieces", [(), (b"HTTP/1.1 200 OK\r\n",), (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n",)])
def test_one_timeout_for_the_whole_probe(pieces: tuple[bytes, ...]) -> None:
    settings = HealthSettings(path="/healthCheck", timeout_s=0.05)
    assert ask(*pieces, settings=settings, hold=True) == "timed out after 0.05 s"


@pytest.mark.parametrize(
    ("change", "lines"),
    [
        (lambda a: a, ["GET /healthCheck HTTP/1.1", "Host: 127.0.0.1:{port}"]),
        (
            lambda a: Address(a.host, a.port, authority="api.example:81", base_path="/v1"),
            ["GET /v1/healthCheck HTTP/1.1", "Host: api.example:81"],
        ),
    ],
)
def test_what_is_asked(change: Callable[[Address], Address], lines: list[str]) -> None:
    async def main() -> None:
        server = CannedServer((with_body(b""),))
        async with server.listening() as address:
            assert await probe(change(address), HEALTH) is None
            asked = server.requests[0].decode().split("\r\n")
        assert asked[:2] == [line.format(port=address.port) for line in lines]
        assert asked[2].startswith("User-Agent: wsproxy-health/")
        assert "Connection: close" in asked
        assert asked[-2:] == ["", ""]

    anyio.run(main)


def test_without_a_path_a_connection_is_enough() -> None:
    assert ask(settings=CONNECT, hold=True) is None


def test_a_port_where_nobody_listens() -> None:
    async def main() -> None:
        async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
            port = listener.extra(SocketAttribute.local_port)
        assert await probe(Address("127.0.0.1", port), CONNECT) == "connection refused"

    anyio.run(main, backend_options={"use_uvloop": True})  # as the proxy runs; plain asyncio words it differently


def test_unix_sockets(tmp_path: Path) -> None:
    async def main() -> None:
        path = str(tmp_path / "health.sock")
        address = Address(unix_path=path)
        assert await probe(address, HEALTH) == "no such file or directory"
        server = CannedServer((with_body(b'{"status": 200}'),))
        async with await anyio.create_unix_listener(path) as listener, anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, server.serve)
            assert await probe(address, HEALTH) is None
            assert await probe(address, CONNECT) is None
            tasks.cancel_scope.cancel()
        assert b"\r\nHost: localhost\r\n" in server.requests[0]

    anyio.run(main)


@pytest.mark.parametrize("host", ["no-such-host.invalid", "x" * 64 + ".example", "a..b"])
def test_a_name_that_does_not_resolve_is_a_failure_not_an_exception(host: str) -> None:
    reason = anyio.run(probe, Address(host, 80), CONNECT)
    assert reason is not None
    assert reason.startswith("name does not resolve")
