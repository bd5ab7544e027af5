"""The bench itself: its reader finds faults, and a proxy that reads nothing does not pass."""

from __future__ import annotations

import asyncio

import pytest

from tests.conformance.cases import Case, Got, answer, get, post, request, served
from tests.conformance.judge import PROBES, Record, judge
from tests.conformance.suite import CASES, run_all
from tests.conformance.wire import read_requests, read_responses

PLAIN = Case("bench/plain", "", (get(),), (served(Got(), body=b"ok"),))


@pytest.mark.parametrize(
    "data",
    [
        request("GET / HTTP/1.1", host=None),
        get("Host: b.test"),
        get("X : y"),
        get("X: \x01"),
        get("Keep-Alive: 5"),
        get("Content-Length: +5"),
        get("Content-Length: 0", "Transfer-Encoding: chunked") + b"0\r\n\r\n",
        get("Transfer-Encoding: chunked") + b"0x0\r\n\r\n",
        get("Transfer-Encoding: chunked") + b"1\r\nab\r\n0\r\n\r\n",
        get("Transfer-Encoding: chunked") + b"0\r\nHost: b.test\r\n\r\n",
        b"GET  / HTTP/1.1\r\nHost: a.test\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a.test\nX: y\r\n\r\n",
    ],
)
def test_what_no_proxy_may_send_is_a_fault(data: bytes) -> None:
    assert read_requests(data)[0][0].faults


def test_requests_and_what_is_left_are_read() -> None:
    messages, rest = read_requests(post(b"hello") + get(target="/2") + b"GET /3")
    assert [(message.target, message.body, message.faults) for message in messages] == [
        (b"/", b"hello", []),
        (b"/2", b"", []),
    ]
    assert rest == b"GET /3"


@pytest.mark.parametrize(("ended", "complete"), [("", False), ("reset", False), ("eof", True)])
def test_an_answer_without_length_is_complete_at_an_orderly_end_only(ended: str, complete: bool) -> None:
    messages, _ = read_responses(answer(length=False), (), ended)  # type: ignore[arg-type]
    assert messages[0].complete is complete


@pytest.mark.parametrize(
    "record",
    [
        Record(b"", "eof"),
        Record(answer(status="404 Not Found")),
        Record(answer(body=b"no")),
        Record(answer()[:-1], "eof"),
        Record(answer() + answer()),
        Record(answer() + b"rest"),
        Record(answer("X : y")),
        Record(answer(), "eof"),
        Record(answer(), kept=True, upstream=[(b"GET ", "")]),
        Record(answer(), kept=True, upstream=[(get() + get(), "")], trouble=["x"]),
    ],
)
def test_the_judge_finds_fault(record: Record) -> None:
    assert judge(PLAIN, record)


def test_the_judge_is_content_and_overlooks_the_requests_of_the_bench() -> None:
    record = Record(answer(), kept=True, upstream=[(get() + get(target=PROBES[1].decode()), "")])
    assert judge(PLAIN, record) == []


def test_a_relay_that_reads_nothing_passes_the_plain_case_and_fails_the_others() -> None:
    names = ("framing/length", "framing/te-identity", "hop-by-hop/request-keep-alive", "hop-by-hop/answer-keep-alive")
    complaints, _ = asyncio.run(run_all("relay", [case for case in CASES if case.name in names]))
    assert [name for name in names if not complaints[name]] == ["framing/length"]
