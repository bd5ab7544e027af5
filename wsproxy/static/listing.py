"""The page that shows what is in a directory which has no index.

Knows the file system for the entries of one directory; may block. What files are called is foreign text: it is escaped
in the page and encoded in its links.
"""

from __future__ import annotations

import html
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from stat import S_ISDIR, S_ISREG
from typing import Final

from wsproxy.static.paths import quoted

MAX_ENTRIES: Final = 10_000
"""Lines of a page: about 1.5 MB. Who keeps more files in one directory wants no list of them."""

_PAGE: Final = """\
<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>body{{font:1rem/1.5 system-ui,sans-serif;margin:2rem}}td{{padding-right:2rem}}td+td{{text-align:right}}</style>
</head><body><h1>{title}</h1>
<table>
{rows}</table>
{note}</body></html>
"""
_ROW: Final = '<tr><td><a href="{link}">{name}</a></td><td>{size}</td><td>{modified}</td></tr>\n'


@dataclass(frozen=True, slots=True)
class Entry:
    """What a line of the page says. is_link: it is a symbolic link, to what the other fields describe."""

    name: bytes
    is_directory: bool
    is_link: bool
    size: int
    modified_s: float


@dataclass(frozen=True, slots=True)
class Listing:
    """A page, as UTF-8 HTML."""

    body: bytes


def list_directory(path: bytes, name: bytes, is_shown: Callable[[Entry], bool]) -> Listing:
    """The page of the directory at `path`, which is called `name` below the root ("" for the root, else with a slash).

    Hidden files, special files and links that lead nowhere are left out, and what `is_shown` says no to.
    Raises OSError.
    """
    with os.scandir(path) as found:
        described = map(_entry, islice(found, MAX_ENTRIES + 1))
        entries = [entry for entry in described if entry is not None and is_shown(entry)]
    is_cut = len(entries) > MAX_ENTRIES
    entries = sorted(entries[:MAX_ENTRIES], key=lambda entry: (not entry.is_directory, entry.name))
    parent = _ROW.format(link="../", name="../", size="", modified="") if name else ""
    page = _PAGE.format(
        title="Index of /" + html.escape(_shown(name)),
        rows=parent + "".join(map(_row, entries)),
        note=f"<p>Only {MAX_ENTRIES} entries are shown.</p>\n" if is_cut else "",
    )
    return Listing(page.encode())


def _entry(item: os.DirEntry[bytes]) -> Entry | None:
    if item.name.startswith(b"."):
        return None
    try:
        status = item.stat()
        is_link = item.is_symlink()
    except OSError:
        return None
    is_directory = S_ISDIR(status.st_mode)
    if not is_directory and not S_ISREG(status.st_mode):
        return None
    return Entry(item.name, is_directory, is_link, status.st_size, status.st_mtime)


def _row(entry: Entry) -> str:
    mark = "/" if entry.is_directory else ""
    return _ROW.format(
        link="./" + html.escape(quoted(entry.name)) + mark,  # `./`, or a colon in a name would make it a scheme
        name=html.escape(_shown(entry.name)) + mark,
        size="" if entry.is_directory else f"{entry.size:,}",
        modified=_time(entry.modified_s),
    )


def _time(modified_s: float) -> str:
    try:
        return f"{datetime.fromtimestamp(modified_s, UTC):%Y-%m-%d %H:%M}"
    except (ValueError, OverflowError, OSError):  # no year that a calendar has
        return ""


def _shown(name: bytes) -> str:
    """A name as text; what is not UTF-8 in it as U+FFFD."""
    return name.decode(errors="replace")
