"""The files below one directory: finds and opens what a name means, and nothing that lies or leads outside.

Knows the file system; every method may block. A file is judged by what was really opened and not by its name, so that
nobody can exchange one for the other in between: the kernel tells where the descriptor leads, behind all links.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from stat import S_ISDIR, S_ISREG
from typing import Final

from wsproxy.config.content_settings import StaticSettings
from wsproxy.static.listing import Entry, Listing, list_directory

SUFFIXES: Final = {"br": b".br", "zstd": b".zst", "gzip": b".gz"}
"""What stands behind the name of a file that has been compressed beforehand."""

SMALL_BYTES: Final = 64 * 1024
"""Files up to here are read with one look and sent with one write; above it memory and copies begin to count."""

# No waiting for a FIFO's writer, no terminal taken over, nothing left open in children.
_FLAGS: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_MISSING: Final = frozenset(
    {errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL, errno.ENXIO, errno.ENODEV}
)
_NO_DESCRIPTORS: Final = frozenset({errno.EMFILE, errno.ENFILE})


class NotServedError(Exception):
    """There is nothing that may be shown; `status` is the answer, str() the reason for the log, maybe ""."""

    def __init__(self, status: int, reason: str = "") -> None:
        super().__init__(reason)
        self.status = status


@dataclass(slots=True)
class OpenFile:
    """A regular file that is open for reading until `close`.

    path: what was opened. name: below the directory, without the suffix of its coding. status: when it was opened.
    codings: those in which it is there as well. coding: the one of this descriptor, "" for the file itself.
    data: its bytes, where they were read at once.
    """

    fd: int
    path: bytes
    name: bytes
    status: os.stat_result = field(repr=False)
    codings: tuple[str, ...] = ()
    coding: str = ""
    data: bytes | None = field(default=None, repr=False)

    @property
    def size(self) -> int:
        """Bytes, when it was opened."""
        return self.status.st_size

    def read_whole(self) -> None:
        """Have a small file's bytes at hand; without them, when they cannot be read, whoever sends them meets that."""
        with suppress(OSError):
            self.data = os.pread(self.fd, self.size, 0)

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self.fd)


@dataclass(frozen=True, slots=True)
class Redirect:
    """A directory that was asked for without the slash at its end."""


Found = OpenFile | Listing | Redirect
Choose = Callable[[Sequence[str]], str]
"""Picks one of the codings that there are, or "" for none."""


class FileTree:
    """The files below the directory of `settings`."""

    def __init__(self, settings: StaticSettings) -> None:
        self._settings = settings
        self._root = os.path.join(os.fsencode(settings.directory), b"")
        self._inside = b""  # where the directory really is, with a slash behind it

    def find(self, name: bytes, is_directory: bool, choose: Choose) -> Found:
        """What a name below the directory means; `is_directory`: it was written with a slash at its end.

        Raises NotServedError.
        """
        try:
            return self._look(name, is_directory, choose)
        except NotServedError as error:
            fallback = self._settings.fallback
            if fallback is None or error.status not in (403, 404):
                raise
            return self._file(os.fsencode(fallback).lstrip(b"/"), choose)

    def _look(self, name: bytes, is_directory: bool, choose: Choose) -> Found:
        if not is_directory:
            found = self._open(name)
            return found if isinstance(found, Redirect) else self._coded(found, choose)
        for index in self._settings.index:
            try:
                return self._file(name + os.fsencode(index), choose)
            except NotServedError as error:
                if error.status != 404:
                    raise
        found = self._open(name.rstrip(b"/"))
        if isinstance(found, OpenFile):  # no name of a file ends with a slash
            found.close()
            raise NotServedError(404)
        if not self._settings.listing:
            raise NotServedError(403)
        return self._listing(name)

    def _listing(self, name: bytes) -> Listing:
        def is_shown(entry: Entry) -> bool:
            return not entry.is_link or self._is_inside(os.path.realpath(self._path(name + entry.name)))

        try:
            return list_directory(self._path(name), name, is_shown)
        except OSError as error:
            raise _not_served(error) from None

    def _file(self, name: bytes, choose: Choose) -> OpenFile:
        found = self._open(name)
        if isinstance(found, Redirect):
            raise NotServedError(404)
        return self._coded(found, choose)

    def _coded(self, plain: OpenFile, choose: Choose) -> OpenFile:
        """The file itself, or the compressed one that the client prefers."""
        codings = tuple(coding for coding in self._settings.precompressed if self._has(plain.name + SUFFIXES[coding]))
        plain.codings = codings
        if not codings or not (coding := choose(codings)):
            return plain
        try:
            coded = self._open(plain.name + SUFFIXES[coding])
        except NotServedError:  # gone since, or not ours to show
            return plain
        if isinstance(coded, Redirect):
            return plain
        plain.close()
        coded.name, coded.codings, coded.coding = plain.name, codings, coding
        return coded

    def _has(self, name: bytes) -> bool:
        try:
            return S_ISREG(os.stat(self._path(name)).st_mode)
        except OSError:
            return False

    def _open(self, name: bytes) -> OpenFile | Redirect:
        """The regular file of this name, or that it is a directory. Raises NotServedError."""
        path = self._path(name)
        try:
            fd = os.open(path, _FLAGS)
        except OSError as error:
            raise _not_served(error) from None
        found: OpenFile | None = None
        try:
            status = os.fstat(fd)
            if not self._is_inside(_real_path(fd, path)):
                raise NotServedError(404, "it leads out of the directory")
            if S_ISDIR(status.st_mode):
                return Redirect()
            if not S_ISREG(status.st_mode):
                raise NotServedError(404, "it is no regular file")
            found = OpenFile(fd, path, name, status)
            return found
        except OSError as error:
            raise _not_served(error) from None
        finally:
            if found is None:
                os.close(fd)

    def _path(self, name: bytes) -> bytes:
        return self._root + name

    def _is_inside(self, real: bytes) -> bool:
        """Asked anew where the answer would be no: the directory may be a link that leads elsewhere since."""
        if self._inside and (real + b"/").startswith(self._inside):
            return True
        self._inside = os.path.join(os.path.realpath(self._root), b"")
        return (real + b"/").startswith(self._inside)


def _real_path(fd: int, path: bytes) -> bytes:
    """Where an open descriptor leads."""
    try:
        return os.readlink(b"/proc/self/fd/%d" % fd)
    except FileNotFoundError:  # not Linux
        return os.path.realpath(path)


def _not_served(error: OSError) -> NotServedError:
    reason = (error.strerror or str(error)).lower()
    if error.errno in _MISSING:
        return NotServedError(404)
    if error.errno in (errno.EACCES, errno.EPERM):
        return NotServedError(403, reason)
    return NotServedError(503 if error.errno in _NO_DESCRIPTORS else 500, reason)
