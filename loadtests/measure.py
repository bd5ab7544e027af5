"""What a process costs, read from /proc: CPU time, memory, and the machine it ran on.

Knows Linux only. The parsers are pure functions over the text of one /proc file, and so are tested without one.
"""

from __future__ import annotations

import contextlib
import os
import platform
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

PROC = Path("/proc")
NANOSECOND_S = 1e-9
FORK_SERVER = "wsproxy-fork"  # the name of the process of wsproxy that carries nothing


def parse_schedstat(text: str) -> float:
    """Seconds on a CPU, from `/proc/PID/task/TID/schedstat` (nanoseconds running, nanoseconds waiting, time slices)."""
    return int(text.split()[0]) * NANOSECOND_S


def parse_parent(text: str) -> int:
    """The parent's id, from `/proc/PID/stat`; the command may hold spaces and parentheses, so the last one counts."""
    return int(text.rpartition(")")[2].split()[1])


def parse_pss(text: str) -> int:
    """Proportional set size in bytes, from `/proc/PID/smaps_rollup`: shared pages are split among their users.

    Raises ValueError if the text has no `Pss:` line.
    """
    return _kilobytes("Pss", text)


def parse_anonymous(text: str) -> int:
    """The part of it that is of no file, in bytes, from the same. Raises ValueError if the text does not say."""
    return _kilobytes("Pss_Anon", text)


def _kilobytes(name: str, text: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB$", text, re.MULTILINE)
    if found is None:
        raise ValueError(f"no {name} line")
    return int(found[1]) * 1024


def parse_cpu_model(text: str) -> str:
    """The processor's name, from `/proc/cpuinfo`; "unknown" where the kernel does not give one."""
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return found[1].strip() if found else "unknown"


def percentile(ordered: Sequence[float], share: float) -> float:
    """The nearest-rank percentile of values in ascending order; `share` 0.5 is the median. 0.0 if there is none."""
    if not ordered:
        return 0.0
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def descendants(root: int, parents: dict[int, int]) -> list[int]:
    """`root` and all processes below it, given each process's parent; `root` comes first, children after parents."""
    found = [root]
    for pid in found:  # the list grows while it is walked: breadth first
        found.extend(child for child, parent in parents.items() if parent == pid)
    return found


def process_tree(root: int) -> list[int]:
    """The ids of `root` and of all processes it started, as they are now (nginx serves from a child of its master)."""
    parents: dict[int, int] = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = parse_parent((entry / "stat").read_text())
            except (FileNotFoundError, ProcessLookupError):
                continue  # it ended while we looked
    return descendants(root, parents)


def process_name(pid: int) -> str:
    """What `ps -o comm` calls a process; "" once it has ended."""
    with contextlib.suppress(OSError):
        return (PROC / str(pid) / "comm").read_text().strip()
    return ""


def session_members(leader: int) -> list[int]:
    """The ids of the processes in the session that `leader` started, whoever their parent is by now."""
    members = []
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(ProcessLookupError):
                if os.getsid(int(entry.name)) == leader:
                    members.append(int(entry.name))
    return members


def cpu_seconds(pids: Sequence[int]) -> float:
    """CPU time of these processes, user and kernel, all threads.

    From schedstat, to the nanosecond: the ticks of /proc/PID/stat are 10 ms, one per cent of a one-second window.
    """
    return sum(parse_schedstat(path.read_text()) for pid in pids for path in PROC.glob(f"{pid}/task/*/schedstat"))


def pss_bytes(pids: Sequence[int]) -> int:
    """Memory of these processes together, each shared page counted once."""
    return sum(parse_pss((PROC / str(pid) / "smaps_rollup").read_text()) for pid in pids)


def anonymous_bytes(pids: Sequence[int]) -> int:
    """Memory of these processes together that is of no file, what they share counted once: what they have made."""
    return sum(parse_anonymous((PROC / str(pid) / "smaps_rollup").read_text()) for pid in pids)


def describe_machine() -> dict[str, str]:
    """What a reader needs in order to judge a figure: processor, cores, kernel, Python."""
    return {
        "cpu": parse_cpu_model((PROC / "cpuinfo").read_text()),
        "cores": str(os.cpu_count()),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


def describe_commit(directory: Path) -> str:
    """The commit checked out in `directory`, with `-dirty` if files differ from it; "unknown" outside a repository."""
    command = ["git", "-C", str(directory), "describe", "--always", "--dirty", "--abbrev=10", "--exclude=*"]
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
