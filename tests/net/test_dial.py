"""Dialling: each kind of address, each kind of failure, and how long a name is believed."""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.fakes import run, settle
from tests.ports import free_port
from wsproxy.config.group_settings import Address
from wsproxy.net import dial as dial_module
from wsproxy.net.dial import Dialer, DialError

Both = pytest.mark.parametrize("uvloop", [True, False], ids=["uvloop", "asyncio"])


def listen(host: str = "127.0.0.1") -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, 0), family=family)


def can_listen(host: str) -> bool:
    try:
        with listen(host):
            return True
    except OSError:
        return False


async def check_dial(address: Address, listening: AbstractContextManager[socket.socket]) -> None:
    with listening as accepting:
        stream = await Dialer(address).dial(2.0)
        accepted, _ = accepting.accept()
        with accepted:
            stream.write(b"hello")
            accepted.settimeout(2.0)
            await settle()
            assert accepted.recv(5) == b"hello"
        stream.abort()
        await settle()


@Both
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_tcp(host: str, uvloop: bool) -> None:
    bound = "127.0.0.1" if host == "localhost" else host
    if not can_listen(bound):
        pytest.skip("this machine has no IPv6: enable it on the loopback interface")

    async def main() -> None:
        listening = listen(bound)
        await check_dial(Address(host, listening.getsockname()[1]), listening)

    run(main, uvloop)


@Both
def test_unix_socket(uvloop: bool, tmp_path: Path) -> None:
    async def main() -> None:
        path = str(tmp_path / "s.sock")
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(path)
        listening.listen()
        await check_dial(Address(unix_path=path), listening)

    run(main, uvloop)


@Both
def test_refused(uvloop: bool) -> None:
    port = free_port()

    async def main() -> None:
        with pytest.raises(DialError, match=rf"^127\.0\.0\.1:{port}: ") as caught:
            await Dialer(Address("127.0.0.1", port)).dial(2.0)
        assert not caught.value.timed_out

    run(main, uvloop)


@Both
def test_no_such_unix_socket(uvloop: bool, tmp_path: Path) -> None:
    async def main() -> None:
        with pytest.raises(DialError, match=r"nobody\.sock: no such file or directory$") as caught:
            await Dialer(Address(unix_path=str(tmp_path / "nobody.sock"))).dial(2.0)
        assert not caught.value.timed_out

    run(main, uvloop)


@Both
def test_a_server_that_does_not_accept_is_timed_out(uvloop: bool) -> None:
    async def main() -> None:
        with socket.socket() as listening:
            listening.bind(("127.0.0.1", 0))
            listening.listen(0)
            address = listening.getsockname()
            fillers = [socket.socket() for _ in range(8)]  # the backlog is full after one or two
            try:
                for filler in fillers:
                    filler.setblocking(False)
                    filler.connect_ex(address)
                with pytest.raises(DialError, match=r"no connection within 0\.05 s$") as caught:
                    await Dialer(Address(*address)).dial(0.05)
                assert caught.value.timed_out
            finally:
                for filler in fillers:
                    filler.close()

    run(main, uvloop)


def full_unix_socket(path: str) -> tuple[socket.socket, list[socket.socket]]:
    """A listening socket whose backlog is full, and what fills it."""
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(path)
    listening.listen(0)
    fillers: list[socket.socket] = []
    while True:
        filler = socket.socket(socket.AF_UNIX)
        filler.setblocking(False)
        if filler.connect_ex(path):
            filler.close()
            return listening, fillers
        fillers.append(filler)


@Both
def test_a_full_backlog_of_a_unix_socket_is_waited_for(uvloop: bool, tmp_path: Path) -> None:
    async def main() -> None:
        path = str(tmp_path / "s.sock")
        listening, fillers = full_unix_socket(path)
        assert fillers
        dialled = asyncio.ensure_future(Dialer(Address(unix_path=path)).dial(5.0))
        await settle(50)
        assert not dialled.done()
        accepted = [listening.accept()[0] for _ in fillers]  # now there is room
        stream = await dialled
        accepted.append(listening.accept()[0])
        stream.write(b"hello")
        await settle()
        accepted[-1].settimeout(2.0)
        assert accepted[-1].recv(5) == b"hello"
        stream.abort()
        for each in (listening, *fillers, *accepted):
            each.close()
        await settle()

    run(main, uvloop)


@Both
def test_a_full_backlog_that_stays_full_is_timed_out(uvloop: bool, tmp_path: Path) -> None:
    async def main() -> None:
        path = str(tmp_path / "s.sock")
        listening, fillers = full_unix_socket(path)
        with pytest.raises(DialError) as caught:
            await Dialer(Address(unix_path=path)).dial(0.05)
        assert caught.value.timed_out
        for each in (listening, *fillers):
            each.close()

    run(main, uvloop)


# A process that is held up (by the collector, by SIGSTOP, by its machine) sees its deadline before what the kernel did.


@Both
def test_a_connection_opened_while_the_process_was_held_up_is_one(uvloop: bool) -> None:
    async def main() -> None:
        with listen() as listening:
            dialled = asyncio.ensure_future(Dialer(Address(*listening.getsockname())).dial(0.05))
            await asyncio.sleep(0)  # now it waits for the kernel
            time.sleep(0.06)  # noqa: ASYNC251 - holds the loop up
            (await dialled).abort()
            await settle()

    run(main, uvloop)


@Both
def test_a_silent_server_is_not_waited_for_as_long_as_the_process_was_held_up(
    tmp_path: Path, uvloop: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, 3600.0])
    monkeypatch.setattr(dial_module, "monotonic", lambda: next(clock))

    async def main() -> None:
        path = str(tmp_path / "s.sock")
        listening, fillers = full_unix_socket(path)
        with pytest.raises(DialError, match=r"no connection within 0\.05 s$") as caught:
            await Dialer(Address(unix_path=path)).dial(0.05)
        assert caught.value.timed_out
        for each in (listening, *fillers):
            each.close()

    run(main, uvloop)


# Names, asked of a resolver that the test is.


class ScriptedDialer(Dialer):
    """Resolves from a list of answers, the last one again and again; an exception is raised."""

    def __init__(self, port: int, *answers: list[str] | Exception) -> None:
        super().__init__(Address("backend.test", port))
        self.asked = 0
        self._answers = answers

    async def dial_with(self, timeout_s: float = 2.0) -> None:
        """Dial with this loop's resolver replaced for as long as that takes."""
        loop = asyncio.get_running_loop()
        loop.getaddrinfo = self._getaddrinfo  # type: ignore[method-assign, assignment]
        stream = await self.dial(timeout_s)
        stream.abort()
        await settle()

    async def _getaddrinfo(self, host: str, port: int, **options: object) -> list[object]:
        answer = self._answers[min(self.asked, len(self._answers) - 1)]
        self.asked += 1
        assert host == "backend.test"
        if isinstance(answer, Exception):
            raise answer
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in answer]


async def literal(host: str, port: int, **options: object) -> list[object]:
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port))]


def run_scripted(port: int, *answers: list[str] | Exception, dials: int = 1) -> ScriptedDialer:
    """Dial a few times on asyncio's own loop, whose resolver can be replaced; the dialer is told how often it asked."""

    async def main() -> ScriptedDialer:
        dialer = ScriptedDialer(port, *answers)
        for _ in range(dials):
            await dialer.dial_with()
        return dialer

    return run(main, uvloop=False)


def test_the_second_address_is_tried_when_the_first_refuses() -> None:
    with listen("127.0.0.2") as listening:
        run_scripted(listening.getsockname()[1], ["127.0.0.1", "127.0.0.2"])
        listening.accept()[0].close()


@pytest.mark.parametrize("addresses", [["127.0.0.1", "255.255.255.255"], ["255.255.255.255", "127.0.0.1"]])
def test_an_address_to_which_this_machine_has_no_way_hides_nothing(addresses: list[str]) -> None:
    port = free_port()
    with pytest.raises(DialError, match=rf"^backend\.test:{port}: connection refused$"):
        run_scripted(port, addresses)


def test_no_way_to_any_address_is_said() -> None:
    with pytest.raises(DialError, match=r"^backend\.test:80: network is unreachable$"):
        run_scripted(80, ["255.255.255.255"])


def test_a_name_that_does_not_resolve_is_a_dial_error() -> None:
    with pytest.raises(DialError, match=r"^backend\.test:80: name does not resolve \(name or service not known\)$"):
        run_scripted(80, socket.gaierror(socket.EAI_NONAME, "Name or service not known"))


def test_a_name_that_cannot_be_one_is_a_dial_error() -> None:
    with pytest.raises(DialError, match="name does not resolve"):
        run_scripted(80, UnicodeError("label empty or too long"))


@Both
def test_an_unresolvable_name_of_a_real_resolver(uvloop: bool) -> None:
    async def main() -> None:
        with pytest.raises(DialError, match=r"name does not resolve|no connection within"):  # without an answer of DNS
            await Dialer(Address("nobody.invalid", 80)).dial(15.0)

    run(main, uvloop)


def test_a_name_without_an_address_is_a_dial_error() -> None:
    with pytest.raises(DialError, match="no address"):
        run_scripted(80, [])


def test_a_name_is_asked_for_once_in_a_burst() -> None:
    with listen() as listening:
        assert run_scripted(listening.getsockname()[1], ["127.0.0.1", "127.0.0.1"], dials=3).asked == 1


def test_a_name_that_led_nowhere_is_asked_for_again() -> None:
    async def main() -> None:
        with listen() as listening:
            dialer = ScriptedDialer(listening.getsockname()[1], ["127.0.0.3"], ["127.0.0.1"])
            with pytest.raises(DialError):
                await dialer.dial_with()
            await dialer.dial_with()
            assert dialer.asked == 2

    run(main, uvloop=False)


def test_a_name_is_asked_for_again_after_a_while() -> None:
    async def main() -> None:
        with listen() as listening:
            dialer = ScriptedDialer(listening.getsockname()[1], ["127.0.0.1"])
            await dialer.dial_with()
            dialer._resolved_until -= dial_module.RESOLVED_FOR_S
            await dialer.dial_with()
            assert dialer.asked == 2

    run(main, uvloop=False)


def test_a_literal_that_refuses_stays_resolved() -> None:
    async def main() -> None:
        dialer = Dialer(Address("127.0.0.1", free_port()))
        for _ in range(2):
            with pytest.raises(DialError):
                await dialer.dial(1.0)
        assert dialer._resolved == ("127.0.0.1",)

    run(main)
