"""The proxies a case may be played through: wsproxy, and nginx and HAProxy to judge the cases themselves.

Knows their command lines and files. Each has the same routes, named in Ports.
"""

from __future__ import annotations

import contextlib
import os
import queue
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.conformance_ws.wire import wait_until
from tests.ports import free_port
from tests.programs import program

START_LIMIT_S = 60.0


@dataclass(frozen=True)
class Ports:
    """Where the servers behind the proxy are.

    raw: the one whose bytes the case writes (/, /ws, /slow: no answer within 1 s, /one: a single worker, /pinged: pings
    of the proxy's own). refusing: a port nobody listens on (/refused; /spare has it beside raw). websockets, aiohttp:
    echo servers made with those libraries (/websockets, /aiohttp).
    """

    raw: int
    refusing: int
    websockets: int
    aiohttp: int


@dataclass
class Running:
    """A proxy process. port: where it listens. log: what it wrote to standard error so far."""

    process: subprocess.Popen[bytes]
    port: int
    log: list[str]

    @property
    def resident_bytes(self) -> int:
        """The memory that is resident now."""
        found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{self.process.pid}/status").read_text())
        assert found is not None
        return int(found[1]) * 1024

    def terminate(self) -> None:
        """Ask it to stop in order."""
        self.process.send_signal(signal.SIGTERM)


WSPROXY = """
[frontend]
host = 127.0.0.1
port = 0
shutdown_timeout = 3s
[log]
access = off
[http]
server1 = 127.0.0.1:{raw}
max_workers = 30
[websocket]
path_prefix = /ws
server1 = 127.0.0.1:{raw}
max_workers = 30
drain_rate = 1000
[websocket:slow]
path_prefix = /slow
response_timeout = 1s
server1 = 127.0.0.1:{raw}
[websocket:one]
path_prefix = /one
server1 = 127.0.0.1:{raw}
max_workers = 1
[websocket:pinged]
path_prefix = /pinged
ping_interval = 100ms
ping_timeout = 5s
server1 = 127.0.0.1:{raw}
[websocket:refused]
path_prefix = /refused
server1 = 127.0.0.1:{refusing}
[websocket:spare]
path_prefix = /spare
algorithm = round-robin
server1 = 127.0.0.1:{refusing}
server2 = 127.0.0.1:{raw}
[websocket:websockets]
path_prefix = /websockets
server1 = 127.0.0.1:{websockets}
[websocket:aiohttp]
path_prefix = /aiohttp
server1 = 127.0.0.1:{aiohttp}
"""

NGINX = """
daemon off; master_process off; pid {directory}/nginx.pid; error_log {directory}/error.log;
events {{ worker_connections 2000; }}
http {{
  access_log off; client_body_temp_path {directory}; proxy_temp_path {directory}; fastcgi_temp_path {directory};
  uwsgi_temp_path {directory}; scgi_temp_path {directory};
  map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}
  upstream spare {{ server 127.0.0.1:{refusing}; server 127.0.0.1:{raw}; }}
  proxy_http_version 1.1; proxy_set_header Host $http_host;
  proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade;
  server {{
    listen 127.0.0.1:{port};
    location / {{ proxy_pass http://127.0.0.1:{raw}; }}
    location /slow {{ proxy_pass http://127.0.0.1:{raw}; proxy_read_timeout 1s; }}
    location /refused {{ proxy_pass http://127.0.0.1:{refusing}; }}
    location /spare {{ proxy_pass http://spare; }}
    location /websockets {{ proxy_pass http://127.0.0.1:{websockets}; }}
    location /aiohttp {{ proxy_pass http://127.0.0.1:{aiohttp}; }}
  }}
}}
"""

HAPROXY = """
defaults
  mode http
  timeout connect 3s
  timeout client 60s
  timeout server 60s
  timeout tunnel 1h
  option redispatch 1
  retries 3
frontend all
  bind 127.0.0.1:{port}
  use_backend %[path,field(2,/)] if {{ path_beg /slow /refused /spare /websockets /aiohttp }}
  default_backend raw
backend raw
  server s1 127.0.0.1:{raw}
backend slow
  timeout server 1s
  server s1 127.0.0.1:{raw}
backend refused
  server s1 127.0.0.1:{refusing}
backend spare
  server s1 127.0.0.1:{refusing}
  server s2 127.0.0.1:{raw}
backend websockets
  server s1 127.0.0.1:{websockets}
backend aiohttp
  server s1 127.0.0.1:{aiohttp}
"""


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def _read_lines(process: subprocess.Popen[bytes], log: list[str], ports: queue.Queue[int]) -> None:
    assert process.stderr is not None
    for line in process.stderr:
        log.append(line.decode(errors="replace").rstrip())
        if found := re.search(r"listening on \S+:(\d+)", log[-1]):
            ports.put(int(found[1]))
    ports.put(0)


def _command(name: str, directory: Path, ports: Ports, port: int) -> list[str]:
    template = {"wsproxy": WSPROXY, "nginx": NGINX, "haproxy": HAPROXY}[name]
    path = directory / f"{name}.conf"
    path.write_text(template.format(port=port, directory=directory, **vars(ports)))
    match name:
        case "wsproxy":
            return [sys.executable, "-m", "wsproxy", str(path)]
        case "nginx":
            return [program("nginx"), "-p", str(directory), "-c", str(path)]
        case _:
            return [program("haproxy"), "-db", "-f", str(path)]


@contextlib.contextmanager
def running(name: str, directory: Path, ports: Ports) -> Iterator[Running]:
    """Start that proxy and wait until it listens; it is killed at the end if need be."""
    port = 0 if name == "wsproxy" else free_port()
    process = subprocess.Popen(
        _command(name, directory, ports, port), stderr=subprocess.PIPE, env=os.environ | {"TMPDIR": str(directory)}
    )
    log: list[str] = []
    announced: queue.Queue[int] = queue.Queue()
    reader = threading.Thread(target=_read_lines, args=(process, log, announced), daemon=True)
    reader.start()
    try:
        if name == "wsproxy":
            port = announced.get(timeout=START_LIMIT_S)
        assert port, f"it ended: {log}"
        assert wait_until(lambda: _listens(port), START_LIMIT_S), log
        yield Running(process, port, log)
    finally:
        process.kill()
        process.wait()
        reader.join()
        assert process.stderr is not None
        process.stderr.close()
