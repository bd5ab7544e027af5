"""Starts one proxy and the servers behind it for the whole suite, and gives each case a bench of its own.

CONFORMANCE_PEER=nginx (or haproxy) plays the cases through that proxy instead, to judge the cases.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance_ws.bench import Bench, Upstream
from tests.conformance_ws.echoes import Echoes
from tests.conformance_ws.known import KNOWN
from tests.conformance_ws.peers import Ports, Running, running
from tests.programs import program

PEER = os.environ.get("CONFORMANCE_PEER", "wsproxy")


def pytest_configure(config: pytest.Config) -> None:
    """Register the suite's own marker."""
    config.addinivalue_line("markers", "promise: what wsproxy promises and others need not do")


@pytest.fixture(scope="package")
def upstream() -> Iterator[Upstream]:
    server = Upstream()
    yield server
    server.close()


@pytest.fixture(scope="package")
def echoes() -> Iterator[Echoes]:
    with Echoes.running() as servers:
        yield servers


@pytest.fixture(scope="package")
def ports(upstream: Upstream, echoes: Echoes) -> Iterator[Ports]:
    with socket.socket() as refusing:
        refusing.bind(("127.0.0.1", 0))  # bound and not listening: nobody else gets it, and it refuses
        yield Ports(upstream.port, int(refusing.getsockname()[1]), echoes.websockets_port, echoes.aiohttp_port)


@pytest.fixture(scope="package")
def shared(upstream: Upstream, ports: Ports, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    if PEER != "wsproxy":
        program(PEER)
    with running(PEER, tmp_path_factory.mktemp(PEER), ports) as proxy:
        yield Bench(proxy, upstream)
        assert proxy.process.poll() is None, f"the proxy died on the way: {proxy.log[-50:]}"
    assert_no_bug(proxy)


@pytest.fixture
def bench(shared: Bench) -> Iterator[Bench]:
    case = Bench(shared.proxy, shared.upstream)
    yield case
    case.close()


@pytest.fixture
def own_bench(upstream: Upstream, ports: Ports, tmp_path: Path) -> Iterator[Bench]:
    """A bench with a proxy of its own, for cases that stop it."""
    with running(PEER, tmp_path, ports) as proxy:
        case = Bench(proxy, upstream)
        yield case
        case.close()
    assert_no_bug(proxy)


def assert_no_bug(proxy: Running) -> None:
    """Whatever the cases did, nothing in the proxy was surprised."""
    bugs = [line for line in proxy.log if "internal error" in line or "Traceback" in line]
    assert not bugs, proxy.log


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what wsproxy is known to get wrong, and leave its own promises out where another proxy is judged."""
    for item in items:
        if Path(__file__).parent not in item.path.parents:
            continue
        if PEER == "wsproxy" and item.name in KNOWN:
            item.add_marker(pytest.mark.xfail(strict=True, reason=KNOWN[item.name]))
        if PEER != "wsproxy" and "promise" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="a promise of wsproxy's alone"))
