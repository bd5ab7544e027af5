"""What is wrong with an ini file is said with its place, all of it, and nothing is started."""

from __future__ import annotations

import re
import socket
from pathlib import Path

from tests.integration.harness import RawServer, in_loop, ok
from tests.system.harness import run_to_end

MISTAKES = """\
[frontend]
port = 99999
[http]
server1 = 127.0.0.1:9001
max_worker = 3
queue_timeout = soon
algorithm = random
algorithm = round-robin
[htttp]
server1 = 127.0.0.1:9002
"""


@in_loop
async def test_every_mistake_is_listed_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "bad.ini"
    path.write_text(MISTAKES)
    code, out, err = await run_to_end(str(path))
    assert (code, out) == (2, "")
    lines = err.splitlines()
    assert all(re.match(rf"{re.escape(str(path))}:\d+:\d+: ", line) for line in lines), err
    places = {int(line.removeprefix(f"{path}:").split(":")[0]): line for line in lines}
    assert set(places) >= {2, 5, 6, 8, 9}
    assert "did you mean 'max_workers'" in places[5]
    assert re.search(r"\b7\b", places[8]), "a duplicate names the first line too"


@in_loop
async def test_check_says_the_same_and_starts_nothing(tmp_path: Path) -> None:
    path = tmp_path / "bad.ini"
    path.write_text(MISTAKES)
    assert await run_to_end("--check", str(path)) == await run_to_end(str(path))


@in_loop
async def test_a_missing_file_is_an_error_with_its_name(tmp_path: Path) -> None:
    path = tmp_path / "missing.ini"
    assert await run_to_end(str(path)) == (2, "", f"{path}:1:1: cannot be read: no such file or directory\n")


@in_loop
async def test_every_port_in_use_is_named_and_nothing_is_started(tmp_path: Path) -> None:
    path = tmp_path / "proxy.ini"
    async with RawServer(ok()) as server:
        with socket.create_server(("127.0.0.1", 0)) as first, socket.create_server(("127.0.0.1", 0)) as second:
            ports = first.getsockname()[1], second.getsockname()[1]
            path.write_text(
                "[frontend]\nhost = 127.0.0.1\nport = 0\n"
                f"[frontend:a]\nhost = 127.0.0.1\nport = {ports[0]}\n"
                f"[frontend:b]\nhost = 127.0.0.1\nport = {ports[1]}\n"
                f"[http]\nserver1 = 127.0.0.1:{server.port}\n"
            )
            code, out, err = await run_to_end(str(path))
        assert (code, out) == (2, "")
        lines = err.splitlines()
        assert len(lines) == 2
        for line, port, number in zip(lines, ports, (6, 9), strict=True):
            assert line.startswith(f"{path}:{number}:")
            assert f"127.0.0.1:{port}" in line
            assert "in use" in line
        assert server.opened == 0


@in_loop
async def test_no_file_at_all_is_a_usage_error() -> None:
    code, out, err = await run_to_end()
    assert (code, out) == (2, "")
    assert "usage: " in err
