"""loadtests.compare: the command line, and figures from what the loads print."""

from __future__ import annotations

import pytest

from loadtests.compare import (
    LoadError,
    default_output,
    idle_sample,
    load_command,
    load_sample,
    make_plan,
    parse_arguments,
)
from loadtests.peers import Running
from loadtests.results import ROW_BY_NAME

REPORT = {"completed": 1000, "seconds": 2.0, "cpu_s": 0.02, "p50_us": 5.0, "p99_us": 9.0, "failed": 3, "failures": {}}


def test_http_figures_are_per_request() -> None:
    sample = load_sample(ROW_BY_NAME["http-70-64"], REPORT)
    assert sample == pytest.approx({"cpu_us": 20.0, "rate": 500.0, "p50_us": 5.0, "p99_us": 9.0, "failed": 3})


def test_an_echo_is_two_messages() -> None:
    sample = load_sample(ROW_BY_NAME["ws-128"], REPORT)
    assert sample == pytest.approx({"cpu_us": 10.0, "rate": 1000.0, "p50_us": 5.0, "p99_us": 9.0, "failed": 3})


def test_a_window_without_any_answer_is_an_error() -> None:
    with pytest.raises(LoadError, match="status 503"):
        load_sample(ROW_BY_NAME["http-70-64"], {**REPORT, "completed": 0, "failures": {"status 503": 9}})


def test_idle_figures_are_kib_a_connection() -> None:
    assert idle_sample({"connections": 100, "before_bytes": 1024, "after_bytes": 1024 * 801}) == {"kib": 8.0}


def test_each_row_has_a_load_of_its_kind() -> None:
    peer = Running(pid=7, port=8000, start_up_s=0.1)
    assert load_command(ROW_BY_NAME["http-1m-512"], peer, 2.0)[:3] == ["loadtests.http_load", "--target", "/1m"]
    assert load_command(ROW_BY_NAME["ws-16k"], peer, 2.0)[:2] == ["loadtests.ws_load", "echo"]


def test_a_tls_row_goes_to_the_port_that_speaks_it() -> None:
    peer = Running(pid=7, port=8000, start_up_s=0.1, tls_port=8443)
    command = load_command(ROW_BY_NAME["https-70-64"], peer, 2.0)
    assert (command[command.index("--port") + 1], "--tls" in command) == ("8443", True)
    assert "--tls" not in load_command(ROW_BY_NAME["http-70-64"], peer, 2.0)


def test_a_layer_4_row_goes_to_the_port_that_relays_bytes() -> None:
    peer = Running(pid=7, port=8000, start_up_s=0.1, tls_port=8443, tcp_port=8400)
    command = load_command(ROW_BY_NAME["tcp-70-64"], peer, 2.0)
    assert (command[command.index("--port") + 1], "--tls" in command) == ("8400", False)


def test_a_peer_that_speaks_http_alone_has_no_other_rows() -> None:
    plan = make_plan(parse_arguments(["--peers", "aiohttp"]))
    missing = set(ROW_BY_NAME.values()) - set(plan.rows_of("aiohttp"))
    assert {row.name for row in missing} == {
        *("https-70-64", "policy-70-64", "tcp-70-64", "tcp-1m-64", "static-16k", "static-1m"),
        *("cache-hit-70", "cache-hit-16k"),
    }


def test_options_choose_peers_rows_and_rounds() -> None:
    options = "--quick --peers aiohttp,wsproxy --rows ws-16k,ws-128 --rounds 2"
    plan = make_plan(parse_arguments(options.split()))
    assert plan.peers == ("aiohttp", "wsproxy")
    assert [row.name for row in plan.rows] == ["ws-128", "ws-16k"]
    assert (plan.seconds, plan.rounds, plan.idle_connections) == (1.0, 2, 4000)


def test_a_variant_only_runs_where_it_answers_its_question() -> None:
    plan = make_plan(parse_arguments(["--peers", "wsproxy-64"]))
    names = ["http-70-64", "http-16k-64", "http-1m-64", "http-70-512"]
    assert [row.name for row in plan.rows_of("wsproxy-64")] == names
    assert plan.rows_of("wsproxy") == list(ROW_BY_NAME.values())


@pytest.mark.parametrize("option", ["--peers", "--rows"])
def test_unknown_names_are_refused(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse_arguments([option, "apache"])
    assert "unknown: 'apache'" in capsys.readouterr().err


def test_results_are_named_by_date_and_commit() -> None:
    assert default_output({"date": "2026-01-02T03:04:05+00:00", "commit": "abc"}).name == "2026-01-02-abc.json"
