"""The socket where two proxies meet: who may come, and what it takes the place of."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest

from wsproxy.supervisor.meeting import wait_at


def test_it_is_for_one_user_and_takes_the_place_of_another_socket(tmp_path: Path) -> None:
    path = tmp_path / "takeover"
    wait_at(str(path)).close()  # a crash leaves such a file
    listening = wait_at(str(path))
    with listening, socket.socket(socket.AF_UNIX) as coming:
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
        coming.connect(str(path))
    assert [each.name for each in tmp_path.iterdir()] == ["takeover"]


def test_a_file_that_is_no_socket_stays(tmp_path: Path) -> None:
    path = tmp_path / "takeover"
    path.write_text("somebody's")
    with pytest.raises(FileExistsError, match="no socket"):
        wait_at(str(path))
    assert path.read_text() == "somebody's"
    path.unlink()
    path.mkdir()
    with pytest.raises(FileExistsError, match="no socket"):
        wait_at(str(path))
    assert [each.name for each in tmp_path.iterdir()] == ["takeover"]
