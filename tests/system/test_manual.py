"""The manual is true: its commands are run as they stand, against the file that ships, with free ports for its own.

What is not run here is on a list that says why; a command that is on neither side fails.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from tests.integration.harness import RawServer, in_loop, ok
from tests.programs import program
from tests.system.harness import Spawned, spawned
from wsproxy.cli import main

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))]
BLOCK = re.compile(r"(?ms)^```(?:sh|console)\n(.*?)^```$")
LIMIT_S = 90

NOT_HERE = {
    "python3 -m venv": "it downloads: .ci/run does it",
    "find dist ": "compresses a site of the reader's own",
    "docker ": "needs a Docker daemon: run by hand",
    "kubectl ": "needs a cluster; tests/deploy builds what it would be given",
    "for pod in ": "the same",
    "done": "the same",
    ".venv/bin/pip install": "it downloads",
    "git pull": "the same",
    ".venv/bin/python -m wsproxy": "runs until it is stopped: every test of this package does that",
    "kill -HUP PID": "run below, with the process's number",
    "kill -USR2 PID": "test_takeover does that",
    "openssl ": "run below, with the file it is for",
    "curl --cacert": "run below, with the file it is for",
    ".venv/bin/python -m pytest": "this is it",
    ".venv/bin/python -m loadtests": "minutes of load; its own tests run each part",
    ".venv/bin/locust": "needs its extra: run by hand",
    ".venv/bin/python -m websockets": "run below: it wants somebody who types",
}


def commands(document: Path) -> list[str]:
    """Every command of a document: lines of sh blocks, and those behind a prompt in console blocks."""
    found = []
    for block in BLOCK.findall(document.read_text("utf-8")):
        lines = block.replace("\\\n", " ").splitlines()
        if any(line.startswith("$ ") for line in lines):
            lines = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
        found += [re.sub(r" {2,}#.*", "", line).strip() for line in lines if line.strip() and not line.startswith("#")]
    return found


ALL = [(document, command) for document in DOCUMENTS for command in commands(document)]


def is_run(command: str) -> bool:
    return command.startswith("curl ") and not command.startswith("curl --cacert")


async def shell(command: str, directory: Path, typed: bytes = b"", answer: bytes = b"") -> tuple[int, str]:
    """Exit code and output of a command; what was `typed` is followed by its end once there was an `answer`."""
    return await anyio.to_thread.run_sync(_run, command, directory, typed, answer)


def _run(command: str, directory: Path, typed: bytes, answer: bytes) -> tuple[int, str]:
    with subprocess.Popen(
        ["timeout", str(LIMIT_S), "sh", "-c", command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=directory,
        env={**os.environ, "NO_PROXY": "*", "PYTHONUNBUFFERED": "1"},
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(typed)
        process.stdin.flush()
        out = b""
        while answer not in out and (piece := os.read(process.stdout.fileno(), 65_536)):
            out += piece
        rest, _ = process.communicate()
    return process.returncode, (out + rest).decode()


@asynccontextmanager
async def shipped(directory: Path) -> AsyncIterator[tuple[Spawned, dict[str, str]]]:
    """The shipped routes and servers, a cache and an [admin]; the ports of the manual and those they stand for here."""
    text = (ROOT / "proxy.ini").read_text("utf-8")
    sections = text[text.index("[group:demo]") : text.index("[log]")].replace("[http]\n", "[http]\ncache = yes\n")
    async with spawned(directory, sections + "[admin]\nport = 0\n") as running:
        (admin_port,) = [line.rpartition(":")[2] for line in running.log if " admin on " in line]
        yield running, {"127.0.0.1:8080": f"127.0.0.1:{running.port}", "127.0.0.1:8081": f"127.0.0.1:{admin_port}"}


def placed(command: str, ports: dict[str, str]) -> str:
    for written, here in ports.items():
        command = command.replace(written, here)
    return command


def test_every_command_is_run_or_says_why_not() -> None:
    assert len(ALL) > 25
    for document, command in ALL:
        for part in command.split(" && "):
            known = is_run(part) or any(part.startswith(beginning) for beginning in NOT_HERE)
            assert known, f"{document.name}: {part}"


@in_loop
async def test_every_call_of_the_manual_is_answered(tmp_path: Path) -> None:
    program("curl")
    async with shipped(tmp_path) as (_, ports):
        for document, command in ALL:
            if is_run(command):
                strict = placed(command, ports).replace("curl ", "curl -sS --fail-with-body ", 1)
                code, out = await shell(strict, tmp_path)
                assert code == 0, f"{document.name}: {command}: {out}"
                assert out


@in_loop
async def test_what_the_readme_shows_of_a_websocket_is_what_happens(tmp_path: Path) -> None:
    (command,) = [command for _, command in ALL if command.startswith(".venv/bin/python -m websockets")]
    async with shipped(tmp_path) as (_, ports):
        typed = placed(command, ports).replace(".venv/bin/python", shlex.quote(sys.executable))
        _, out = await shell(typed, tmp_path, b"hello\n", answer=b"< hello")
        assert "Connected to" in out
        assert "1000 (OK)" in out


@in_loop
async def test_the_reload_of_the_manual_reloads(tmp_path: Path) -> None:
    async with shipped(tmp_path) as (running, _):
        assert (await shell(f"kill -HUP {running.process.pid}", tmp_path))[0] == 0
        with anyio.fail_after(LIMIT_S):
            while not any("reloaded: nothing has changed" in line for line in running.log):  # noqa: ASYNC110
                await anyio.sleep(0.01)
        running.signal(signal.SIGTERM)
        assert await running.exit_code(within_s=LIMIT_S) == 0


@in_loop
async def test_the_certificate_that_the_manual_makes_is_one(tmp_path: Path) -> None:
    program("openssl")
    program("curl")
    (make,) = [command for _, command in ALL if command.startswith("openssl ")]
    (ask,) = [command for _, command in ALL if command.startswith("curl --cacert")]
    code, out = await shell(make, tmp_path)
    assert code == 0, out
    async with RawServer(ok(b"through TLS")) as server:
        lines = "tls_certificate = site.pem\ntls_key = site.key\nhsts = 365d"
        async with spawned(tmp_path, f"[http]\nserver1 = 127.0.0.1:{server.port}\n", frontend=lines) as running:
            code, out = await shell(ask.replace(":8443", f":{running.port}").replace("curl", "curl -sS", 1), tmp_path)
            assert (code, out) == (0, "through TLS")


def test_the_mistakes_of_the_first_run_are_told_as_they_stand_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("site.ini").write_text("[frontend]\nport = 8080\n\n[http]\nsever1 = 127.0.0.1:9001\n")
    assert main(["--check", "site.ini"]) == 2
    told = capsys.readouterr().err
    assert f"```\n{told}```" in (ROOT / "docs" / "first-run.md").read_text("utf-8")


def test_the_file_of_the_first_run_is_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (ROOT / "docs" / "first-run.md").read_text("utf-8")
    block = re.search(r"(?ms)^```ini\n(.*?)^```$", page)
    assert block is not None
    monkeypatch.chdir(tmp_path)
    Path("site.ini").write_text(block[1])
    assert main(["--check", "site.ini"]) == 0
    assert capsys.readouterr().out.startswith("site.ini: ok")
