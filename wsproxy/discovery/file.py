"""Servers from a JSON file that others write: looked at by its state, read when that has changed.

    {"servers": ["10.0.0.1:8080", {"addr": "10.0.0.2:8080", "name": "b", "weight": 2, "backup": true}]}

A file that is replaced (written beside and renamed) is never read half-written; one that cannot be read, or says what
cannot be, leaves everything as it was.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import anyio

from wsproxy.config.addresses import UPSTREAM
from wsproxy.discovery.found import MOST_SERVERS, Found, FoundSink

LOOK_EVERY_S: Final = 1.0
"""How late a change is seen at most: one stat() a second."""

LARGEST_BYTES: Final = 1024 * 1024
"""A thousand servers with long names take a tenth of that."""

_KEYS: Final = {"addr", "name", "weight", "backup", "enabled"}
_HIGHEST_WEIGHT: Final = 1000


class FileError(Exception):
    """The file says what cannot be; str() has its place and the reason."""


async def watch_file(path: str, interval_s: float, sink: FoundSink) -> None:
    """Tell `sink` what the file says, now and whenever it changes, until cancelled."""
    seen: tuple[int, int, int] | None = None
    while True:
        try:
            looked = os.stat(path)
            state = (looked.st_mtime_ns, looked.st_ino, looked.st_size)
            if state != seen:
                seen = state
                await sink.found(read_file(path))
        except OSError as error:
            seen = None
            sink.not_found(f"{path}: {error.strerror}")
        except FileError as error:
            sink.not_found(str(error))
        await anyio.sleep(min(interval_s, LOOK_EVERY_S))


def read_file(path: str) -> list[Found]:
    """The servers in a file. Raises OSError, FileError."""
    with Path(path).open("rb") as file:
        data = file.read(LARGEST_BYTES + 1)
    if len(data) > LARGEST_BYTES:
        raise FileError(f"{path}: larger than {LARGEST_BYTES} bytes")
    try:
        content: Any = json.loads(data)
    except UnicodeDecodeError as error:
        raise FileError(f"{path}: not UTF-8 at byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise FileError(f"{path}:{error.lineno}:{error.colno}: {error.msg}") from None
    except RecursionError:
        raise FileError(f"{path}: nested too deeply") from None
    return list(_servers(content, path))


def _servers(content: Any, path: str) -> Iterator[Found]:
    entries = content.get("servers") if isinstance(content, dict) else content
    if not isinstance(entries, list):
        raise FileError(f'{path}: no list of servers (write {{"servers": ["host:port", …]}})')
    if len(entries) > MOST_SERVERS:
        raise FileError(f"{path}: {len(entries)} servers, {MOST_SERVERS} are the most")
    names: set[str] = set()
    for number, entry in enumerate(entries, 1):
        where = f"{path}: server {number}"
        found = _server(entry, where)
        name = found.name or found.address
        if name in names:
            raise FileError(f"{where}: '{name}' is there already")
        names.add(name)
        yield found


def _server(entry: Any, where: str) -> Found:
    given = {"addr": entry} if isinstance(entry, str) else entry
    if not isinstance(given, dict) or not isinstance(given.get("addr"), str):
        raise FileError(f"{where} has no address ('addr': 'host:port')")
    if unknown := sorted(given.keys() - _KEYS):
        raise FileError(f"{where}: unknown '{unknown[0]}' (there are {', '.join(sorted(_KEYS))})")
    try:
        UPSTREAM.parse(given["addr"])
    except ValueError as error:
        raise FileError(f"{where}: {error}") from None
    weight, name = given.get("weight", 1), given.get("name", "")
    if type(weight) is not int or not 0 <= weight <= _HIGHEST_WEIGHT:
        raise FileError(f"{where}: weight is not a whole number (0 to {_HIGHEST_WEIGHT})")
    if not isinstance(name, str) or not all(isinstance(given.get(key, True), bool) for key in ("backup", "enabled")):
        raise FileError(f"{where}: name is a text, backup and enabled are true or false")
    return Found(given["addr"], name, weight, given.get("backup", False), given.get("enabled", True))
