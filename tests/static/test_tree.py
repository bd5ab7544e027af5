"""What is opened, and what is refused with which status."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from wsproxy.config.content_settings import StaticSettings
from wsproxy.static.listing import MAX_ENTRIES, Listing, list_directory
from wsproxy.static.tree import FileTree, NotServedError, OpenFile, Redirect


def plain(_: Sequence[str]) -> str:
    return ""


def tree(root: Path, **settings: object) -> FileTree:
    return FileTree(StaticSettings(str(root), **settings))  # type: ignore[arg-type]  # as a test names them


def content(found: object) -> bytes:
    assert isinstance(found, OpenFile)
    data = os.pread(found.fd, 1000, 0)
    found.close()
    return data


@pytest.mark.parametrize(
    ("number", "status"),
    [
        (errno.ENOENT, 404),
        (errno.ENOTDIR, 404),
        (errno.ENAMETOOLONG, 404),
        (errno.ELOOP, 404),
        (errno.EACCES, 403),
        (errno.EPERM, 403),
        (errno.EMFILE, 503),
        (errno.ENFILE, 503),
        (errno.EIO, 500),
    ],
)
def test_status_of_what_the_system_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, status: int
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(NotServedError) as caught:
        tree(tmp_path).find(b"a", False, plain)
    assert caught.value.status == status
    assert bool(str(caught.value)) == (status != 404)


def test_no_descriptor_is_left_behind(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "a").write_text("a")
    (tmp_path / "a.gz").write_text("z")
    (tmp_path / "out").symlink_to("/etc")
    os.mkfifo(tmp_path / "fifo")
    found = tree(tmp_path, listing=True, index=())
    before = os.listdir("/proc/self/fd")
    assert isinstance(found.find(b"sub", False, plain), Redirect)
    assert isinstance(found.find(b"sub/", True, plain), Listing)
    assert content(found.find(b"a", False, lambda codings: codings[0])) == b"z"
    for name in (b"out", b"fifo", b"a/b", b"nothing"):
        with pytest.raises(NotServedError):
            found.find(name, False, plain)
    with pytest.raises(NotServedError):
        found.find(b"a/", True, plain)
    assert os.listdir("/proc/self/fd") == before


def test_file_exchanged_for_a_link_while_it_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that is asked of a name beforehand counts: what was opened is judged."""
    (tmp_path / "www").mkdir()
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "www/a").write_text("a")
    open_really = os.open

    def exchange(path: bytes, flags: int) -> int:
        if path.endswith(b"/a"):
            (tmp_path / "www/a").unlink()
            (tmp_path / "www/a").symlink_to("../secret")
        return open_really(path, flags)

    monkeypatch.setattr(os, "open", exchange)
    with pytest.raises(NotServedError, match="leads out"):
        tree(tmp_path / "www").find(b"a", False, plain)


def test_name_that_begins_like_the_directory_is_outside(tmp_path: Path) -> None:
    (tmp_path / "www").mkdir()
    (tmp_path / "www-private").mkdir()
    (tmp_path / "www-private/a").write_text("secret")
    (tmp_path / "www/link").symlink_to("../www-private")
    with pytest.raises(NotServedError):
        tree(tmp_path / "www").find(b"link/a", False, plain)


def test_compressed_file_that_leads_outside_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "www").mkdir()
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "www/a").write_text("a")
    (tmp_path / "www/a.gz").symlink_to("../secret")
    (tmp_path / "www/a.br").mkdir()
    found = tree(tmp_path / "www").find(b"a", False, lambda codings: codings[0])
    assert isinstance(found, OpenFile)
    assert found.codings == ("gzip",)
    assert content(found) == b"a"


def test_index_that_is_a_directory_is_none(tmp_path: Path) -> None:
    (tmp_path / "index.html").mkdir()
    with pytest.raises(NotServedError) as caught:
        tree(tmp_path).find(b"", True, plain)
    assert caught.value.status == 403


def test_fallback_that_is_missing_too(tmp_path: Path) -> None:
    with pytest.raises(NotServedError) as caught:
        tree(tmp_path, fallback="/index.html").find(b"a", False, plain)
    assert caught.value.status == 404


def test_list_has_an_end(tmp_path: Path) -> None:
    for number in range(MAX_ENTRIES + 2):
        (tmp_path / f"{number:05}").touch()
    page = list_directory(os.fsencode(tmp_path), b"", lambda _: True).body
    assert page.count(b"<tr>") == MAX_ENTRIES
    assert b"Only 10000 entries are shown" in page
    assert b"../" not in page


def test_list_of_awkward_names(tmp_path: Path) -> None:
    (tmp_path / "javascript:alert(1)").touch()
    (tmp_path / os.fsdecode(b"\xff\xfe")).touch()
    page = list_directory(os.fsencode(tmp_path), b"sub/", lambda _: True).body
    assert b'href="./javascript:alert(1)"' in page
    assert b'href="./%FF%FE"' in page
    assert b'href="../"' in page
