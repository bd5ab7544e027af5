"""Access lines: what they say of requests and WebSockets, in which form, and that nobody waits for them."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from time import perf_counter

import pytest

from tests.fakes import Client, make_head, run, until
from tests.integration.harness import logged
from wsproxy.config.access_format import FIELDS, NUMBERS, parse_format
from wsproxy.config.model import LogSettings, RouteSettings
from wsproxy.errors import (
    BODY_TIMEOUT,
    CLIENT_LEFT,
    INTERNAL,
    NO_BACKEND,
    QUEUE_TIMEOUT,
    REQUEST_TIMEOUT,
    Failure,
    bad_answer,
    bad_body,
    connect_failed,
    no_answer,
)
from wsproxy.exchange import BODY, CONNECT, HEAD, QUEUE, StageClock
from wsproxy.http.messages import ResponseHead
from wsproxy.observe import access as access_module
from wsproxy.observe.access import AccessLog, open_access_log
from wsproxy.observe.entries import Refusal, WebSocketEntry, milliseconds, refused_values, request_values, termination
from wsproxy.observe.sheet import KEPT_TEXTS, Sheet
from wsproxy.ws.control import close_frame
from wsproxy.ws.relay import RelayState

STAMP = r"\[[0-9]{2}/[A-Z][a-z]{2}/[0-9]{4}:[0-9]{2}:[0-9]{2}:[0-9]{2} [+-][0-9]{4}\]"
MS = r"[0-9]+\.[0-9]"


class Writer:
    """A line writer that keeps what it is given, or takes nothing."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.dropped = 0
        self.problem = ""
        self.waiting_bytes = 0
        self.is_closed = False
        self.reopened_after: list[int] = []

    def write(self, lines: list[str], size: int) -> None:
        assert size == sum(map(len, lines))
        self.lines += lines

    def reopen(self) -> None:
        self.reopened_after.append(len(self.lines))

    def close(self) -> None:
        self.is_closed = True

    def wait_idle(self, timeout_s: float) -> bool:
        return True


def make_log(settings: LogSettings | None = None) -> tuple[AccessLog, Writer]:
    writer = Writer()
    return AccessLog(settings or LogSettings(), writer, clock=lambda: 1_700_000_000.0), writer


def template(written: str) -> LogSettings:
    return LogSettings(access_format=parse_format(written))


def answered(client: Client, status: int = 200) -> Client:
    exchange = client.exchange
    exchange.answered = True
    exchange.answered_bytes = 123
    exchange.backend_name = "server1"
    exchange.attempts = 1
    exchange.request_id = b"id-1"
    exchange.response = ResponseHead(status, b"", 1, b"", 0, True)
    exchange.stages = StageClock(0.0)
    exchange.stages.spent_s = [0.0005, 0.0, 0.0021, 0.0]
    return client


def lines_of(settings: LogSettings | None, *clients: Client) -> list[str]:
    log, writer = make_log(settings)
    for client in clients:
        log.record(client.exchange, "192.0.2.1")
    assert not writer.lines, "lines are collected"
    log.flush()
    return writer.lines


def line_of(client: Client, written: str) -> str:
    (line,) = lines_of(template(written), client)
    return line.removesuffix("\n")


# What a line says.


def test_text_is_the_combined_format_and_behind_it_what_a_proxy_knows() -> None:
    async def main() -> None:
        client = answered(Client(b"/a?b=c"), 201)
        client.exchange.head.fields += b"REFERER: http://a.example/\r\nuser-agent: curl/8\r\n"
        client.exchange.head.fields += b"traceparent: 00-%032x-%016x-01\r\n" % (7, 8)
        (line,) = lines_of(None, client)
        assert re.fullmatch(
            rf'192\.0\.2\.1 - - {STAMP} "GET /a\?b=c HTTP/1\.1" 201 123 "http://a\.example/" "curl/8" '
            rf'request http server1 1 -- {MS}/-/{MS}/{MS} id-1 {7:032x} "-"\n',
            line,
        )

    run(main)


def test_json_says_the_same_with_null_for_numbers_that_are_not_there() -> None:
    async def main() -> None:
        (line,) = lines_of(LogSettings(format="json"), answered(Client(b"/a?b=c"), 201))
        told = json.loads(line)
        assert (told["event"], told["target"], told["status"], told["sent_bytes"]) == ("request", "/a?b=c", 201, 123)
        assert (told["connect_ms"], told["first_byte_ms"], told["referer"]) == (None, 2.1, "")
        assert told["route"] == "http"
        assert all(isinstance(told[name], int | float | None) for name in NUMBERS & set(told))

    run(main)


def test_a_template_says_what_it_names() -> None:
    async def main() -> None:
        client = answered(Client(b"/a"))
        assert line_of(client, "100% of $method for $host: $status") == "100% of GET for example.test: 200"
        assert line_of(client, "$status") == "200"
        told = json.loads(line_of(client, "json $status $time_iso"))
        assert told["status"] == 200
        assert re.fullmatch(r"2023-11-1[45]T[0-9:]{8}[+-][0-9]{4}", told["time_iso"])

    run(main)


@pytest.mark.parametrize("name", list(FIELDS))
def test_every_kind_of_line_knows_every_field(name: str) -> None:
    async def main() -> None:
        log, writer = make_log(template(f"<${name}>"))
        client = answered(Client())
        log.record(client.exchange, "p")
        log.refused(Refusal(400, "no", b"id", 7), "p", None)
        log.refused(Refusal(404, "no", b"id", 7), "p", make_head())
        entry = log.opened(client.exchange, "p")
        log.closed(entry, RelayState(lambda: b"1234"))
        log.flush()
        assert len(writer.lines) == 5
        assert all(re.fullmatch(r"<.+>\n", line) for line in writer.lines)

    run(main)


def test_the_status_is_what_the_client_saw_except_that_499_is_one_who_left() -> None:
    async def main() -> None:
        failed = Client()
        failed.exchange.failure = NO_BACKEND
        broken_off, left = answered(Client()), answered(Client())
        broken_off.exchange.failure = bad_answer("truncated")
        left.exchange.failure = CLIENT_LEFT
        found = [line_of(client, "$status $backend") for client in (failed, broken_off, left, Client())]
        assert found == ["503 -", "200 server1", "499 server1", "0 -"]

    run(main)


def test_nobody_can_forge_a_line() -> None:
    async def main() -> None:
        client = answered(Client(b'/a"b\\\xe9'))
        client.exchange.head.fields += b'User-Agent: a\t"b"\r\n'
        client.exchange.request_id = b'"id\\'
        assert line_of(client, "$target $user_agent $request_id") == "/a%22b%5C%E9 a%09%22b%22 %22id%5C"

    run(main)


@pytest.mark.parametrize(
    ("target", "told"),
    [
        (b"/chat?room=1&token=s3cret&x=2", "/chat?room=1&token=***&x=2"),
        (b"/?access_token=a.b-c", "/?access_token=***"),
        (b"/?API_KEY=a;key=b", "/?API_KEY=***;key=***"),
        (b"/?password=a&client-secret=b&code=c&sig=d", "/?password=***&client-secret=***&code=***&sig=***"),
        (b"/?monkey=a&tokens=b&keyboard=c", "/?monkey=a&tokens=b&keyboard=c"),
    ],
)
def test_secrets_in_a_query_are_not_told(target: bytes, told: str) -> None:
    async def main() -> None:
        client = answered(Client(target))
        client.exchange.head.fields += b"Referer: http://a.example%b\r\n" % target
        assert line_of(client, "$request") == f"GET {told} HTTP/1.1"
        assert line_of(client, "$target $referer") == f"{told} http://a.example{told}"

    run(main)


def test_cookies_and_authorization_have_no_field() -> None:
    async def main() -> None:
        client = answered(Client())
        client.exchange.head.fields += b"Cookie: a=s3cret\r\nAuthorization: Bearer s3cret\r\n"
        everything = " ".join(f"${name}" for name in FIELDS)
        assert "s3cret" not in line_of(client, everything)

    run(main)


def test_a_refused_request_has_a_line_with_what_it_was_answered() -> None:
    log, writer = make_log(template("$request $status $sent_bytes $termination $request_id $reason $total_ms"))
    log.refused(Refusal(400, "illegal header line", b"id-2", 210), "192.0.2.1", None)
    log.refused(Refusal(404, "no route", b"id-3", 99), "192.0.2.1", make_head(target=b"/x"))
    log.refused(Refusal(408, "slow", b"id-4", 9), "192.0.2.1", None)
    log.refused(Refusal(308, "use https", b"id-5", 9), "192.0.2.1", None)
    log.flush()
    assert writer.lines == [
        "- 400 210 PR id-2 illegal header line -\n",
        "GET /x HTTP/1.1 404 99 PR id-3 no route -\n",
        "- 408 9 cR id-4 slow -\n",
        "- 308 9 -- id-5 use https -\n",
    ]


@pytest.mark.parametrize(
    ("failure", "stage", "code"),
    [
        (None, BODY, "--"),
        (CLIENT_LEFT, QUEUE, "CQ"),
        (CLIENT_LEFT, BODY, "CD"),
        (BODY_TIMEOUT, HEAD, "cR"),
        (bad_body(413, "too large"), HEAD, "PR"),
        (NO_BACKEND, QUEUE, "SQ"),
        (QUEUE_TIMEOUT, QUEUE, "pQ"),
        (connect_failed("refused", timed_out=False), CONNECT, "SC"),
        (connect_failed("silent", timed_out=True), CONNECT, "sC"),
        (no_answer(1.0), HEAD, "sH"),
        (bad_answer("nonsense"), HEAD, "SH"),
        (bad_answer("truncated"), BODY, "SD"),
        (REQUEST_TIMEOUT, BODY, "sD"),
        (INTERNAL, HEAD, "PH"),
    ],
)
def test_who_ended_it_and_when(failure: Failure | None, stage: int, code: str) -> None:
    async def main() -> None:
        exchange = Client().exchange
        exchange.failure = failure
        exchange.stages = StageClock(0.0)
        exchange.stages.enter(stage)
        assert termination(exchange) == code

    run(main)


def test_no_stage_takes_longer_than_the_whole() -> None:
    async def main() -> None:
        client = Client()
        exchange = client.exchange
        exchange.started_at = perf_counter() - 10.0
        exchange.ended_at = exchange.started_at + 1.5  # its line is written long after that
        exchange.stages = StageClock(exchange.started_at)
        exchange.stages.stage = CONNECT
        exchange.failure = connect_failed("refused", timed_out=False)
        assert line_of(client, "$queue_ms $connect_ms $total_ms") == "0.0 1500.0 1500.0"

    run(main)


# WebSockets.


def test_a_websocket_has_a_line_when_it_opens_and_one_when_it_has_closed() -> None:
    async def main() -> None:
        log, writer = make_log(template("$event $request $status $route $closed_by $close_code $termination"))
        client = answered(Client(b"/chat?token=abc", RouteSettings("websocket:chat", "websocket", "g")), 101)
        entry = log.opened(client.exchange, "192.0.2.1")
        state = RelayState(lambda: b"1234")
        state.from_client(close_frame(4001, "bye", b"abcd"))
        log.closed(entry, state)
        log.flush()
        assert writer.lines == [
            "ws_open GET /chat?token=*** HTTP/1.1 101 websocket:chat - - --\n",
            "ws_close GET /chat?token=*** HTTP/1.1 101 websocket:chat client 4001 CW\n",
        ]

    run(main)


@pytest.mark.parametrize(
    ("end", "told"),
    [
        (lambda state: state.from_upstream(close_frame(1000)), "SW upstream 1000 - 1000"),
        (lambda state: state.begin_close(1001, 1001), "PW proxy 1001 - -"),
        (lambda state: state.client_lost(), "CL client 1006 - -"),
        (lambda state: state.upstream_lost(), "SL upstream 1006 - -"),
        (lambda state: None, "PL proxy - - -"),
    ],
)
def test_how_a_websocket_ended(end: Callable[[RelayState], object], told: str) -> None:
    async def main() -> None:
        log, writer = make_log(template("$termination $closed_by $close_code $client_close_code $upstream_close_code"))
        entry = log.opened(answered(Client()).exchange, "p")
        state = RelayState(lambda: b"1234")
        end(state)
        log.closed(entry, state)
        log.flush()
        assert writer.lines[1] == told + "\n"

    run(main)


def test_the_text_of_a_closed_websocket_has_what_passed() -> None:
    async def main() -> None:
        log, writer = make_log()
        entry = log.opened(answered(Client(b"/chat"), 101).exchange, "192.0.2.1")
        state = RelayState(lambda: b"1234")
        state.from_upstream(b"\x81\x05hello\x82\x01x")
        log.closed(entry, state)
        log.flush()
        assert re.fullmatch(
            rf'192\.0\.2\.1 - - {STAMP} "GET /chat HTTP/1\.1" 101 - "-" "-" ws_close http server1 - PL '
            rf'-/-/-/{MS} id-1 - "-" proxy - -/- 0/0 2/6\n',
            writer.lines[1],
        )

    run(main)


def test_values_stand_in_the_order_of_the_fields() -> None:
    async def main() -> None:
        sheet, exchange = Sheet(is_json=False), answered(Client()).exchange
        names = list(FIELDS)
        of_requests = names.index("client_messages")
        for values in (
            request_values(sheet, "p", exchange),
            refused_values(sheet, "p", None, Refusal(404, "no", b"id", 7)),
            refused_values(sheet, "p", exchange.head, Refusal(404, "no", b"id", 7)),
        ):
            told = dict(zip(names, values, strict=False))
            assert len(values) == of_requests
            assert (told["event"], told["client"], told["termination"]) == ("request", "p", values[17])
        closed = WebSocketEntry(sheet, "p", exchange).values(sheet, RelayState(lambda: b"1234"))
        assert len(closed) == len(names)
        assert dict(zip(names, closed, strict=True))["closed_by"] == "proxy"

    run(main)


def test_a_websocket_may_outlive_the_form_of_its_opening() -> None:
    async def main() -> None:
        text, _ = make_log()
        json_log, writer = make_log(LogSettings(format="json"))
        entry = text.opened(answered(Client()).exchange, "p")
        json_log.closed(entry, RelayState(lambda: b"1234"))
        json_log.flush()
        told = json.loads(writer.lines[0])
        assert (told["trace_id"], told["event"], told["backend"]) == ("", "ws_close", "server1")

    run(main)


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0.0, "0.0"), (0.00014, "0.1"), (0.0996, "99.6"), (0.99999, "1000.0"), (61.23456, "61234.6"), (-0.2, "-200.0")],
)
def test_milliseconds_have_one_digit_behind_the_point(seconds: float, told: str) -> None:
    assert milliseconds(seconds) == told


def test_no_more_than_so_many_texts_are_remembered() -> None:
    sheet = Sheet(is_json=False)
    for number in range(2 * KEPT_TEXTS + 1):
        head = make_head()
        head.fields = b"User-Agent: agent %d\r\n" % number
        assert sheet.told_by(head)[2] == f"agent {number}"
        assert len(sheet._texts) <= KEPT_TEXTS
    head = make_head()
    head.fields = b"User-Agent: %b\r\n" % (b"x" * 4096)
    assert sheet.told_by(head)[2] == "x" * 4096
    assert b"x" * 4096 not in sheet._texts


# Where lines go.


def test_lines_are_handed_over_when_there_is_room_and_those_lost_are_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access_module, "MAX_BUFFERED_BYTES", 20)
    log, writer = make_log(template("$status-----"))  # ten bytes a line
    refusal = Refusal(400, "x", b"", 0)
    writer.waiting_bytes, writer.problem = 15, "what reads it is too slow"
    with logged() as said:
        for _ in range(5):
            log.refused(refusal, "p", None)
        log.flush()
        assert (writer.lines, log.dropped, said.lines) == ([], 3, [])
        writer.waiting_bytes = 0
        log.flush()
        log.refused(refusal, "p", None)
        log.flush()
        assert (len(writer.lines), log.dropped) == (3, 3)
        assert said.lines == [("WARNING", "3 access lines were lost: what reads it is too slow")]


def test_reopening_leaves_what_came_before_in_the_old_file() -> None:
    log, writer = make_log()
    log.refused(Refusal(400, "x", b"", 0), "p", None)
    log.reopen()
    assert writer.reopened_after == [1]


def test_lines_are_written_now_and_then_and_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access_module, "FLUSH_EVERY_S", 0.001)

    async def main() -> None:
        log, writer = make_log(template("$reason"))
        task = asyncio.ensure_future(log.run())
        log.refused(Refusal(400, "first", b"", 0), "p", None)
        await until(lambda: "first\n" in writer.lines)
        log.refused(Refusal(400, "last", b"", 0), "p", None)
        task.cancel()
        await asyncio.wait([task])
        assert writer.lines == ["first\n", "last\n"]

    run(main)


def test_a_log_that_another_replaces_hands_over_its_last_lines_and_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access_module, "FLUSH_EVERY_S", 0.001)

    async def main() -> None:
        log, writer = make_log(template("$reason"))
        task = asyncio.ensure_future(log.run())
        log.refused(Refusal(400, "last", b"", 0), "p", None)
        log.retire()
        assert writer.lines == ["last\n"]
        await task
        assert writer.is_closed

    run(main)


def test_a_log_that_is_off_is_none_and_one_that_cannot_be_opened_says_why(tmp_path: object) -> None:
    assert open_access_log(LogSettings(access="off")) is None
    with pytest.raises(FileNotFoundError):
        open_access_log(LogSettings(access=f"{tmp_path}/nowhere/access.log"))


def test_a_busy_log_hands_lines_over_before_their_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access_module, "BATCH_BYTES", 18)
    log, writer = make_log(template("$status-----"))  # nine bytes a line
    for _ in range(3):
        log.refused(Refusal(400, "x", b"", 0), "p", None)
    assert len(writer.lines) == 2
