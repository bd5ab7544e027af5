"""What the image runs: `container.py` becomes the proxy, `container.py --health` asks a running one for a sign of life.

Lives outside the package because only the image needs it. The file it runs is the first of `PLACES` that is there, so a
file mounted at either place runs; arguments, if any, go to the proxy as they are (`docker run wsproxy --help-config`).
"""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

PLACES = ("/prod/reverse-proxy-config.ini", "/etc/wsproxy/proxy.ini")
"""The original's mount point first: nothing is there unless it was mounted, while the image brings the other one."""

ANSWER_LIMIT_S = 2.0  # below the three seconds after which Docker gives the check up
QUESTION = b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\nMax-Forwards: 0\r\nConnection: close\r\n\r\n"
"""With Max-Forwards 0 it is meant for the proxy itself, not for what is behind it (RFC 9110 section 7.6.2)."""


def configuration() -> str:
    """The file to run."""
    return next((place for place in PLACES if Path(place).is_file()), PLACES[-1])


def is_alive(path: str) -> bool:
    """Whether the first frontend answers, with any status: a missing server is not the illness of the proxy."""
    from wsproxy.config.build import load  # here, because on the way to the proxy it would only be loaded twice

    frontend = load(Path(path).read_bytes(), path, os.environ, str(Path(path).parent)).frontends[0]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(frontend.host, frontend.host)
    try:
        with socket.create_connection((host, frontend.port), ANSWER_LIMIT_S) as connection:
            connection.settimeout(ANSWER_LIMIT_S)
            connection.sendall(QUESTION)
            return connection.recv(16).startswith(b"HTTP/1.1 ")
    except OSError:
        return False


def main() -> None:
    """Replace this process, so that signals reach the proxy and its exit code is the container's."""
    arguments = sys.argv[1:]
    if arguments == ["--health"]:
        sys.exit(0 if is_alive(configuration()) else 1)
    os.execv(sys.executable, [sys.executable, "-m", "wsproxy", *(arguments or [configuration()])])  # noqa: S606


if __name__ == "__main__":
    main()
