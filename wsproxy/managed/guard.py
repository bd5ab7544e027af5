"""Becomes a managed server, after asking the kernel to end it when the proxy is gone, even by SIGKILL.

Run by its path, before the server's own program, as `python guard.py PROXY_PID DIRECTORY COMMAND...`: what a
`preexec_fn` would do, without running Python between fork and exec of a process that has threads. Standard library
only, and no wsproxy: it may run where the package cannot be imported. SIGTERM rather than SIGKILL, so that a server can
end its own workers.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # <linux/prctl.h>; it survives an exec
NOT_STARTED = 127  # what a shell answers for a command it cannot run


def main(proxy_pid: int, directory: str, command: list[str]) -> None:
    """Tie this process to its parent, then become the command, in `directory`."""
    if sys.platform == "linux":  # elsewhere a server may outlive a proxy that was killed
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != proxy_pid:  # it was gone before we had asked
            sys.exit(NOT_STARTED)
    try:
        os.chdir(directory)
    except OSError as error:
        _give_up(f"cannot start in {directory}", error)
    try:
        os.execvp(command[0], command)  # noqa: S606  # the command is the configuration's, argument by argument
    except OSError as error:
        _give_up(f"cannot start {command[0]}", error)


def _give_up(what: str, error: OSError) -> None:
    sys.stderr.write(f"{what}: {error.strerror}\n")
    sys.exit(NOT_STARTED)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3:])
