"""Files that were sent a moment ago: how many are kept, and that nothing changed is ever shown."""

from __future__ import annotations

import os
from pathlib import Path

from wsproxy.config.content_settings import StaticSettings
from wsproxy.static.answers import Answer
from wsproxy.static.recent import KEPT_S, OVERHEAD_BYTES, SETTLED_S, RecentFiles
from wsproxy.static.tree import FileTree, OpenFile

NOW = 1_800_000_000.0


def opened(path: Path, content: bytes = b"content") -> OpenFile:
    """A file that has been left alone for a while, with its bytes."""
    path.write_bytes(content)
    os.utime(path, (NOW - 60, NOW - 60))
    found = FileTree(StaticSettings(str(path.parent))).find(os.fsencode(path.name), False, lambda _: "")
    assert isinstance(found, OpenFile)
    found.read_whole()
    found.close()
    return found


def answer(file: OpenFile) -> Answer:
    return Answer(200, b"", (file.data or b"",), file.size)


def kept(files: RecentFiles, file: OpenFile, target: bytes = b"/a") -> RecentFiles:
    files.keep(target, b"gzip", file, answer(file), 100.0)
    return files


def test_unchanged_file_is_found_for_a_second(tmp_path: Path) -> None:
    file = opened(tmp_path / "a")
    files = kept(RecentFiles(clock=lambda: NOW), file)
    found = files.get(b"/a", b"gzip", 100.0 + KEPT_S / 2)
    assert found is not None
    assert found.answer.pieces == (b"content",)
    assert files.get(b"/a", b"br", 100.0) is None
    assert files.get(b"/b", b"gzip", 100.0) is None
    assert files.get(b"/a", b"gzip", 100.0 + KEPT_S) is None
    assert len(files) == 0


def test_changed_file_is_not_found(tmp_path: Path) -> None:
    path = tmp_path / "a"
    changes = (
        path.unlink,
        lambda: path.write_bytes(b"CONTENT"),
        lambda: opened(tmp_path / "b", b"CONTENT") and (tmp_path / "b").rename(path),
        lambda: path.chmod(0),
        lambda: os.truncate(path, 3),
    )
    for change in changes:
        files = kept(RecentFiles(clock=lambda: NOW), opened(path))
        assert files.get(b"/a", b"gzip", 100.0) is not None
        change()
        assert files.get(b"/a", b"gzip", 100.0) is None
        path.unlink(missing_ok=True)


def test_file_that_was_just_changed_is_not_kept(tmp_path: Path) -> None:
    """The next change may come within the same tick of the kernel's clock."""
    file = opened(tmp_path / "a")
    modified_s = file.status.st_mtime
    assert len(kept(RecentFiles(clock=lambda: modified_s + SETTLED_S / 2), file)) == 0
    assert len(kept(RecentFiles(clock=lambda: modified_s + SETTLED_S), file)) == 1
    file.data = None
    assert len(kept(RecentFiles(clock=lambda: NOW), file)) == 0


def test_no_more_is_kept_than_allowed(tmp_path: Path) -> None:
    file = opened(tmp_path / "a", b"x" * OVERHEAD_BYTES)
    files = RecentFiles(limit_bytes=6 * OVERHEAD_BYTES + 60, clock=lambda: NOW)
    for number in range(10):
        kept(files, file, b"/%d" % number)
        kept(files, file, b"/%d" % number)  # once more is not twice
    assert len(files) == 3
    assert files.get(b"/6", b"gzip", 100.0) is None
    assert files.get(b"/7", b"gzip", 100.0) is not None
    longest = b"/0?" + b"x" * 3 * OVERHEAD_BYTES
    kept(files, file, longest)
    assert len(files) == 1, "what a client writes behind the name counts too"
    assert files.get(longest, b"gzip", 100.0) is not None
    assert len(kept(RecentFiles(limit_bytes=OVERHEAD_BYTES, clock=lambda: NOW), file)) == 0
