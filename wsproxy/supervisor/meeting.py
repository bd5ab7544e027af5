"""Where two proxies meet for a takeover: a unix socket that is for one user alone, and who is at its other end.

Knows paths, permissions and credentials; nothing of what is said there.
"""

from __future__ import annotations

import errno
import hashlib
import os
import socket
import stat
import struct
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

LONGEST_PATH: Final = 100
"""The system's limit is 108 bytes with the final zero, on some 104."""

_CREDENTIALS: Final = struct.Struct("3i")  # pid, uid and gid of the peer (SO_PEERCRED)


def usual_path(ini: str) -> str:
    """Where the proxy of an ini file waits for its successor, unless the file says otherwise.

    Below a directory that only its user may look into; raises OSError where there can be none.
    """
    name = hashlib.sha256(os.fsencode(os.path.realpath(ini))).hexdigest()[:16] + ".takeover"
    given = os.environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    directory = Path(given) if given else Path(tempfile.gettempdir()) / f"wsproxy-{os.getuid()}"
    if len(os.fsencode(str(directory / name))) > LONGEST_PATH:
        directory = Path("/tmp") / f"wsproxy-{os.getuid()}"  # noqa: S108 - its mode and owner are looked at
    with suppress(FileExistsError):
        directory.mkdir(mode=0o700)
    found = directory.lstat()
    is_private = given or not found.st_mode & (stat.S_IRWXG | stat.S_IRWXO)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or not is_private:
        raise PermissionError(f"{directory} is not a directory for us alone")
    return str(directory / name)


def wait_at(path: str) -> socket.socket:
    """A unix socket for our user alone, in the place of one that is there. Raises OSError, for another file too."""
    with suppress(FileNotFoundError):
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise FileExistsError(errno.EEXIST, "a file is there that is no socket")
    beside = f"{path}.{os.getpid()}"
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listening.setblocking(False)
        before = os.umask(0o177)
        try:
            listening.bind(beside)
        finally:
            os.umask(before)
        listening.listen(1)
        os.rename(beside, path)
    except OSError:
        listening.close()
        with suppress(OSError):
            os.unlink(beside)
        raise
    return listening


def peer_of(end: socket.socket) -> tuple[int, int]:
    """The process at the other end of a unix socket, and its user."""
    pid, user, _ = _CREDENTIALS.unpack(end.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    return pid, user


def is_trusted(user: int) -> bool:
    """Whether a process of this user may give and get listeners: of ours, or of the administrator."""
    return user in (os.getuid(), 0)
