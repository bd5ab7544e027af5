"""Contexts and accepted sockets under both event loops; what a certificate is for is tested through the product."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from anyio import BrokenResourceError, EndOfStream

from tests.certificates import Authority
from tests.descriptors import open_sockets
from tests.fakes import run
from wsproxy.config.group_settings import Address
from wsproxy.config.model import CertificateSettings
from wsproxy.net.accepted import connect_tls, peek, receive
from wsproxy.net.dial import Dialer, DialError
from wsproxy.net.stream import Stream
from wsproxy.net.tls import TlsError, TlsIdentities, client_context, server_name, tls_reason

Both = pytest.mark.parametrize("uvloop", [True, False], ids=["uvloop", "asyncio"])


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


def settings(authority: Authority, *names: str) -> CertificateSettings:
    chain, key = authority.issue(*names)
    return CertificateSettings(str(chain), str(key), "a.ini:1:1", "a.ini:2:1")


async def accepted_from(listening: socket.socket) -> socket.socket:
    listening.setblocking(False)
    accepted, _ = await asyncio.get_running_loop().sock_accept(listening)
    accepted.setblocking(False)
    return accepted


def blocking_client(port: int, talk: Callable[[socket.socket], None]) -> threading.Thread:
    """A client in a thread of its own, with a blocking socket."""

    def main() -> None:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection, suppress(OSError):
            talk(connection)

    thread = threading.Thread(target=main)
    thread.start()
    return thread


@Both
def test_bytes_are_taken_to_the_byte_and_the_handshake_follows(authority: Authority, uvloop: bool) -> None:
    identities = TlsIdentities([settings(authority, "localhost")])
    received: list[bytes] = []

    def talk(connection: socket.socket) -> None:
        connection.sendall(b"ahead")
        with authority.client_context().wrap_socket(connection, server_hostname="localhost") as secure:
            secure.sendall(b"hello")
            received.append(secure.recv(100))
            received.append(secure.recv(100))

    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            client = blocking_client(listening.getsockname()[1], talk)
            accepted = await accepted_from(listening)
            ahead = b""
            while len(ahead) < 5:
                ahead += await receive(accepted, 5 - len(ahead))
            assert ahead == b"ahead"
            assert await peek(accepted) == await peek(accepted) == b"\x16"
            stream = Stream(asyncio.get_running_loop())
            await connect_tls(accepted, stream, identities.context, 5.0)
            assert await stream.receive() == b"hello"
            assert stream.peer == "127.0.0.1"
            stream.shut_down_writing()
            stream.write(b"bye")  # TLS has no half-close, so this still goes
            stream.close()
            await asyncio.to_thread(client.join)
        assert received == [b"bye", b""]

    run(main, uvloop)


@Both
@pytest.mark.parametrize("is_orderly", [True, False])
def test_the_clients_end_is_an_end(authority: Authority, is_orderly: bool, uvloop: bool) -> None:
    identities = TlsIdentities([settings(authority, "localhost")])

    def talk(connection: socket.socket) -> None:
        secure = authority.client_context().wrap_socket(connection, server_hostname="localhost")
        secure.sendall(b"hello")
        if is_orderly:
            with suppress(OSError):
                secure.unwrap()
        else:
            secure.shutdown(socket.SHUT_WR)
            while secure.recv(4096):  # with tickets unread `close` would be a reset
                pass
        secure.close()

    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            client = blocking_client(listening.getsockname()[1], talk)
            stream = Stream(asyncio.get_running_loop())
            await connect_tls(await accepted_from(listening), stream, identities.context, 5.0)
            assert await stream.receive() == b"hello"
            # uvloop tells an end that TLS has not announced from one that it has.
            with pytest.raises(EndOfStream if is_orderly or not uvloop else BrokenResourceError):
                await stream.receive()
            stream.close()
            await asyncio.to_thread(client.join)

    run(main, uvloop)


@Both
@pytest.mark.parametrize("sent", [b"", b"hello", b"\x16\x03\x01\x00\x05hello"])
def test_a_handshake_that_fails_raises_and_leaves_no_descriptor(
    authority: Authority, sent: bytes, uvloop: bool
) -> None:
    identities = TlsIdentities([settings(authority, "localhost")])

    def talk(connection: socket.socket) -> None:
        connection.sendall(sent)
        while connection.recv(100):
            pass

    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            before = open_sockets()
            client = blocking_client(listening.getsockname()[1], talk)
            stream = Stream(asyncio.get_running_loop())
            with pytest.raises(OSError, match=r"."):
                await connect_tls(await accepted_from(listening), stream, identities.context, 0.1)
            stream.close()
            await asyncio.to_thread(client.join)
            async with asyncio.timeout(5):
                while open_sockets() > before:  # noqa: ASYNC110 - nothing announces a closed socket
                    await asyncio.sleep(0.01)

    run(main, uvloop)


@Both
def test_who_leaves_before_speaking_is_an_error(uvloop: bool) -> None:
    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            client = blocking_client(listening.getsockname()[1], lambda connection: None)
            accepted = await accepted_from(listening)
            with accepted, pytest.raises(ConnectionAbortedError):
                await peek(accepted)
            await asyncio.to_thread(client.join)

    run(main, uvloop)


@Both
def test_a_handshake_in_which_the_process_is_held_up_goes_on(authority: Authority, uvloop: bool) -> None:
    identities = TlsIdentities([settings(authority, "127.0.0.1")])
    limit_s = 0.5

    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            port = listening.getsockname()[1]
            address = Address("127.0.0.1", port, tls=True, tls_ca=str(authority.certificate))
            dialled = asyncio.ensure_future(Dialer(address).dial(limit_s))
            accepted = await accepted_from(listening)
            assert await peek(accepted) == b"\x16", "its first message has been sent"
            time.sleep(2 * limit_s)  # noqa: ASYNC251 - holds the loop up
            stream = Stream(asyncio.get_running_loop())
            await connect_tls(accepted, stream, identities.context, 5.0)
            (await dialled).abort()
            stream.abort()

    run(main, uvloop)


@Both
def test_dialling_a_server_that_speaks_no_tls_says_so(uvloop: bool) -> None:
    def talk(accepted: socket.socket) -> None:
        accepted.sendall(b"220 hello\r\n")
        accepted.recv(1000)

    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            port = listening.getsockname()[1]
            address = Address("127.0.0.1", port, tls=True, authority=f"127.0.0.1:{port}", tls_verify=False)
            dialled = asyncio.ensure_future(Dialer(address).dial(5.0))
            with await accepted_from(listening) as accepted:
                accepted.setblocking(True)
                await asyncio.to_thread(talk, accepted)
                with pytest.raises(DialError, match=rf"^https://127\.0\.0\.1:{port}: tls: ") as caught:
                    await dialled
        assert not caught.value.timed_out

    run(main, uvloop)


@Both
def test_dialling_a_server_that_is_silent_takes_its_time_and_no_longer(uvloop: bool) -> None:
    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            address = Address("127.0.0.1", listening.getsockname()[1], tls=True, tls_verify=False)
            with pytest.raises(DialError, match="no connection within") as caught:
                await Dialer(address).dial(0.1)
        assert caught.value.timed_out

    run(main, uvloop)


def test_an_authority_that_cannot_be_read_fails_the_dial(tmp_path: Path) -> None:
    async def main() -> None:
        address = Address("127.0.0.1", 1, tls=True, tls_ca=str(tmp_path / "nothing"))
        with pytest.raises(DialError, match="cannot be read: no such file or directory"):
            await Dialer(address).dial(1.0)

    run(main)


def test_contexts_of_clients_are_made_once() -> None:
    assert client_context(True, "") is client_context(True, "")
    assert client_context(False, "").verify_mode is ssl.CERT_NONE
    assert client_context(True, "").verify_mode is ssl.CERT_REQUIRED
    assert client_context(True, "").check_hostname
    for context in (client_context(True, ""), client_context(False, "")):
        assert context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_reload_changes_all_or_nothing(authority: Authority) -> None:
    first, second = settings(authority, "a.example"), settings(authority, "b.example")
    identities = TlsIdentities([first, second])
    before = identities.context
    Path(second.key).write_text("nonsense")
    with pytest.raises(TlsError, match="holds no PEM private key") as caught:
        identities.reload()
    assert caught.value.place == "a.ini:2:1"
    assert identities.context is before
    os.replace(first.key, second.key)
    with pytest.raises(TlsError, match="cannot be read"):
        identities.reload()
    assert identities.context is before


@pytest.mark.parametrize(
    ("host", "name"),
    [("a.example", "a.example"), ("a.example.", "a.example"), ("::1", "::1"), ("fe80::1%eth0", "fe80::1")],
)
def test_what_a_server_is_asked_for(host: str, name: str) -> None:
    assert server_name(host) == name


def test_what_tls_says_in_words() -> None:
    assert tls_reason(OSError("x")) is None
    assert tls_reason(ssl.SSLError(1, "x")) == "tls: failure"
