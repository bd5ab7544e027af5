"""The proxies under test, each started once with a port for every lane: wsproxy, nginx, HAProxy, and a blind relay.

Knows their configuration languages. The relay forwards bytes without reading them: it shows that the cases can fail.
All get the same limits: 2 s for a head, a body to go on, an upstream to answer; 2 MiB of body.
"""

from __future__ import annotations

import asyncio
import os
import random
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Final

from tests.conformance.bench import Lane
from tests.programs import program

START_LIMIT_S: Final = 120.0
"""What a start with hundreds of listeners may take on a busy machine."""

FIRST_PORT: Final = 20_000
"""Of the proxy; below those that systems choose for outgoing connections."""

NGINX: Final = """daemon off; master_process off; worker_processes 1; error_log stderr; pid {dir}/nginx.pid;
events {{ worker_connections 8192; }}
http {{
  access_log off; client_body_temp_path {dir}/b; proxy_temp_path {dir}/p; fastcgi_temp_path {dir}/f;
  uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;
  client_header_timeout 2s; client_body_timeout 2s; client_max_body_size 2m; lingering_timeout 1s;
  proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $http_host;
  proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Forwarded-Proto $scheme;
  proxy_request_buffering off; proxy_buffering off; proxy_connect_timeout 1s; proxy_read_timeout 2s;
{lanes}}}
"""
NGINX_LANE: Final = (
    "  upstream u{i} {{ server 127.0.0.1:{up} max_fails=0; keepalive 1; }}\n"
    "  server {{ listen {front}; location / {{ proxy_pass http://u{i}; }} }}\n"
)
HAPROXY: Final = """global
  maxconn 4000
defaults
  mode http
  timeout connect 1s
  timeout client 2s
  timeout server 3s
  timeout http-request 2s
  timeout http-keep-alive 5s
  http-reuse always
  option forwardfor
  retry-on conn-failure empty-response
{lanes}"""
HAPROXY_LANE: Final = """frontend f{i}
  bind {front}
  default_backend b{i}
backend b{i}
  http-request disable-l7-retry unless METH_GET
  server s 127.0.0.1:{up}
"""
WSPROXY: Final = "[log]\naccess = off\n{lanes}"
WSPROXY_LANE: Final = """[frontend:c{i}]
host = {host}
port = {port}
header_timeout = 2s
body_timeout = 2s
keepalive_timeout = 5s
max_body_size = 2m
[http:c{i}]
frontend = c{i}
server1 = 127.0.0.1:{up}
server1_max_workers = 1
response_timeout = 2s
health_check_interval = 1h
"""

PEERS: Final = ("wsproxy", "nginx", "haproxy", "relay")


def open_lanes(listening: Sequence[bool]) -> list[Lane]:
    """A lane for each item; whether its upstream listens.

    On Linux each run has a loopback address of its own for the proxy, where nobody else takes a port meanwhile.
    """
    host = f"127.{random.randint(1, 254)}.{random.randint(1, 254)}.2" if sys.platform == "linux" else "127.0.0.1"
    lanes = []
    for number, listens in enumerate(listening):
        upstream = socket.socket()
        upstream.setblocking(False)
        upstream.bind(("127.0.0.1", 0))
        lanes.append(Lane((host, FIRST_PORT + number), upstream.getsockname()[1], upstream if listens else None))
        if listens:
            upstream.listen(64)
        else:
            upstream.close()
    return lanes


@asynccontextmanager
async def running(peer: str, lanes: Sequence[Lane], directory: Path) -> AsyncIterator[Path]:
    """Run the peer before the lanes; yields the path of its log."""
    log = directory / "log"
    log.touch()
    if peer == "relay":
        async with AsyncExitStack() as stack:
            for lane in lanes:
                await stack.enter_async_context(await _relay(lane))
            yield log
        return
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *_command(peer, lanes, directory), stdout=output, stderr=output, env=os.environ | {"TMPDIR": str(directory)}
        )
    try:
        async with asyncio.timeout(START_LIMIT_S):
            for lane in lanes:
                while not await _accepts(lane):
                    assert process.returncode is None, log.read_text()
                    await asyncio.sleep(0.02)
        yield log
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _command(peer: str, lanes: Sequence[Lane], directory: Path) -> list[str]:
    whole, each = {
        "nginx": (NGINX, NGINX_LANE),
        "haproxy": (HAPROXY, HAPROXY_LANE),
        "wsproxy": (WSPROXY, WSPROXY_LANE),
    }[peer]
    text = ""
    for i, lane in enumerate(lanes):
        host, port = lane.front
        text += each.format(i=i, host=host, port=port, front=f"{host}:{port}", up=lane.upstream_port)
    path = directory / f"{peer}.conf"
    path.write_text(whole.format(dir=directory, lanes=text))
    if peer == "wsproxy":
        return [sys.executable, "-m", "wsproxy", str(path)]
    return [program(peer), *(["-p", str(directory), "-c"] if peer == "nginx" else ["-f"]), str(path)]


async def _accepts(lane: Lane) -> bool:
    try:
        _, writer = await asyncio.open_connection(*lane.front)
    except OSError:
        return False
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return True


async def _relay(lane: Lane) -> asyncio.Server:
    async def move(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", lane.upstream_port)
        except OSError:
            writer.close()
            return
        await asyncio.gather(move(reader, up_writer), move(up_reader, writer))

    return await asyncio.start_server(carry, *lane.front)
