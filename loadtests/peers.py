"""The proxies that are compared: their configuration, and how each is started, awaited and ended.

All do the same work: HTTP/1.1 keep-alive on both sides, one thread or process, WebSockets on /ws, X-Forwarded-For and
-Proto set, no access log; all but aiohttp the same behind TLS on a second port, with one ECDSA certificate. wsproxy has
its defaults, and so adds a request id of its own; nginx and HAProxy have what one sets for such a load (room for idle
upstream connections, long tunnel timeouts, and nginx's `multi_accept`, without which most of 512 new connections wait
for 20 s while the others fetch 1 MiB) and their defaults elsewhere: nginx buffers answers (`proxy_buffering on`) and,
like wsproxy, ends a connection after 1,000 requests.
"""

from __future__ import annotations

import contextlib
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from time import perf_counter, sleep

from loadtests.measure import session_members
from loadtests.origin import HOSTS
from loadtests.peer_files import HAPROXY, NGINX, VARNISH, WSPROXY

ROOT = Path(__file__).resolve().parent.parent
NGINX_MODULES = "/usr/lib/nginx/modules"  # Debian's, of the package libnginx-mod-stream
START_LIMIT_S = 15.0
STOP_LIMIT_S = 5.0  # after which a peer that ignores SIGTERM gets SIGKILL
POLL_S = 0.0005  # start-up times are good to about a millisecond
ATTEMPT_LIMIT_S = 5.0  # for one GET while waiting
READY_REQUEST = b"GET /70 HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"


class PeerError(Exception):
    """A peer that does not start; the text holds the end of what it said."""


@dataclass(frozen=True, slots=True)
class Cores:
    """Who runs where. Processes keep to one core each, or CPU times would depend on where the scheduler put them."""

    proxy: int
    load: int  # the load's and the origin's

    @classmethod
    def choose(cls) -> Cores:
        """The first and the last of the cores this process may use; raises PeerError if there is only one."""
        allowed = sorted(os.sched_getaffinity(0))
        if len(allowed) < 2:
            raise PeerError("two cores are needed: one for the proxy, one for load and origin")
        return cls(proxy=allowed[0], load=allowed[-1])


@dataclass(frozen=True, slots=True)
class Ports:
    """Where a peer listens, and where the origin does."""

    plain: int
    tls: int
    tcp: int
    origin: int


@dataclass(frozen=True, slots=True)
class Peer:
    """One proxy under test."""

    name: str
    command: Callable[[Path, Ports], list[str]]  # a directory of its own -> argv
    describe: Callable[[], str]  # its version
    is_installed: Callable[[], bool] = lambda: True


@dataclass(frozen=True, slots=True)
class Running:
    """A process that answers."""

    pid: int
    port: int
    start_up_s: float  # from exec to its first 200
    tls_port: int = 0
    tcp_port: int = 0


def make_certificate(directory: Path) -> None:
    """Write `site.pem` and `site.key`, and both in one as HAProxy wants them: P-256, as sites have today."""
    made = ["-keyout", str(directory / "site.key"), "-out", str(directory / "site.pem")]
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    subprocess.run(
        ["openssl", "req", "-x509", "-days", "2", "-subj", "/CN=localhost", *curve, *made],
        check=True,
        capture_output=True,
    )
    parts = [(directory / name).read_text() for name in ("site.pem", "site.key")]
    (directory / "both.pem").write_text("".join(parts))


def make_files(directory: Path) -> None:
    """Write `files/16k` and `files/1m`, of no bytes that any compression would gain from."""
    (directory / "files").mkdir()
    for name, size in (("16k", 16 * 1024), ("1m", 1024 * 1024)):
        (directory / "files" / name).write_bytes(os.urandom(size))


def _nginx(directory: Path, ports: Ports, processes: int = 1) -> list[str]:
    make_certificate(directory)
    make_files(directory)
    user = "user root;" if os.geteuid() == 0 else ""  # else its worker could not enter our directory
    descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    text = NGINX.format(
        directory=directory,
        port=ports.plain,
        tls_port=ports.tls,
        tcp_port=ports.tcp,
        origin=ports.origin,
        servers=" ".join(f"server {host}:{ports.origin};" for host in HOSTS),
        modules=NGINX_MODULES,
        user=user,
        processes=processes,
        descriptors=descriptors,
    )
    (directory / "nginx.conf").write_text(text)
    return ["nginx", "-p", str(directory), "-e", "stderr", "-c", str(directory / "nginx.conf")]


def _haproxy(directory: Path, ports: Ports) -> list[str]:
    make_certificate(directory)
    text = HAPROXY.format(
        directory=directory,
        port=ports.plain,
        tls_port=ports.tls,
        tcp_port=ports.tcp,
        origin=ports.origin,
        servers="\n".join(f"    server b{number} {host}:{ports.origin}" for number, host in enumerate(HOSTS)),
    )
    (directory / "haproxy.cfg").write_text(text)
    return ["haproxy", "-db", "-f", str(directory / "haproxy.cfg")]


def _varnish(directory: Path, ports: Ports) -> list[str]:
    (directory / "site.vcl").write_text(VARNISH.format(origin=ports.origin))
    where = ["-n", str(directory / "work"), "-f", str(directory / "site.vcl"), "-a", f"127.0.0.1:{ports.plain}"]
    return ["varnishd", "-F", "-j", "none", "-s", "malloc,64m", *where]


def _wsproxy(http_extra: str, processes: int = 1) -> Callable[[Path, Ports], list[str]]:
    def command(directory: Path, ports: Ports) -> list[str]:
        make_certificate(directory)
        make_files(directory)
        file = directory / "proxy.ini"
        text = WSPROXY.format(
            port=ports.plain,
            tls_port=ports.tls,
            tcp_port=ports.tcp,
            origin=ports.origin,
            http_extra=http_extra,
            processes=processes,
            servers="\n".join(f"server{number} = {host}:{ports.origin}" for number, host in enumerate(HOSTS, 1)),
        )
        file.write_text(text)
        return [sys.executable, "-m", "wsproxy", str(file)]

    return command


def _aiohttp(_directory: Path, ports: Ports) -> list[str]:
    return [sys.executable, "-m", "loadtests.aiohttp_proxy", str(ports.plain), str(ports.origin)]


def _version_of(*command: str) -> Callable[[], str]:
    """The first dotted number a program prints when asked for its version."""

    def describe() -> str:
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        found = re.search(r"\d+(\.\d+)+", run.stdout + run.stderr)
        return found[0] if found else "unknown"

    return describe


def _wsproxy_version() -> str:
    found = re.search(r'__version__ = "(.+)"', (ROOT / "wsproxy" / "__init__.py").read_text())
    return found[1] if found else "unknown"


def _has(program: str) -> Callable[[], bool]:
    return lambda: shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin") is not None


PEERS = {
    peer.name: peer
    for peer in (
        Peer("wsproxy", _wsproxy(""), _wsproxy_version),
        Peer("wsproxy-64", _wsproxy("server1_max_workers = 64"), _wsproxy_version),
        Peer("wsproxy-2p", _wsproxy("", processes=2), _wsproxy_version),
        Peer("wsproxy-64-2p", _wsproxy("server1_max_workers = 128", processes=2), _wsproxy_version),
        Peer("nginx", _nginx, _version_of("nginx", "-v"), _has("nginx")),
        Peer("nginx-2p", partial(_nginx, processes=2), _version_of("nginx", "-v"), _has("nginx")),
        Peer("haproxy", _haproxy, _version_of("haproxy", "-v"), _has("haproxy")),
        Peer("varnish", _varnish, _version_of("varnishd", "-V"), _has("varnishd")),
        Peer("aiohttp", _aiohttp, lambda: version("aiohttp")),
    )
}


def _origin(_directory: Path, ports: Ports) -> list[str]:
    return [sys.executable, "-m", "loadtests.origin", str(ports.plain)]


ORIGIN = Peer("origin", _origin, lambda: "")


def free_ports(count: int) -> list[int]:
    """So many ports of 127.0.0.1 that nobody listens on now, all held until the last is found: no two are the same."""
    with contextlib.ExitStack() as held:
        probes = [held.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def pinned(core: int | None) -> Callable[[], None] | None:
    """What a child runs before exec, to stay on one core; nothing where it may run on all."""
    return None if core is None else lambda: os.sched_setaffinity(0, {core})


@contextlib.contextmanager
def running(peer: Peer, core: int | None, origin_port: int = 0) -> Iterator[Running]:
    """Start `peer` on free ports, wait for its first 200, and end it with all its children when the block is left.

    Raises PeerError if it ends, or does not answer within START_LIMIT_S.
    """
    plain, tls, tcp = free_ports(3)
    ports = Ports(plain, tls, tcp, origin_port)
    with tempfile.TemporaryDirectory(prefix=f"loadtests-{peer.name}-") as name:
        directory = Path(name)
        log = directory / "log"
        command = peer.command(directory, ports)
        started = perf_counter()
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=_as_installed(os.environ),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                preexec_fn=pinned(core),
                start_new_session=True,  # a Ctrl-C is ours to handle, in order
            )
        try:
            _wait_until_ready(process, ports.plain, log)
            yield Running(process.pid, ports.plain, perf_counter() - started, ports.tls, ports.tcp)
        finally:
            _end(process)


def _as_installed(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment, but that Python keeps what it has compiled: pip has compiled what users install."""
    return {name: value for name, value in environment.items() if name != "PYTHONDONTWRITEBYTECODE"}


def _wait_until_ready(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = perf_counter() + START_LIMIT_S
    while not _answers(port):
        if process.poll() is not None or perf_counter() > deadline:
            raise PeerError(f"{process.args!r} does not answer:\n{log.read_text(errors='replace')[-2000:]}")
        sleep(POLL_S)


def _answers(port: int) -> bool:
    """Whether a GET gets a 200 now."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=ATTEMPT_LIMIT_S) as connection:
            connection.sendall(READY_REQUEST)
            return connection.recv(12, socket.MSG_WAITALL) == b"HTTP/1.1 200"
    except OSError:
        return False


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process, politely first, and whatever is left of the session it led: the children of one that crashed."""
    process.terminate()  # nothing happens if it is gone already
    try:
        process.wait(STOP_LIMIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pid in session_members(process.pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
