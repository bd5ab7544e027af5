"""The access line of a relayed TCP connection: every ending has its two letters, every field its place."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tests.observe.test_access import make_log
from wsproxy.config.access_format import FIELDS
from wsproxy.config.model import LogSettings
from wsproxy.observe.sheet import Sheet
from wsproxy.observe.tcp_entry import TcpEnd, tcp_values

END = TcpEnd("tcp:cache", "redis1", "client", 2, 0.0012, 3.25, 70, 4096)


def line_of(end: TcpEnd) -> dict[str, object]:
    log, writer = make_log(LogSettings(format="json"))
    log.tcp(end, "192.0.2.1")
    log.flush()
    (line,) = writer.lines
    found: dict[str, object] = json.loads(line)
    return found


def test_there_is_a_value_for_each_field() -> None:
    assert len(tcp_values(Sheet(False, lambda: 0.0), "192.0.2.1", END)) == len(FIELDS)


def test_what_is_known_stands_at_its_name() -> None:
    line = line_of(END)
    told = {name: line[name] for name in ("event", "client", "route", "backend", "attempts", "termination", "reason")}
    assert told == {
        "event": "tcp",
        "client": "192.0.2.1",
        "route": "tcp:cache",
        "backend": "redis1",
        "attempts": 2,
        "termination": "--",
        "reason": "",
    }
    assert (line["connect_ms"], line["total_ms"], line["queue_ms"]) == (1.2, 3250.0, None)
    assert (line["client_bytes"], line["upstream_bytes"], line["sent_bytes"]) == (70, 4096, 4096)
    assert (line["closed_by"], line["close_code"], line["status"]) == ("client", None, None)


@pytest.mark.parametrize(
    ("result", "letters", "closed_by", "reason"),
    [
        ("client", "--", "client", ""),
        ("upstream", "--", "upstream", ""),
        ("client_lost", "CD", "client", ""),
        ("upstream_lost", "SD", "upstream", ""),
        ("idle", "cD", "proxy", "idle"),
        ("cut", "PD", "proxy", ""),
        ("no_server", "PQ", "proxy", "no_server"),
        ("refused", "SC", "proxy", "refused"),
        ("overload", "PR", "proxy", "overload"),
    ],
)
def test_endings(result: str, letters: str, closed_by: str, reason: str) -> None:
    line = line_of(replace(END, result=result))
    assert (line["termination"], line["closed_by"], line["reason"]) == (letters, closed_by, reason)


def test_who_was_let_in_nowhere_has_no_time_to_connect() -> None:
    line = line_of(replace(END, result="overload", connect_s=None))
    assert (line["connect_ms"], line["total_ms"]) == (None, 3250.0)
