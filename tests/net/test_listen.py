"""Our own accept loop: limits that make newcomers wait in the backlog, floods, and sessions that fail."""

from __future__ import annotations

import asyncio
import errno
import logging
import resource
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

import pytest
from anyio import EndOfStream

from tests.descriptors import needs_descriptors
from tests.fakes import run, settle, until
from wsproxy.net import listen as listen_module
from wsproxy.net.descriptors import raise_descriptor_limit
from wsproxy.net.listen import Listener, ListenError, Serve, open_sockets
from wsproxy.net.stream import Stream

Both = pytest.mark.parametrize("uvloop", [True, False], ids=["uvloop", "asyncio"])


async def echo(stream: Stream) -> None:
    """A session that says what it hears until its client has ended."""
    try:
        while True:
            stream.write(await stream.receive())
    except EndOfStream:
        return


@asynccontextmanager
async def listening(serve: Serve = echo, max_connections: int = 10_000) -> AsyncIterator[Listener]:
    listener = Listener("frontend", open_sockets("127.0.0.1", 0), serve, max_connections)
    task = asyncio.ensure_future(listener.run())
    await until(lambda: listener._accepting)
    yield listener
    listener.close()
    await task
    assert listener.connections == 0


async def connect(listener: Listener) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection(*listener.addresses[0])


async def ask(client: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> bytes:
    client[1].write(b"hello")
    return await client[0].readexactly(5)


async def leave(*clients: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> None:
    for _, writer in clients:
        writer.close()
        await writer.wait_closed()


@contextmanager
def heard(name: str) -> Iterator[list[str]]:
    """What a logger says meanwhile."""
    lines: list[str] = []

    class Ear(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    ear = Ear()
    logger = logging.getLogger(name)
    level, propagate = logger.level, logger.propagate
    logger.addHandler(ear)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    try:
        yield lines
    finally:
        logger.removeHandler(ear)
        logger.setLevel(level)
        logger.propagate = propagate


@Both
def test_each_connection_is_served(uvloop: bool) -> None:
    async def main() -> None:
        async with listening() as listener:
            clients = [await connect(listener) for _ in range(3)]
            assert [await ask(client) for client in clients] == [b"hello"] * 3
            assert listener.connections == 3
            await leave(*clients)

    run(main, uvloop)


@Both
def test_two_thousand_at_once_are_all_served(uvloop: bool) -> None:
    count = 2000
    needs_descriptors(2 * count + 200)

    async def main() -> None:
        async with listening() as listener:
            address = listener.addresses[0]
            clients = [socket.socket() for _ in range(count)]
            for client in clients:
                client.setblocking(False)
                client.connect_ex(address)
            await until(lambda: listener.connections == count)
            loop = asyncio.get_running_loop()
            for client in clients:
                await loop.sock_sendall(client, b"hello")
            for client in clients:
                assert await loop.sock_recv(client, 5) == b"hello"
            for client in clients:
                client.close()

    run(main, uvloop)


@Both
def test_at_max_connections_newcomers_wait_until_one_ends(uvloop: bool) -> None:
    async def main() -> None:
        with heard("wsproxy.listen") as lines:
            async with listening(max_connections=2) as listener:
                first, second, third, fourth = [await connect(listener) for _ in range(4)]
                assert [await ask(first), await ask(second)] == [b"hello"] * 2
                await until(lambda: not listener._accepting)
                assert listener.connections == 2
                for client in (third, fourth):
                    client[1].write(b"hello")
                await settle(100)
                assert listener.connections == 2
                await leave(first)
                assert await third[0].readexactly(5) == b"hello"
                assert listener.connections == 2
                await leave(second)
                assert await fourth[0].readexactly(5) == b"hello"
                await leave(third, fourth)
        assert lines == [
            "frontend: 2 connections, the limit (max_connections): accepting pauses, clients wait in the backlog"
        ], "once, not for each connection"

    run(main, uvloop)


class Exhausted:
    """A listening socket whose accept fails so many times, as it does when there are no descriptors."""

    def __init__(self, real: socket.socket, number: int, times: int) -> None:
        self._real = real
        self._number = number
        self.times = times
        self.asked = 0

    def accept(self) -> tuple[socket.socket, object]:
        self.asked += 1
        if self.times:
            self.times -= 1
            raise OSError(self._number, "Too many open files")
        return self._real.accept()

    def __getattr__(self, name: str) -> object:
        return getattr(self._real, name)


def make_exhausted(number: int, times: int) -> Exhausted:
    return Exhausted(open_sockets("127.0.0.1", 0)[0], number, times)


def test_without_descriptors_accepting_pauses_and_resumes_by_itself() -> None:
    async def main() -> None:
        faulty = make_exhausted(errno.EMFILE, times=1)
        listener = Listener("frontend", [faulty], echo, 10)  # type: ignore[list-item]
        task = asyncio.ensure_future(listener.run())
        await until(lambda: listener._accepting)
        with heard("wsproxy.listen") as lines:
            client = await connect(listener)
            await until(lambda: faulty.asked)
            assert not listener._accepting, "no spinning on a socket that stays readable"
            assert listener._resume_timer is not None
            assert await ask(client) == b"hello"
            assert lines == ["frontend: Too many open files: accepting pauses, clients wait in the backlog"]
        await leave(client)
        listener.close()
        await task

    run(main)


def test_without_descriptors_accepting_resumes_when_a_connection_ends() -> None:
    async def main() -> None:
        listen_module.DESCRIPTOR_PAUSE_S = 3600.0  # type: ignore[misc]
        faulty = make_exhausted(errno.ENFILE, times=0)
        listener = Listener("frontend", [faulty], echo, 10)  # type: ignore[list-item]
        task = asyncio.ensure_future(listener.run())
        await until(lambda: listener._accepting)
        first = await connect(listener)
        assert await ask(first) == b"hello"
        faulty.times = 1
        with heard("wsproxy.listen"):
            second = await connect(listener)
            await until(lambda: not faulty.times)
        await leave(first)
        assert await ask(second) == b"hello"
        faulty.times = 1
        with heard("wsproxy.listen"):
            third = await connect(listener)
            await until(lambda: not faulty.times)
        listener.close()  # with the timer still set
        assert listener._resume_timer is None
        third[1].transport.abort()  # it was still in the backlog, and is refused
        await leave(second)
        await task

    try:
        run(main)
    finally:
        listen_module.DESCRIPTOR_PAUSE_S = 0.1  # type: ignore[misc]


@pytest.mark.parametrize("number", [errno.EPERM, errno.ECONNABORTED])
def test_another_failure_of_accept_costs_one_attempt(number: int) -> None:
    async def main() -> None:
        faulty = make_exhausted(number, times=1)
        listener = Listener("frontend", [faulty], echo, 10)  # type: ignore[list-item]
        task = asyncio.ensure_future(listener.run())
        await until(lambda: listener._accepting)
        with heard("wsproxy.listen") as lines:
            client = await connect(listener)
            assert await ask(client) == b"hello"
            assert len(lines) == (1 if number == errno.EPERM else 0)
        await leave(client)
        listener.close()
        await task

    run(main)


LIMITED = """
import asyncio, resource, socket, sys
from tests.net.test_listen import echo, until
from wsproxy.net.listen import Listener, open_sockets
import uvloop

async def main():
    listener = Listener("frontend", open_sockets("127.0.0.1", 0), echo, 10_000)
    task = asyncio.ensure_future(listener.run())
    print(listener.addresses[0][1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    listener.close()
    await task

resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
asyncio.run(main(), loop_factory=uvloop.new_event_loop) if sys.version_info >= (3, 12) else uvloop.run(main())
"""


def test_a_process_at_its_descriptor_limit_drops_nobody() -> None:
    """100 clients come to a process with 40 descriptors; each says hello and leaves, and none is refused or dropped."""
    server = subprocess.Popen(
        [sys.executable, "-c", LIMITED], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert server.stdin is not None
    assert server.stdout is not None
    with server:
        try:
            port = int(server.stdout.readline())
            clients = [socket.create_connection(("127.0.0.1", port), timeout=15.0) for _ in range(100)]
            for client in clients:
                client.sendall(b"hello")
            for client in clients:  # in their order: each that is done makes room for those behind
                assert client.recv(5, socket.MSG_WAITALL) == b"hello"
                client.close()
            server.stdin.write(b"\n")
            server.stdin.flush()
            assert server.wait(timeout=10.0) == 0
        finally:
            server.kill()


def test_a_session_that_fails_ends_alone() -> None:
    async def fail(stream: Stream) -> None:
        if await stream.receive() == b"error":
            raise ValueError("a bug")
        raise OSError("the client was gone")

    async def main() -> None:
        with heard("wsproxy.listen") as lines:
            async with listening(fail) as listener:
                for said in (b"error", b"left"):
                    reader, writer = await connect(listener)
                    writer.write(said)
                    assert await reader.read() == b""
                    writer.close()
                    await writer.wait_closed()
                assert listener._accepting
        assert lines == [
            "frontend: internal error in a session",
            "frontend: connection ended early: the client was gone",
        ]

    run(main)


def test_a_connection_that_cannot_be_set_up_ends_alone() -> None:
    async def main() -> None:
        with heard("wsproxy.listen") as lines:
            async with listening() as listener:

                async def refuse(*arguments: object) -> None:
                    raise OSError("gone before we looked")

                class Loop:
                    connect_accepted_socket = staticmethod(refuse)

                    def __getattr__(self, name: str) -> object:
                        return getattr(asyncio.get_running_loop(), name)

                listener._loop = Loop()  # type: ignore[assignment]
                client = await connect(listener)
                await until(lambda: lines)
                assert listener.connections == 0
                await leave(client)
            assert lines == ["frontend: connection ended early: gone before we looked"]

    run(main)


def test_close_stops_accepting_and_waits_for_those_who_are_there() -> None:
    async def main() -> None:
        listener = Listener("frontend", open_sockets("127.0.0.1", 0), echo, 10)
        with pytest.raises(RuntimeError):
            listener.tasks  # noqa: B018
        task = asyncio.ensure_future(listener.run())
        await until(lambda: listener._accepting)
        client = await connect(listener)
        address = listener.addresses[0]
        assert await ask(client) == b"hello"
        listener.close()
        listener.close()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(*address)
        assert await ask(client) == b"hello"
        assert not task.done()
        await leave(client)
        await task

    run(main)


def test_a_cancelled_listener_closes_its_sockets() -> None:
    async def main() -> None:
        listener = Listener("frontend", open_sockets("127.0.0.1", 0), echo, 10)
        task = asyncio.ensure_future(listener.run())
        await until(lambda: listener._accepting)
        client = await connect(listener)
        await ask(client)
        task.cancel()
        await asyncio.wait([task])
        assert [listening.fileno() for listening in listener._sockets] == [-1]
        assert await client[0].read() == b""
        await leave(client)

    run(main)


# Opening sockets.


def test_the_sockets_of_a_name_share_its_port() -> None:
    sockets = open_sockets("localhost", 0)
    assert sockets
    assert all(not listening.getblocking() for listening in sockets)
    for listening in sockets:
        listening.close()


def found(*addresses: str) -> Callable[..., list[object]]:
    """A resolver with one answer."""
    return lambda *_, **__: [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in addresses]


def test_addresses_of_a_name_that_this_machine_has_not_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.getaddrinfo", found("240.0.0.1", "127.0.0.1"))
    (listening,) = open_sockets("localhost", 0)
    assert listening.getsockname()[0] == "127.0.0.1"
    listening.close()


def test_a_name_without_any_address_of_this_machine_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.getaddrinfo", found("240.0.0.1", "240.0.0.2"))
    with pytest.raises(ListenError, match=r"^cannot listen on elsewhere:0: Cannot assign requested address$"):
        open_sockets("elsewhere", 0)


def test_ipv6_leaves_ipv4_to_a_socket_of_its_own() -> None:
    try:
        sockets = open_sockets("::1", 0)
    except ListenError:
        pytest.skip("this machine has no IPv6: enable it on the loopback interface")
    assert [listening.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) for listening in sockets] == [1]
    for listening in sockets:
        listening.close()


def test_an_address_in_use_is_named_and_nothing_stays_open() -> None:
    first = open_sockets("127.0.0.1", 0)
    port = first[0].getsockname()[1]
    with pytest.raises(ListenError, match=rf"^cannot listen on 127\.0\.0\.1:{port}: Address already in use$"):
        open_sockets("127.0.0.1", port)
    first[0].close()
    open_sockets("127.0.0.1", port)[0].close()


def test_a_name_that_does_not_resolve_is_named() -> None:
    with pytest.raises(ListenError, match=r"^cannot listen on no\.such\.host\.invalid:80: "):
        open_sockets("no.such.host.invalid", 80)


def test_the_descriptor_limit_is_raised_to_the_hard_one() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(256, hard), hard))
        assert raise_descriptor_limit() == hard
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
        assert raise_descriptor_limit() == hard
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
