"""The child's side: whom it follows, and that it never outlives its parent."""

from __future__ import annotations

import socket
import subprocess
import sys

import anyio
import pytest

import wsproxy
from tests.integration.harness import in_loop
from wsproxy.net.shared_memory import SharedMemory
from wsproxy.net.turns import AcceptTurns
from wsproxy.supervisor.channel import Channel, RefusedError
from wsproxy.supervisor.dataplane_process import DataPlaneProcess

HANGING = """
import sys, threading
from wsproxy.supervisor import dataplane_process
dataplane_process.ORPHAN_S = dataplane_process.LAST_WORDS_S = 0.05
threading.Thread(target=dataplane_process._outlive_no_parent, args=(int(sys.argv[1]),), daemon=True).start()
print("hangs", flush=True)
while True:
    pass
"""


def test_one_that_hangs_does_not_outlive_its_parent() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        command = [sys.executable, "-c", HANGING, str(theirs.fileno())]
        process = subprocess.Popen(command, pass_fds=(theirs.fileno(),), stdout=subprocess.PIPE)
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"hangs\n"
        assert process.poll() is None
        ours.close()
        assert process.wait(timeout=20) == 1


@in_loop
async def test_what_it_cannot_do_it_refuses() -> None:
    ours, theirs = socket.socketpair()
    asking, answering = Channel(ours), Channel(theirs)
    turns = AcceptTurns(1)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(DataPlaneProcess(answering, turns.descriptor, SharedMemory().descriptor, tasks).run)
        with pytest.raises(RefusedError, match=r"it would run version .*: upgrade the whole proxy \(SIGUSR2\)"):
            await asking.ask("start", {"version": "0"})
        for kind in ("figures", "commit", "prepare"):
            with pytest.raises(RefusedError, match=r"it has not been started|nothing was prepared"):
                await asking.ask(kind)
        assert wsproxy.__version__ != "0"
        asking.close()  # the parent is gone: it ends by itself
    answering.close()


@in_loop
async def test_a_mistake_in_the_file_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = socket.socketpair()
    asking, answering = Channel(ours), Channel(theirs)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(DataPlaneProcess(answering, AcceptTurns(1).descriptor, SharedMemory().descriptor, tasks).run)
        body = {"version": wsproxy.__version__, "source": ["[frontend]", "a.ini", "/"], "index": 0, "count": 1}
        with pytest.raises(RefusedError, match=r"a\.ini:1:1: \[frontend\] needs 'port'"):
            await asking.ask("start", body | {"secret": "00", "listeners": [], "states": [], "places": []})
        asking.close()
    answering.close()
