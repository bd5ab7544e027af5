"""Servers from a JSON file that others write: looked at by its state, read when that has changed.

    {"servers": ["10.0.0.1:8080", {"addr": "10.0.0.2:8080", "name": "b", "weight": 2, "backup": true}]}

A file that is replaced (written beside and renamed) is never read half-written; one that cannot be read, or says what
cannot be, leaves everything as it was.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import anyio

from wsproxy.config.addresses import UPSTREAM
from wsproxy.config.values import SERVER_NAME
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
    """Tell `sink` at each look what the file says, until cancelled; it is read anew when it has changed."""
    read = Read(path)
    while True:
        try:
            await sink.found(read.servers())
        except OSError as error:
            sink.not_found(f"{path}: {error.strerror}")
        except FileError as error:
            sink.not_found(str(error))
        await anyio.sleep(min(interval_s, LOOK_EVERY_S))


class Read:
    """What a file said when it was read last, servers or a mistake."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._state: tuple[int, ...] | None = None
        self._said: list[Found] | FileError = []

    def servers(self) -> list[Found]:
        """The servers in it now. Raises OSError, FileError."""
        looked = os.stat(self._path)
        state = (looked.st_mtime_ns, looked.st_ino, looked.st_dev, looked.st_size)
        if state != self._state:
            self._said = self._judged()
            self._state = state
        if isinstance(self._said, FileError):
            raise self._said
        return self._said

    def _judged(self) -> list[Found] | FileError:
        try:
            return read_file(self._path)
        except FileError as error:
            return error


def read_file(path: str) -> list[Found]:
    """The servers in a file. Raises OSError, FileError."""
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise FileError(f"{path}: not a file")  # opening a pipe would wait for whoever writes to it
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
    except ValueError:  # int() takes no more than 4,300 digits
        raise FileError(f"{path}: a number is too long") from None
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
    weight, name = given.get("weight", 1), given.get("name", "")
    if type(weight) is not int or not 0 <= weight <= _HIGHEST_WEIGHT:
        raise FileError(f"{where}: weight is not a whole number (0 to {_HIGHEST_WEIGHT})")
    if not isinstance(name, str) or not all(isinstance(given.get(key, True), bool) for key in ("backup", "enabled")):
        raise FileError(f"{where}: name is a text, backup and enabled are true or false")
    try:
        UPSTREAM.parse(given["addr"])
        if name:
            SERVER_NAME.parse(name)
    except ValueError as error:
        raise FileError(f"{where}: {error}") from None
    return Found(given["addr"], name, weight, given.get("backup", False), given.get("enabled", True))
