"""Lines of output, and one life of real processes: how they end, what they leave, what they say."""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress

import anyio
import pytest

from tests.integration.harness import eventually
from wsproxy.managed.process import LINE_BYTES, OutputLines, ServerProcess

GRACE_S = 20.0  # ample for a busy machine; no test waits for it to pass


class TestOutputLines:
    @pytest.mark.parametrize("size", [1, 2, 3, 100])
    def test_lines_in_any_pieces(self, size: int) -> None:
        data = "one\r\n\nthree äö\nrest".encode()
        lines = OutputLines()
        found = [line for at in range(0, len(data), size) for line in lines.feed(data[at : at + size])]
        assert found == ["one", "", "three äö"]
        assert lines.end() == ["rest"]
        assert lines.end() == []

    def test_undecodable_bytes_are_replaced(self) -> None:
        assert OutputLines().feed(b"a\xff\n") == ["a\N{REPLACEMENT CHARACTER}"]

    @pytest.mark.parametrize("size", [1000, 1_000_000])
    def test_a_long_line_is_cut_and_its_rest_dropped(self, size: int) -> None:
        data = b"x" * 50_000 + b"\nnext\n"
        lines = OutputLines()
        found = [line for at in range(0, len(data), size) for line in lines.feed(data[at : at + size])]
        assert found == ["x" * LINE_BYTES + " (cut)", "next"]

    def test_a_long_line_without_an_end(self) -> None:
        lines = OutputLines()
        assert lines.feed(b"x" * 50_000) == ["x" * LINE_BYTES + " (cut)"]
        assert lines.feed(b"x" * 50_000) == []
        assert lines.end() == []


async def start(script: str, *arguments: str) -> ServerProcess:
    return await ServerProcess.start("web-1", (sys.executable, "-c", script, *arguments), dict(os.environ), None)


def run(main: Callable[[], Awaitable[None]], caplog: pytest.LogCaptureFixture) -> list[str]:
    """Run a test on the loop the proxy uses; return what the managed servers' log says."""
    with caplog.at_level(logging.INFO, "wsproxy.managed"):
        anyio.run(main, backend_options={"use_uvloop": True})
    return [record.getMessage() for record in caplog.records]


async def until_said(caplog: pytest.LogCaptureFixture, process: ServerProcess, word: str) -> None:
    """Let the process run until it has said `word`."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(process.wait)
        await eventually(lambda: any(word in record.getMessage() for record in caplog.records))
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("script", "how"),
    [
        ("pass", "exit status 0"),
        ("raise SystemExit(3)", "exit status 3"),
        ("import os; os.kill(os.getpid(), 9)", "killed by SIGKILL"),
        ("import os; os.kill(os.getpid(), 40)", "killed by signal 40"),
    ],
)
def test_how_it_ends(caplog: pytest.LogCaptureFixture, script: str, how: str) -> None:
    async def main() -> None:
        process = await start(script)
        assert await process.wait() == how
        await process.stop(GRACE_S)

    assert run(main, caplog) == []


def test_what_it_says_goes_to_the_log_under_its_name(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        process = await start("import sys; print('out', flush=True); sys.stderr.write('err'); print(input())")
        assert await process.wait() == "exit status 1"  # its input is empty
        await process.stop(GRACE_S)

    said = run(main, caplog)
    assert said[0] == "web-1: out"
    assert said[1].startswith("web-1: err")
    assert said[-1] == "web-1: EOFError: EOF when reading a line"


@pytest.mark.parametrize(
    ("program", "directory", "line"),
    [
        ("no-such-program", None, "web-1: cannot start no-such-program: No such file or directory"),
        (sys.executable, "/no/such/directory", "web-1: cannot start in /no/such/directory: No such file or directory"),
    ],
)
def test_what_cannot_be_started_is_one_line(
    caplog: pytest.LogCaptureFixture, program: str, directory: str | None, line: str
) -> None:
    async def main() -> None:
        process = await ServerProcess.start("web-1", (program, "-h"), dict(os.environ), directory)
        assert await process.wait() == "exit status 127"
        await process.stop(GRACE_S)

    assert run(main, caplog) == [line]


def test_no_process_to_be_had_is_an_os_error() -> None:
    async def main() -> None:
        with pytest.raises(OSError, match="Argument list too long"):
            await start("pass", "x" * 10_000_000)

    anyio.run(main, backend_options={"use_uvloop": True})


def test_stop_lets_it_end_in_its_own_way_and_hears_its_last_words(caplog: pytest.LogCaptureFixture) -> None:
    script = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit('goodbye'))\n"
        "print('hello', flush=True); time.sleep(60)"
    )

    async def main() -> None:
        process = await start(script)
        await until_said(caplog, process, "hello")
        await process.stop(GRACE_S)

    assert run(main, caplog) == ["web-1: hello", "web-1: goodbye"]


def test_stop_kills_what_does_not_heed_term_and_all_it_has_started(caplog: pytest.LogCaptureFixture) -> None:
    script = (
        "import os, signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = os.fork()\n"
        "if child: print('child', child, flush=True)\n"
        "time.sleep(60)"
    )

    async def main() -> None:
        process = await start(script)
        await until_said(caplog, process, "child")
        await process.stop(0.05)
        with pytest.raises(ProcessLookupError):
            os.kill(process.pid, 0)
        child = int(caplog.records[0].getMessage().split()[-1])
        await eventually(lambda: not is_alive(child))

    said = run(main, caplog)
    assert re.fullmatch(r"web-1: child \d+", said[0])
    assert said[1:] == ["web-1 did not end within 0.05 s of SIGTERM: killed"]


def test_a_child_that_keeps_the_output_open_does_not_delay_the_end(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        process = await start("import os, time\nif not os.fork(): time.sleep(60)")
        with anyio.fail_after(GRACE_S):
            assert await process.wait() == "exit status 0"
        await process.stop(GRACE_S)
        await eventually(lambda: not is_group_alive(process.pid))

    assert run(main, caplog) == []


# The next three read /proc, because a signal 0 also reaches what is dead and not yet reaped.


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that init has not reaped yet does not."""
    return state_and_group(pid)[0] not in ("", "Z")


def is_group_alive(group: int) -> bool:
    found = [state_and_group(int(entry)) for entry in os.listdir("/proc") if entry.isdigit()]
    return any(state != "Z" and its_group == str(group) for state, its_group in found)


def state_and_group(pid: int) -> tuple[str, str]:
    with suppress(OSError), open(f"/proc/{pid}/stat") as stat:
        state, _parent, group = stat.read().rpartition(")")[2].split()[:3]
        return state, group
    return "", ""


def test_it_has_a_session_of_its_own_so_that_a_ctrl_c_reaches_the_proxy_alone() -> None:
    async def main() -> None:
        process = await start("import time; time.sleep(60)")
        assert os.getsid(process.pid) == process.pid != os.getsid(0)
        await process.stop(GRACE_S)

    anyio.run(main, backend_options={"use_uvloop": True})
