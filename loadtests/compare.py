"""wsproxy beside nginx, HAProxy and a plain aiohttp proxy, on the same work, one after the other, on the same core.

    python -m loadtests.compare --quick        about a minute: what the goals are judged by
    python -m loadtests.compare --markdown     everything, about eight minutes

Each round starts every peer afresh, then gives each row to one peer after the other (A B C D, A B C D, ...), so that a
slower minute of the machine hits all alike; a figure is the median over the rounds. The proxy has one core for itself,
load and origin share another. What is compared is the CPU time a proxy spends per request: unlike requests a second,
it does not depend on how fast load and origin are, and it holds on a busy machine.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

from loadtests.measure import describe_commit, describe_machine
from loadtests.peers import ORIGIN, PEERS, ROOT, Cores, PeerError, Running, pinned, running
from loadtests.results import (
    ROW_BY_NAME,
    ROWS,
    VARIANT_ROWS,
    Row,
    Sample,
    Samples,
    Verdict,
    as_markdown,
    as_text,
    goals_table,
    judge,
    results_table,
)

QUICK_ROWS = ("http-70-64", "https-70-64", "http-1m-64", "http-70-512", "ws-128", "ws-16k", "ws-idle", "startup")
QUICK_PEERS = ("wsproxy", "nginx", "haproxy", "aiohttp")
HTTP_ONLY = ("aiohttp",)  # no TLS, no relay of bytes, one server
BALANCED_ROWS = ("policy-70-64",)
CACHE_ROWS = ("cache-hit-70", "cache-hit-16k")
FILE_ROWS = ("static-16k", "static-1m")
FILE_SERVERS = ("wsproxy", "nginx")
WARM_UP_S = 0.5  # besides the first answer on every connection, which the load always waits for
LOAD_LIMIT_S = 120.0  # for one load process, far above any window: a hang must not last the night
KIB = 1024


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run."""

    peers: tuple[str, ...]
    rows: tuple[Row, ...]
    seconds: float
    rounds: int
    idle_connections: int

    def rows_of(self, peer: str) -> list[Row]:
        """What this peer gets of it."""
        wanted = VARIANT_ROWS.get(peer)
        rows = [row for row in self.rows if wanted is None or row.name in wanted]
        if peer in HTTP_ONLY:
            rows = [row for row in rows if not (row.tls or row.layer4 or row.name in BALANCED_ROWS + CACHE_ROWS)]
        return [row for row in rows if row.name not in FILE_ROWS or peer in FILE_SERVERS]


class Comparison:
    """Runs a plan; `samples` holds whatever was measured so far, also after an error or Ctrl-C.

    A peer that breaks down under one load is a finding, not the end: `breakdowns` counts them, and the run goes on.
    """

    def __init__(self, plan: Plan, cores: Cores) -> None:
        self._plan = plan
        self._cores = cores
        self.samples = Samples()
        self.breakdowns = 0

    def run(self) -> None:
        """All rounds. Raises PeerError if a peer does not start."""
        with running(ORIGIN, self._cores.load) as origin:
            for index in range(self._plan.rounds):
                self._round(index, origin.port)

    def _round(self, index: int, origin_port: int) -> None:
        with contextlib.ExitStack() as stack:
            alive: dict[str, Running] = {}
            for name in self._plan.peers:
                alive[name] = stack.enter_context(running(PEERS[name], self._cores.proxy, origin_port))
            for row in self._plan.rows:
                for name in self._plan.peers:
                    if row in self._plan.rows_of(name):
                        shown = self._measure(row, name, alive[name], origin_port)
                        progress(f"round {index + 1}/{self._plan.rounds}  {row.name:<13}{name:<11}{shown}")

    def _measure(self, row: Row, name: str, peer: Running, origin_port: int) -> str:
        """Take one sample and say what it is."""
        try:
            sample = self._sample(row, name, peer, origin_port)
        except (LoadError, subprocess.TimeoutExpired) as error:
            self.breakdowns += 1
            return f"BROKE DOWN: {error}"
        self.samples.add(row.name, name, sample)
        return "  ".join(f"{key} {value:,.1f}" for key, value in sample.items())

    def _sample(self, row: Row, name: str, peer: Running, origin_port: int) -> Sample:
        if row.kind == "startup":
            return {"start_up_ms": peer.start_up_s * 1e3}
        if row.kind == "idle":  # memory that an earlier load left behind would be used again: a fresh process
            with running(PEERS[name], self._cores.proxy, origin_port) as fresh:
                return idle_sample(self._load(idle_command(fresh, self._plan.idle_connections)))
        return load_sample(row, self._load(load_command(row, peer, self._plan.seconds)))

    def _load(self, arguments: Sequence[str]) -> dict[str, Any]:
        """Run a load module and read the JSON it prints."""
        process = subprocess.run(
            [sys.executable, "-m", *arguments],
            cwd=ROOT,
            preexec_fn=pinned(self._cores.load),
            capture_output=True,
            text=True,
            timeout=LOAD_LIMIT_S,
            check=False,
        )
        if process.returncode:
            raise LoadError(f"{' '.join(arguments)}: {process.stderr.strip()[-1000:]}")
        report: dict[str, Any] = json.loads(process.stdout)
        if report.get("failures"):
            progress(f"failures: {report['failures']}")
        return report


class LoadError(Exception):
    """A load that could not run to its end: the proxy refuses connections or handshakes, or answers nothing."""


def load_command(row: Row, peer: Running, seconds: float) -> list[str]:
    """The load module and its arguments, for an http or echo row."""
    module = {"http": ["loadtests.http_load", "--target", row.target], "echo": ["loadtests.ws_load", "echo"]}[row.kind]
    port = peer.tls_port if row.tls else peer.tcp_port if row.layer4 else peer.port
    peer_options = ["--port", str(port), "--watch-pid", str(peer.pid)]
    if row.tls:
        peer_options.append("--tls")
    window = ["--connections", str(row.connections), "--seconds", str(seconds), "--warm-up", str(WARM_UP_S)]
    return [*module, *peer_options, *window, "--size", str(row.size)]


def idle_command(peer: Running, connections: int) -> list[str]:
    """The same for idle WebSockets."""
    target = ["--port", str(peer.port), "--watch-pid", str(peer.pid)]
    return ["loadtests.ws_load", "idle", *target, "--connections", str(connections)]


def load_sample(row: Row, report: Mapping[str, Any]) -> Sample:
    """Figures from a load report (`closed_loop.LoadReport`); raises LoadError if nothing was completed in the window.

    An echo is two messages to the proxy: one there, one back. Its latency is the round trip.
    """
    if not report["completed"]:
        raise LoadError(f"nothing completed in the window; {report['failures']}")
    completed = report["completed"] * (2 if row.kind == "echo" else 1)
    return {
        "cpu_us": report["cpu_s"] / completed * 1e6,
        "rate": completed / report["seconds"],
        "p50_us": report["p50_us"],
        "p99_us": report["p99_us"],
        "failed": report["failed"],
    }


def idle_sample(report: Mapping[str, Any]) -> Sample:
    """Figures from what `ws_load idle` prints."""
    return {"kib": (report["after_bytes"] - report["before_bytes"]) / KIB / report["connections"]}


def progress(line: str) -> None:
    """Say how far we are, apart from the results on stdout."""
    print(line, file=sys.stderr, flush=True)


def choose_peers(wanted: Sequence[str]) -> tuple[str, ...]:
    """Those of the wanted peers that are installed; says which are not."""
    for name in wanted:
        if not PEERS[name].is_installed():
            progress(f"{name} is not installed: left out (apt-get install {name})")
    return tuple(name for name in wanted if PEERS[name].is_installed())


def a_name_of(known: Sequence[str]) -> Any:
    """An argparse type: a comma-separated list of known names."""

    def names(text: str) -> tuple[str, ...]:
        found = tuple(text.split(","))
        for name in found:
            if name not in known:
                raise argparse.ArgumentTypeError(f"unknown: {name!r} (one of {', '.join(known)})")
        return found

    return names


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.compare", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--peers", type=a_name_of(list(PEERS)), help="comma-separated; default: all that are installed")
    parser.add_argument("--rows", type=a_name_of(list(ROW_BY_NAME)), help="comma-separated; default: all")
    parser.add_argument("--seconds", type=float, help="of each window (2; quick: 1)")
    parser.add_argument("--rounds", type=int, help="(3; quick: 1)")
    parser.add_argument("--connections-idle", type=int, default=ROW_BY_NAME["ws-idle"].connections)
    parser.add_argument("--output", type=Path, help="JSON file (default: results/DATE-COMMIT.json; quick: none)")
    parser.add_argument("--markdown", action="store_true", help="print the tables as markdown")
    parser.add_argument("--quick", action="store_true", help="one round of what the goals are judged by")
    parser.add_argument("--list", action="store_true", help="name the peers and rows, and end")
    return parser.parse_args(argv)


def make_plan(arguments: argparse.Namespace) -> Plan:
    """What the command line asks for."""
    quick = arguments.quick
    names = arguments.rows or (QUICK_ROWS if quick else tuple(ROW_BY_NAME))
    return Plan(
        peers=choose_peers(arguments.peers or (QUICK_PEERS if quick else tuple(PEERS))),
        rows=tuple(row for row in ROWS if row.name in names),
        seconds=arguments.seconds or (1.0 if quick else 2.0),
        rounds=arguments.rounds or (1 if quick else 3),
        idle_connections=arguments.connections_idle,
    )


def describe_run(plan: Plan, cores: Cores, argv: Sequence[str]) -> dict[str, str]:
    """Where, when, what and how: all that a reader needs to run it again."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": describe_commit(ROOT),
        "command": shlex.join(["python", "-m", "loadtests.compare", *argv]),
        **describe_machine(),
        "pinned": f"proxy on core {cores.proxy}, load and origin on core {cores.load}",
        "peers": ", ".join(f"{name} {PEERS[name].describe()}" for name in plan.peers),
        "rounds": f"{plan.rounds} of {plan.seconds:g} s, {plan.idle_connections} idle WebSockets",
    }


def print_results(run: Mapping[str, str], samples: Samples, verdicts: Sequence[Verdict], *, markdown: bool) -> None:
    """The run, the figures and the goals, on stdout."""
    show = as_markdown if markdown else as_text
    lines = [f"- {name}: {text}" if markdown else f"{name}: {text}" for name, text in run.items()]
    print("\n".join(lines), show(results_table(samples)), show(goals_table(verdicts)), sep="\n\n")


def write_json(path: Path, run: Mapping[str, str], samples: Samples, verdicts: Sequence[Verdict]) -> None:
    """Everything, also each round's samples, for another look later."""
    goals = [
        {"goal": verdict.text, "at_most": verdict.goal.limit, "measured": verdict.value, "verdict": verdict.word}
        for verdict in verdicts
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"run": run, "goals": goals, "samples": samples.by_row}, indent=1) + "\n")
    progress(f"written: {path}")


def default_output(run: Mapping[str, str]) -> Path:
    """`loadtests/results/DATE-COMMIT.json`."""
    return ROOT / "loadtests" / "results" / f"{run['date'][:10]}-{run['commit']}.json"


def interrupt(_number: int, _frame: object) -> NoReturn:
    """SIGTERM ends us as Ctrl-C does: with everything that we started."""
    raise KeyboardInterrupt


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status 0, also if a goal is missed; 1 if a peer broke down or did not start, 130 if it was interrupted."""
    arguments = parse_arguments(argv)
    if arguments.list:
        print("peers:", ", ".join(PEERS))
        print("rows:", ", ".join(ROW_BY_NAME))
        return 0
    signal.signal(signal.SIGTERM, interrupt)
    plan = make_plan(arguments)
    cores = Cores.choose()
    os.sched_setaffinity(0, {cores.load})  # we poll while a peer starts: not on its core
    run = describe_run(plan, cores, sys.argv[1:] if argv is None else argv)
    comparison = Comparison(plan, cores)
    try:
        comparison.run()
        status = 1 if comparison.breakdowns else 0
    except PeerError as error:
        progress(f"broken off: {error}")
        status = 1
    except KeyboardInterrupt:
        progress("interrupted")
        status = 130
    if comparison.samples.by_row:
        verdicts = judge(comparison.samples)
        print_results(run, comparison.samples, verdicts, markdown=arguments.markdown)
        output = arguments.output or (None if arguments.quick or status else default_output(run))
        if output is not None:
            write_json(output, run, comparison.samples, verdicts)
    return status


if __name__ == "__main__":
    sys.exit(main())
