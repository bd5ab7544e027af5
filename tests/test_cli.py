"""The command line: what each argument does without starting anything, and the exit codes."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

import wsproxy
from wsproxy.cli import USAGE_ERROR, main
from wsproxy.config.errors import ConfigError
from wsproxy.supervisor.source import Source

GOOD = """
[frontend]
host = 127.0.0.1
port = 0
[http]
server1 = 127.0.0.1:9001
server2 = 127.0.0.1:9002
[websocket]
server1 = 127.0.0.1:9101
"""


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "proxy.ini"
    path.write_text(GOOD, encoding="utf-8")
    return path


def test_check_says_what_there_is(good: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(good), "--check"]) == 0
    assert capsys.readouterr() == (f"{good}: ok (1 frontend, 2 routes, 3 servers)\n", "")


def test_config_names_the_file_too(good: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--config", str(good), "--check"]) == 0
    assert "ok" in capsys.readouterr().out


def test_every_error_of_a_file_is_named_with_its_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "bad.ini"
    path.write_text("[frontend]\nport = many\n[http]\nserver1 = 127.0.0.1:9001\nmax_worker = 3\n", encoding="utf-8")
    assert main([str(path)]) == USAGE_ERROR
    out, err = capsys.readouterr()
    assert out == ""
    assert f"{path}:2" in err
    assert f"{path}:5" in err
    assert "did you mean" in err


@pytest.mark.parametrize("name", ["missing.ini", "."])
def test_a_file_that_cannot_be_read(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(tmp_path / name)
    assert main([path, "--check"]) == USAGE_ERROR
    assert path in capsys.readouterr().err
    with pytest.raises(ConfigError):
        Source.read(path).load()


@pytest.mark.parametrize("arguments", [[], ["a.ini", "--config", "b.ini"], ["--no-such-option"], ["a.ini", "b.ini"]])
def test_a_wrong_command_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == USAGE_ERROR
    assert "usage: wsproxy" in capsys.readouterr().err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"wsproxy {wsproxy.__version__}\n"


def test_help_config_lists_the_keys(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help-config"]) == 0
    out = capsys.readouterr().out
    assert "[frontend]" in out
    assert "queue_timeout" in out


def test_an_address_in_use_names_its_place_and_starts_nothing(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        path = tmp_path / "proxy.ini"
        text = GOOD.replace("port = 0", f"port = {taken.getsockname()[1]}")
        path.write_text(text, encoding="utf-8")
        ran = subprocess.run(
            [sys.executable, "-m", "wsproxy", str(path)], capture_output=True, text=True, timeout=30, check=False
        )
    assert ran.returncode == USAGE_ERROR
    assert ran.stdout == ""
    assert ran.stderr.startswith(f"{path}:4")
    assert "Address already in use" in ran.stderr
    assert "Traceback" not in ran.stderr
