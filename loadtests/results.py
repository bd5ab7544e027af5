"""What a comparison found: samples, their medians, the ratios that are promised, and both as text.

Pure: no process, no file, no clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

Kind = Literal["http", "echo", "idle", "startup"]


@dataclass(frozen=True, slots=True)
class Row:
    """One piece of work that every peer gets."""

    name: str
    title: str
    kind: Kind
    connections: int = 0
    target: str = ""
    size: int = 0  # bytes of the answer's body, or of the message
    tls: bool = False
    layer4: bool = False  # the port that relays bytes


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured quantity of a row."""

    key: str
    title: str
    unit: str
    digits: int


@dataclass(frozen=True, slots=True)
class Goal:
    """A promise: a figure of wsproxy, or its ratio to a peer's or to that of another row, is at most `limit`."""

    row: str
    figure: str
    limit: float
    peer: str | None = None  # None: the figure itself
    sums_up: bool = False  # over all rounds, instead of their median
    than: str | None = None  # the other row


@dataclass(frozen=True, slots=True)
class Verdict:
    """A goal and what became of it; `value` is None where it was not measured."""

    goal: Goal
    text: str
    value: float | None

    @property
    def word(self) -> str:
        """As it is printed."""
        if self.value is None:
            return "not measured"
        return "reached" if self.value <= self.goal.limit else "missed"


ROWS = (
    Row("http-70-64", "HTTP 70 B, 64 connections", "http", 64, "/70", 70),
    Row("http-70-64-varied", "HTTP 70 B, 64 connections, no two heads alike", "http", 64, "/70?{n}", 70),
    Row("http-16k-64", "HTTP 16 KiB, 64 connections", "http", 64, "/16k", 16 * 1024),
    Row("http-1m-64", "HTTP 1 MiB, 64 connections", "http", 64, "/1m", 1024 * 1024),
    Row("http-70-512", "HTTP 70 B, 512 connections", "http", 512, "/70", 70),
    Row("http-16k-512", "HTTP 16 KiB, 512 connections", "http", 512, "/16k", 16 * 1024),
    Row("http-1m-512", "HTTP 1 MiB, 512 connections", "http", 512, "/1m", 1024 * 1024),
    Row("static-16k", "file of 16 KiB, 64 connections", "http", 64, "/files/16k", 16 * 1024),
    Row("static-1m", "file of 1 MiB, 64 connections", "http", 64, "/files/1m", 1024 * 1024),
    Row("cache-hit-70", "kept answer of 70 B, 64 connections", "http", 64, "/cached/70", 70),
    Row("cache-hit-16k", "kept answer of 16 KiB, 64 connections", "http", 64, "/cached/16k", 16 * 1024),
    Row("https-70-64", "HTTPS 70 B, 64 connections, TLS 1.3", "http", 64, "/70", 70, tls=True),
    Row("policy-70-64", "HTTP 70 B, least connections of 8 servers", "http", 64, "/balanced/70", 70),
    Row("tcp-70-64", "TCP 70 B there and back, 64 connections", "http", 64, "/70", 70, layer4=True),
    Row("tcp-1m-64", "TCP 1 MiB, 64 connections", "http", 64, "/1m", 1024 * 1024, layer4=True),
    Row("ws-128", "WebSocket 128 B echo, 64 connections", "echo", 64, "/ws", 128),
    Row("ws-16k", "WebSocket 16 KiB echo, 64 connections", "echo", 64, "/ws", 16 * 1024),
    Row("ws-idle", "idle WebSockets", "idle", 4000, "/ws"),
    Row("startup", "start-up", "startup"),
)

# Variants answer one question each and so run only where it is asked: what does the worker pool's small default cost,
# and what do two processes in place of one? Varnish keeps answers and does nothing else of this.
VARIANT_ROWS = {
    "wsproxy-64": ("http-70-64", "http-16k-64", "http-1m-64", "http-70-512"),
    "wsproxy-2p": ("http-70-64", "http-1m-64", "http-70-512", "ws-128", "startup"),
    "wsproxy-64-2p": ("http-70-64", "http-16k-64", "http-1m-64", "http-70-512"),
    "nginx-2p": ("http-70-64", "http-70-512", "ws-128"),
    "varnish": ("cache-hit-70", "cache-hit-16k"),
}

FIGURES: Mapping[Kind, Sequence[Figure]] = {
    "http": (
        Figure("cpu_us", "CPU per request", "us", 1),
        Figure("rate", "requests a second", "", 0),
        Figure("p50_us", "p50", "us", 0),
        Figure("p99_us", "p99", "us", 0),
        Figure("failed", "failed", "", 0),
    ),
    "echo": (
        Figure("cpu_us", "CPU per message", "us", 1),
        Figure("rate", "messages a second", "", 0),
        Figure("p50_us", "round trip p50", "us", 0),
        Figure("p99_us", "round trip p99", "us", 0),
        Figure("failed", "failed", "", 0),
    ),
    "idle": (Figure("kib", "KiB per connection", "", 1),),
    "startup": (Figure("start_up_ms", "exec to first 200", "ms", 0),),
}

GOALS = (
    Goal("http-70-64", "cpu_us", 2.0, "nginx"),
    Goal("http-1m-64", "cpu_us", 1.25, "haproxy"),
    Goal("http-70-512", "failed", 0, sums_up=True),
    Goal("http-16k-512", "failed", 0, sums_up=True),
    Goal("http-1m-512", "failed", 0, sums_up=True),
    Goal("cache-hit-70", "cpu_us", 0.6, than="http-70-64"),
    Goal("https-70-64", "cpu_us", 1.9, "nginx"),
    Goal("tcp-70-64", "cpu_us", 1.5, "nginx"),
    Goal("tcp-70-64", "cpu_us", 1.5, "haproxy"),
    Goal("tcp-1m-64", "cpu_us", 1.5, "nginx"),
    Goal("tcp-1m-64", "cpu_us", 1.5, "haproxy"),
    Goal("ws-128", "cpu_us", 1.6, "haproxy"),
    Goal("ws-16k", "cpu_us", 0.6, "nginx"),
    Goal("ws-idle", "kib", 9.0),
)

Sample = Mapping[str, float]
ROW_BY_NAME = {row.name: row for row in ROWS}


class Samples:
    """Every sample of every round: row, then peer, then one mapping of figures a round."""

    def __init__(self) -> None:
        self.by_row: dict[str, dict[str, list[Sample]]] = {}

    def add(self, row: str, peer: str, sample: Sample) -> None:
        """Keep one round's figures."""
        self.by_row.setdefault(row, {}).setdefault(peer, []).append(sample)

    def value(self, row: str, peer: str, figure: str, *, sums_up: bool = False) -> float | None:
        """The median over the rounds (or their sum); None if this peer was not measured here."""
        values = [sample[figure] for sample in self.by_row.get(row, {}).get(peer, ())]
        if not values:
            return None
        return sum(values) if sums_up else median(values)

    def shown(self, row: str, peer: str, figure: Figure) -> float | None:
        """What a table shows: failures are counted over all rounds, everything else is a median."""
        return self.value(row, peer, figure.key, sums_up=figure.key == "failed")

    def peers(self) -> list[str]:
        """The peers measured anywhere, in the order they came."""
        return list(dict.fromkeys(peer for peers in self.by_row.values() for peer in peers))


def judge(samples: Samples, goals: Sequence[Goal] = GOALS) -> list[Verdict]:
    """Every goal against the samples."""
    return [_judge_one(samples, goal) for goal in goals]


def _judge_one(samples: Samples, goal: Goal) -> Verdict:
    row = ROW_BY_NAME[goal.row]
    figure = next(figure for figure in FIGURES[row.kind] if figure.key == goal.figure)
    own = samples.value(goal.row, "wsproxy", goal.figure, sums_up=goal.sums_up)
    if goal.than is not None:
        other = samples.value(goal.than, "wsproxy", goal.figure)
        value = own / other if own is not None and other else None
        return Verdict(goal, f"{row.title}: {figure.title}, beside {ROW_BY_NAME[goal.than].title}", value)
    if goal.peer is None:
        return Verdict(goal, f"{row.title}: {figure.title}", own)
    other = samples.value(goal.row, goal.peer, goal.figure)
    value = own / other if own is not None and other else None
    return Verdict(goal, f"{row.title}: {figure.title}, wsproxy / {goal.peer}", value)


def number(value: float | None, digits: int) -> str:
    """A table's cell."""
    return "-" if value is None else f"{value:,.{digits}f}"


def results_table(samples: Samples) -> list[list[str]]:
    """A header line, then one line per figure of each measured row, one column per peer."""
    peers = samples.peers()
    table = [["", *peers]]
    for row in ROWS:
        if row.name in samples.by_row:
            for figure in FIGURES[row.kind]:
                title = f"{row.title}: {figure.title}" + (f", {figure.unit}" if figure.unit else "")
                cells = [number(samples.shown(row.name, peer, figure), figure.digits) for peer in peers]
                table.append([title, *cells])
    return table


def goals_table(verdicts: Sequence[Verdict]) -> list[list[str]]:
    """A header line, then one line per goal."""
    table = [["goal", "at most", "measured", ""]]
    for verdict in verdicts:
        digits = 0 if verdict.goal.sums_up else 2
        limit = number(verdict.goal.limit, digits)
        table.append([verdict.text, limit, number(verdict.value, digits), verdict.word])
    return table


def as_text(table: Sequence[Sequence[str]]) -> str:
    """Aligned columns for a terminal: the first to the left, figures to the right."""
    widths = [max(len(cell) for cell in column) for column in zip(*table, strict=True)]
    lines = []
    for cells in table:
        first, *rest = (
            cell.rjust(width) if index else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        lines.append("  ".join([first, *rest]).rstrip())
    return "\n".join(lines)


def as_markdown(table: Sequence[Sequence[str]]) -> str:
    """The same as a markdown table."""
    header, *lines = table
    rule = ["---", *(["---:"] * (len(header) - 1))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [header, rule, *lines])
