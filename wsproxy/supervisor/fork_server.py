"""The process that data planes are forked from: it has imported everything, and waits.

`python -m wsproxy.supervisor END TURNS COUNTS` is started by the parent, whose end of a socket brings the channel of
each process that is to be. A fork serves in a tenth of the time that an interpreter takes to start and import, and
shares with the others what none of them has changed. This process has one thread and no event loop, for only such a one
forks safely; it ends with its parent.
"""

from __future__ import annotations

import os
import select
import signal
import socket
from contextlib import suppress
from importlib import import_module
from typing import Final

from wsproxy.net.allocator import collect_seldom, keep_buffers_mapped
from wsproxy.net.descriptors import raise_descriptor_limit
from wsproxy.net.loop import has_uvloop
from wsproxy.supervisor import dataplane_process
from wsproxy.supervisor.fork_notice import FORKED, NOTICE
from wsproxy.supervisor.kernel import call_this_process, go_on_without_parent

FORK_NAME: Final = "wsproxy-fork"
"""What `ps` and `top` call this process."""


def serve(end: socket.socket) -> int | None:
    """Fork for each descriptor that comes, and say who has ended. In a child, its descriptor; None without parent."""
    woken, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)  # it writes to the pipe, which ends the wait
    ready = select.poll()
    for descriptor in (end.fileno(), woken):
        ready.register(descriptor, select.POLLIN)
    with suppress(OSError):  # the parent is gone
        while True:
            if end.fileno() in dict(ready.poll()):
                _, descriptors, _, _ = socket.recv_fds(end, 1, 1)
                if not descriptors:
                    return None
                if _fork(end, descriptors[0]):
                    signal.set_wakeup_fd(-1)
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    os.close(woken)
                    os.close(wake)
                    end.close()
                    return descriptors[0]
            else:
                with suppress(BlockingIOError):
                    os.read(woken, 4096)
            _say_who_ended(end)
    return None


def _fork(end: socket.socket, descriptor: int) -> bool:
    """True in the child."""
    try:
        pid = os.fork()
    except OSError as error:
        pid, said = -1, NOTICE.pack(0, error.errno or 0)
    else:
        said = NOTICE.pack(pid, FORKED)
    if pid == 0:
        return True
    os.close(descriptor)
    end.sendall(said)
    return False


def _say_who_ended(end: socket.socket) -> None:
    with suppress(ChildProcessError):  # there is none
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            end.sendall(NOTICE.pack(pid, os.waitstatus_to_exitcode(status)))


def import_the_rest() -> None:
    """What would else be imported only where an event loop starts: in each process anew, and as it is on disk then."""
    has_uvloop()
    with suppress(ImportError):  # anyio keeps it where it likes
        import_module("anyio._backends._asyncio")


def main(arguments: list[str]) -> int:
    """Run the fork server, and each process that it becomes; the arguments are descriptors, as above."""
    descriptor, turns, counts = map(int, arguments)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)  # a terminal or a service manager may tell every process: the parent acts
    for inherited in (descriptor, turns, counts):
        os.set_inheritable(inherited, False)
    call_this_process(FORK_NAME)
    go_on_without_parent()
    raise_descriptor_limit()
    keep_buffers_mapped()
    import_the_rest()
    collect_seldom()
    with socket.socket(fileno=descriptor) as end:
        channel = serve(end)
    return 0 if channel is None else dataplane_process.run(channel, turns, counts)
