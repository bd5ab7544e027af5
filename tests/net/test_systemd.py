"""What the service manager hears, and which of its sockets go to whom."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from tests.integration.harness import logged
from wsproxy.net.systemd import InheritedSockets, ServiceManager


class Manager:
    """The other end of $NOTIFY_SOCKET."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.settimeout(10)

    def heard(self) -> dict[str, str]:
        lines = self.socket.recv(4096).decode().split("\n")
        return dict(line.split("=", 1) for line in lines)


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    manager = Manager(str(tmp_path / "notify"))
    yield manager
    manager.socket.close()


def service(tmp_path: Path, **variables: str) -> ServiceManager:
    return ServiceManager.from_environment({"NOTIFY_SOCKET": str(tmp_path / "notify"), **variables})


def test_what_is_told(manager: Manager, tmp_path: Path) -> None:
    told = service(tmp_path)
    told.ready("listening on\na:1")
    assert manager.heard() == {"READY": "1", "STATUS": "listening on a:1"}
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    told.reloading()
    heard = manager.heard()
    assert heard["RELOADING"] == "1"
    assert before <= int(heard["MONOTONIC_USEC"]) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    told.stopping("30 s at most")
    assert manager.heard() == {"STOPPING": "1", "STATUS": "30 s at most"}


def test_an_abstract_socket_is_reached() -> None:
    manager = Manager(f"\0wsproxy-test-{os.getpid()}")
    ServiceManager(f"@wsproxy-test-{os.getpid()}").ready("")
    assert manager.heard()["READY"] == "1"
    manager.socket.close()


def test_nobody_to_tell_is_no_problem_and_one_who_is_gone_is_one_line(tmp_path: Path) -> None:
    with logged() as said:
        ServiceManager.from_environment({}).ready("")
        assert said.lines == []
        service(tmp_path).ready("")
        assert said.of("WARNING") == ["the service manager cannot be told READY=1: No such file or directory"]


def test_the_variables_are_not_for_our_children() -> None:
    environment = {"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "1", "WATCHDOG_PID": "1", "PATH": "/bin"}
    environment |= {"LISTEN_FDS": "0", "LISTEN_PID": "1", "LISTEN_FDNAMES": ""}
    ServiceManager.from_environment(environment)
    InheritedSockets.from_environment(environment)
    assert environment == {"PATH": "/bin"}


@pytest.mark.parametrize(
    ("variables", "period_s"),
    [
        ({"WATCHDOG_USEC": "3000000"}, 3.0),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid())}, 3.0),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "often"}, None),
        ({}, None),
    ],
)
def test_whether_there_is_a_watchdog(variables: dict[str, str], period_s: float | None) -> None:
    assert ServiceManager.from_environment(dict(variables)).watchdog_s == period_s


def test_the_watchdog_is_fed_again_and_again(manager: Manager, tmp_path: Path) -> None:
    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(service(tmp_path, WATCHDOG_USEC="2000").run)
            for _ in range(3):
                assert await anyio.to_thread.run_sync(manager.heard) == {"WATCHDOG": "1"}
            tasks.cancel_scope.cancel()
        await service(tmp_path).run()  # without one this ends at once

    anyio.run(main)


# Inherited sockets.


def listener(host: str = "127.0.0.1") -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    opened = socket.create_server((host, 0), family=family)
    opened.set_inheritable(True)
    return opened


def inherited(*sockets: socket.socket, names: str = "", pid: int | None = None) -> InheritedSockets:
    """As if these had been passed on: in a row of descriptors, which `from_environment` then owns."""
    first = 200
    for number, passed in enumerate(sockets, first):
        os.dup2(passed.fileno(), number)
        passed.close()
    environment = {
        "LISTEN_FDS": str(len(sockets)),
        "LISTEN_PID": str(pid or os.getpid()),
        "LISTEN_FDNAMES": names,
    }
    return InheritedSockets.from_environment(environment, first)


def port_of(opened: socket.socket) -> int:
    port: int = opened.getsockname()[1]
    return port


def test_a_frontend_takes_what_bears_its_name_else_its_address() -> None:
    one, two, three = listener(), listener(), listener("0.0.0.0")
    ports = [port_of(one), port_of(two), port_of(three)]
    offered = inherited(one, two, three, names="web:unit.socket:unit.socket")
    assert offered.take("frontend", "127.0.0.1", ports[0] + 60_000) == []
    for name, host, port, expected in [
        ("frontend:web", "192.0.2.1", 1, ports[0]),
        ("frontend", "127.0.0.1", ports[1], ports[1]),
        ("frontend:all", "0.0.0.0", ports[2], ports[2]),
    ]:
        (taken,) = offered.take(name, host, port)
        assert port_of(taken) == expected
        assert not taken.get_inheritable()
        assert not taken.getblocking()
        taken.close()
    with logged() as said:
        offered.close()
    assert said.lines == []


@pytest.mark.parametrize(
    ("host", "fits"),
    [("127.0.0.1", True), ("localhost", True), ("0.0.0.0", False), ("127.0.0.2", False), ("::", False)],
)
def test_the_address_must_be_the_same(host: str, fits: bool) -> None:
    opened = listener()
    port = port_of(opened)
    offered = inherited(opened)
    taken = offered.take("frontend", host, port)
    assert bool(taken) == fits
    for each in taken:
        each.close()
    with logged() as said:
        offered.close()
    unused = [f"no frontend for the inherited socket without a name at 127.0.0.1:{port}: closed"]
    assert said.of("WARNING") == ([] if fits else unused)


def test_what_is_meant_for_another_process_or_is_no_listener_is_left_alone() -> None:
    opened = listener()
    port = port_of(opened)
    assert inherited(opened, pid=1).take("frontend", "127.0.0.1", port) == []
    os.close(200)
    reading, writing = os.pipe()
    os.dup2(reading, 200)
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    os.dup2(datagrams.fileno(), 201)
    datagrams.close()
    with logged() as said:
        environment = {"LISTEN_FDS": "2", "LISTEN_PID": str(os.getpid())}
        assert InheritedSockets.from_environment(environment, 200).take("frontend", "127.0.0.1", port) == []
    assert len(said.of("WARNING")) == 2
    for descriptor in (reading, writing, 200, 201):
        os.close(descriptor)


def test_a_manager_that_would_keeps_the_listeners_over_a_restart(manager: Manager, tmp_path: Path) -> None:
    told = service(tmp_path, FDSTORE="2")
    first, second = listener(), listener()
    told.ready("", [first])
    data, descriptors, _, _ = socket.recv_fds(manager.socket, 4096, 4)
    name = f"stored-127.0.0.1.{port_of(first)}"
    assert data.decode().split("\n") == ["FDSTORE=1", f"FDNAME={name}"]
    (kept,) = (socket.socket(fileno=descriptor) for descriptor in descriptors)
    assert kept.getsockname() == first.getsockname()
    assert manager.heard()["READY"] == "1"
    first.close()
    with socket.create_connection(kept.getsockname()) as client:  # nobody serves now, and nobody is refused
        told.ready("", [second])
        assert manager.heard() == {"FDSTOREREMOVE": "1", "FDNAME": name}
        assert manager.heard()["FDSTORE"] == "1"
        assert manager.heard()["READY"] == "1"
        kept.accept()[0].close()
        assert client.recv(1) == b""
    kept.close()
    second.close()


def test_what_was_kept_in_vain_is_let_go(manager: Manager, tmp_path: Path) -> None:
    told = service(tmp_path, FDSTORE="2")
    told.forget(["web", "stored-127.0.0.1.80"])
    told.ready("")
    assert manager.heard() == {"FDSTOREREMOVE": "1", "FDNAME": "stored-127.0.0.1.80"}
    assert manager.heard()["READY"] == "1"
    told.ready("")
    assert manager.heard()["READY"] == "1"


def test_one_that_keeps_nothing_is_sent_no_sockets(manager: Manager, tmp_path: Path) -> None:
    with listener() as listening:
        service(tmp_path).ready("", [listening])
    assert manager.heard() == {"READY": "1", "STATUS": ""}
