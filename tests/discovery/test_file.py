"""Servers from a file: what it may say, every mistake with its place, and that a bad one changes nothing."""

from __future__ import annotations

import json
import os
from pathlib import Path

import anyio
import pytest

from tests.discovery.sink import Sink
from wsproxy.discovery.file import LARGEST_BYTES, FileError, read_file, watch_file
from wsproxy.discovery.found import Found


def written(path: Path, content: object) -> str:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return str(path)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ([], []),
        ({"servers": []}, []),
        (["10.0.0.1:80", "[::1]:81"], [Found("10.0.0.1:80"), Found("[::1]:81")]),
        (
            {"servers": [{"addr": "a:1", "name": "one", "weight": 3, "backup": True, "enabled": False}]},
            [Found("a:1", "one", 3, True, False)],
        ),
    ],
)
def test_what_it_may_say(tmp_path: Path, content: object, expected: list[Found]) -> None:
    assert read_file(written(tmp_path / "s.json", content)) == expected


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ('{"servers": [\n  "a:1",\n  oops\n]}', ":3:3: Expecting value"),
        ("{}", ': no list of servers (write {"servers": ["host:port", …]})'),
        ([7], ": server 1 has no address ('addr': 'host:port')"),
        ([{"addr": 7}], ": server 1 has no address ('addr': 'host:port')"),
        (
            ["a:1", {"addr": "b:1", "wieght": 2}],
            ": server 2: unknown 'wieght' (there are addr, backup, enabled, name, weight)",
        ),
        ([{"addr": "a:1", "weight": -1}], ": server 1: weight is not a whole number (0 to 1000)"),
        ([{"addr": "a:1", "weight": True}], ": server 1: weight is not a whole number (0 to 1000)"),
        ([{"addr": "a:1", "backup": 1}], ": server 1: name is a text, backup and enabled are true or false"),
        (["a:1", "a:1"], ": server 2: 'a:1' is there already"),
        ([{"addr": "a:1", "name": "x"}, {"addr": "b:1", "name": "x"}], ": server 2: 'x' is there already"),
        (["a:1"] * 1001, ": 1001 servers, 1000 are the most"),
        ("[" * 100_000, ": nested too deeply"),
        ('[{"addr": "a:1", "weight": ' + "9" * 5000 + "}]", ": a number is too long"),
        ("", ":1:1: Expecting value"),
        (
            [{"addr": "a:1", "name": "a\nb"}],
            ": server 1: 'a\nb' is not a server's name (visible ASCII without quotes and backslashes)",
        ),
        (" " * (LARGEST_BYTES + 1), f": larger than {LARGEST_BYTES} bytes"),
    ],
)
def test_mistakes_have_their_place(tmp_path: Path, content: object, reason: str) -> None:
    path = written(tmp_path / "s.json", content)
    with pytest.raises(FileError) as caught:
        read_file(path)
    assert str(caught.value) == path + reason


def test_an_address_is_judged_as_in_the_ini_file(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"server 1: .*port"):
        read_file(written(tmp_path / "s.json", ["no-port"]))


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path):
        with pytest.raises(FileError, match="not a file"):
            read_file(str(path))


def test_a_mounted_config_map_is_followed_and_what_it_says_is_told_at_each_look(tmp_path: Path) -> None:
    """The kubelet has the file as a link through `..data`, which it moves from one directory to the next."""
    for name, content in (("one", '["a:1"]'), ("two", '["b:1"]')):
        (tmp_path / name).mkdir()
        (tmp_path / name / "servers.json").write_text(content)
        os.utime(tmp_path / name / "servers.json", ns=(1, 1))  # alike in all but the inode
    (tmp_path / "..data").symlink_to("one")
    (tmp_path / "servers.json").symlink_to("..data/servers.json")

    async def main() -> None:
        sink = Sink()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch_file, str(tmp_path / "servers.json"), 0.01, sink)
            await sink.until(sets=1, told=3)  # so that the age of the last good answer is known
            (tmp_path / "..data_tmp").symlink_to("two")
            os.replace(tmp_path / "..data_tmp", tmp_path / "..data")
            await sink.until(sets=2)
            (tmp_path / "two" / "servers.json").write_text('["b:1", ')
            await sink.until(reasons=3)
            (tmp_path / "two" / "servers.json").write_text('["b:1", "c:1"]')
            await sink.until(sets=3)
            tasks.cancel_scope.cancel()
        assert sink.addresses == [["a:1"], ["b:1"], ["b:1", "c:1"]]

    anyio.run(main)


def test_changes_are_told_and_bad_ones_are_not(tmp_path: Path) -> None:
    path = tmp_path / "s.json"

    def put(content: object) -> None:
        """As others should: written beside, then renamed."""
        os.replace(written(tmp_path / "new", content), path)

    async def main() -> None:
        sink = Sink()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch_file, str(path), 0.01, sink)
            await sink.until(reasons=1)
            put(["a:1"])
            await sink.until(sets=1)
            put("nonsense")
            await sink.until(reasons=len(sink.reasons) + 1)
            assert sink.reasons[-1] == f"{path}:1:1: Expecting value"
            put(["a:1", "b:1"])
            await sink.until(sets=2)
            path.unlink()
            await sink.until(reasons=len(sink.reasons) + 1)
            tasks.cancel_scope.cancel()
        assert sink.reasons[0] == sink.reasons[-1] == f"{path}: No such file or directory"
        assert sink.addresses == [["a:1"], ["a:1", "b:1"]]

    anyio.run(main)
