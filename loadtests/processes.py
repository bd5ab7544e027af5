"""What a second process gains: requests a second of one process and of two, each with the same slice of a core.

    python -m loadtests.processes                    wsproxy, and nginx with one worker and with two
    python -m loadtests.processes --share 0.4        slices of another size

Load and origin want cores too, so on a machine of two cores two processes can never have a core each for themselves.
Here every process of a proxy gets half a core and no more (see `slices`), and load and origin have what is left, which
is enough for them: so requests a second count what the proxy can do. What runs beside it hardly matters: if two do
twice as much as one for the same CPU time a request, they do so with whole cores. `pinned` keeps each process to one
core. Rounds alternate; a figure is the median. Linux, as root.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from time import perf_counter, sleep
from typing import Any

from loadtests.measure import (
    FORK_SERVER,
    cpu_seconds,
    describe_commit,
    describe_machine,
    process_name,
    process_tree,
)
from loadtests.peers import ORIGIN, PEERS, ROOT, Running, running
from loadtests.slices import SliceError, sliced

CONNECTIONS = 64
ROWS = {
    "HTTP 70 B": ["loadtests.http_load", "--target", "/70", "--size", "70"],
    "HTTP 16 KiB": ["loadtests.http_load", "--target", "/16k", "--size", str(16 * 1024)],
    "WebSocket 128 B echo": ["loadtests.ws_load", "echo", "--size", "128"],
}
START_LIMIT_S = 10.0  # a proxy may answer before the last of its processes is there
POLL_S = 0.02
SETTLE_S = 0.3  # between two looks at whether a process still starts,
IDLE_S = 0.003  # which it does if it has worked longer than that


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to run a proxy: a peer, how many of its processes carry traffic, and whether each keeps to a core."""

    title: str
    peer: str
    processes: int
    pinned: bool = False


@dataclass(frozen=True, slots=True)
class Sample:
    """One window: requests a second, microseconds of the proxy's CPU for each, and how many failed."""

    rate: float
    cpu_us: float
    failed: int


VARIANTS = (
    Variant("wsproxy, 1 process", "wsproxy", 1),
    Variant("wsproxy, 2 processes", "wsproxy-2p", 2),
    Variant("wsproxy, 2 processes, pinned", "wsproxy-2p", 2, pinned=True),
    Variant("wsproxy, pools of 64, 1 process", "wsproxy-64", 1),
    Variant("wsproxy, pools of 128, 2 processes", "wsproxy-64-2p", 2),
    Variant("nginx, 1 worker", "nginx", 1),
    Variant("nginx, 2 workers", "nginx-2p", 2),
)
PAIRS = ((0, 1), (0, 2), (3, 4), (5, 6))  # what is compared with what: indexes of VARIANTS


def serving(root: int, count: int) -> tuple[list[int], list[int]]:
    """Who carries traffic, and who else there is, once there are `count` of the former.

    nginx starts its workers before what tends its cache, so they come first. Raises RuntimeError if that takes longer
    than START_LIMIT_S.
    """
    deadline = perf_counter() + START_LIMIT_S
    while perf_counter() < deadline:
        below = process_tree(root)[1:]
        if count == 1 and not below:
            return [root], []
        carrying = [pid for pid in below if process_name(pid) != FORK_SERVER]
        if len(carrying) >= count:
            return carrying[:count], [root, *(pid for pid in below if pid not in carrying[:count])]
        sleep(POLL_S)
    raise RuntimeError(f"{root} has {len(process_tree(root)) - 1} processes below it, and not {count}")


def settle(pids: Sequence[int]) -> None:
    """Wait until processes have come up, which is work: one that still does accepts none of the load's connections."""
    before = -1.0
    while (spent_s := cpu_seconds(pids)) > before + IDLE_S:
        before = spent_s
        sleep(SETTLE_S)


@contextlib.contextmanager
def bounded(peer: Running, variant: Variant, share: float) -> Iterator[None]:
    """Inside the block each process of the proxy has its slice; who carries no traffic is in the slice of the first."""
    workers, others = serving(peer.pid, variant.processes)
    settle(workers)
    if variant.pinned:
        for index, pid in enumerate(workers):
            os.sched_setaffinity(pid, {sorted(os.sched_getaffinity(0))[index]})
    with sliced([[workers[0], *others], *([pid] for pid in workers[1:])], share):
        yield


def measure(variant: Variant, row: str, origin: int, share: float, seconds: float) -> Sample:
    """One window of one row. Raises RuntimeError if the load cannot run."""
    with running(PEERS[variant.peer], None, origin) as peer, bounded(peer, variant, share):
        where = ["--port", str(peer.port), "--watch-pid", str(peer.pid)]
        window = ["--connections", str(CONNECTIONS), "--seconds", str(seconds)]
        command = [sys.executable, "-m", *ROWS[row], *where, *window]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(done.stderr.strip()[-1000:])
        report: dict[str, Any] = json.loads(done.stdout)
        return sample_of(report)


def sample_of(report: dict[str, Any]) -> Sample:
    """From what a load prints (`closed_loop.LoadReport`)."""
    count = report["completed"]
    return Sample(count / report["seconds"], report["cpu_s"] / count * 1e6, report["failed"])


def middle(samples: Sequence[Sample]) -> Sample:
    """The medians; failures are added up."""
    rate, cpu_us = (median(getattr(each, name) for each in samples) for name in ("rate", "cpu_us"))
    return Sample(rate, cpu_us, sum(each.failed for each in samples))


def table(row: str, found: dict[str, Sample]) -> list[str]:
    """The lines of one row: each variant, and what the second process gained."""
    lines = [f"{row}:"]
    for title, sample in found.items():
        failed = f", {sample.failed} failed" if sample.failed else ""
        lines.append(f"    {title:<36}{sample.rate:>8,.0f} a second{sample.cpu_us:>8.1f} us of CPU{failed}")
    for one, two in PAIRS:
        first, second = (found.get(VARIANTS[index].title) for index in (one, two))
        if first is not None and second is not None:
            gain, cost = second.rate / first.rate, second.cpu_us / first.cpu_us
            title = f"{VARIANTS[two].title} / {VARIANTS[one].processes}"
            lines.append(f"    {title:<41}{gain:.2f} x the requests, each for {cost:.2f} x the CPU")
    return lines


def compare(rounds: int, seconds: float, share: float, rows: Sequence[str]) -> dict[str, dict[str, list[Sample]]]:
    """All samples: row -> variant -> one a round. Raises SliceError where slices cannot be had."""
    samples: dict[str, dict[str, list[Sample]]] = defaultdict(lambda: defaultdict(list))
    variants = [each for each in VARIANTS if PEERS[each.peer].is_installed()]
    with running(ORIGIN, None) as origin:
        for index in range(rounds):
            for row in rows:
                for variant in variants:
                    sample = measure(variant, row, origin.port, share, seconds)
                    samples[row][variant.title].append(sample)
                    shown = f"{sample.rate:,.0f} a second, {sample.cpu_us:.1f} us"
                    print(f"round {index + 1}/{rounds}  {row}  {variant.title}: {shown}", file=sys.stderr, flush=True)
    return samples


def main() -> int:
    """Read the command line and run; 1 where the machine gives no slices."""
    about = (__doc__ or "").partition("\n")[0]
    parser = argparse.ArgumentParser(prog="python -m loadtests.processes", description=about)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each window")
    parser.add_argument("--share", type=float, default=0.5, help="of a core, for each process of a proxy")
    parser.add_argument("--rows", nargs="+", choices=list(ROWS), default=list(ROWS))
    parser.add_argument("--output", type=Path, help="JSON file")
    options = parser.parse_args()
    try:
        samples = compare(options.rounds, options.seconds, options.share, options.rows)
    except SliceError as error:
        print(error, file=sys.stderr)
        return 1
    run = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": describe_commit(ROOT),
        "command": " ".join(["python", "-m", "loadtests.processes", *sys.argv[1:]]),
        **describe_machine(),
        "slices": f"{options.share:g} of a core for each process",
    }
    print("\n".join(f"{name}: {text}" for name, text in run.items()))
    for row, of_variants in samples.items():
        print("\n".join(table(row, {title: middle(each) for title, each in of_variants.items()})))
    if options.output is not None:
        kept = {
            row: {title: [asdict(sample) for sample in each] for title, each in of_variants.items()}
            for row, of_variants in samples.items()
        }
        options.output.write_text(json.dumps({"run": run, "samples": kept}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
