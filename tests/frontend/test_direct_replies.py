"""What a session answers by itself, and what becomes of the connection then."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.fakes import ROUTE, FakeTransport, make_head, make_stream, run
from wsproxy.config.model import FrontendSettings
from wsproxy.errors import CLIENT_LEFT, NO_BACKEND, STOPPING, Failure
from wsproxy.exchange import Exchange
from wsproxy.frontend.direct_replies import After, DirectReplies
from wsproxy.frontend.identity import ClientIdentity
from wsproxy.frontend.service import HttpService
from wsproxy.http.messages import UNTIL_CLOSE, MalformedRequestError, RequestHead, ResponseHead
from wsproxy.net.deadlines import Deadlines
from wsproxy.net.stream import Stream
from wsproxy.observe.entries import Refusal, WebSocketEntry
from wsproxy.ws.relay import RelayState


class Recorder:
    """Keeps what an access log would be told."""

    def __init__(self) -> None:
        self.refusals: list[Refusal] = []
        self.exchanges: list[Exchange] = []

    def record(self, exchange: Exchange, client: str) -> None:
        self.exchanges.append(exchange)

    def refused(self, refusal: Refusal, client: str, head: RequestHead | None) -> None:
        self.refusals.append(refusal)

    def opened(self, exchange: Exchange, client: str) -> WebSocketEntry:
        raise NotImplementedError

    def closed(self, entry: WebSocketEntry, state: RelayState) -> None:
        raise NotImplementedError


class Bench:
    """A client's stream with a service behind it."""

    def __init__(self) -> None:
        self.log = Recorder()
        self.stream: Stream
        self.transport: FakeTransport
        self.stream, self.transport = make_stream()
        settings = FrontendSettings("frontend", "127.0.0.1", 1)
        service = HttpService(settings, Deadlines(), self.log, is_secure=False)
        self.replies = DirectReplies(self.stream, service, ClientIdentity("192.0.2.1", service))

    @property
    def status(self) -> int:
        return int(self.transport.sent.split()[1]) if self.transport.sent else 0

    @property
    def says_close(self) -> bool:
        return b"Connection: close\r\n" in self.transport.sent

    def exchange(self, minor_version: int = 1) -> Exchange:
        return Exchange(make_head(minor_version=minor_version), None, self.stream, ROUTE, b"")


class Lost(FakeTransport):
    """A connection that is gone, which nobody has been told yet."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        raise RuntimeError("the handler is closed")


def on_bench(check: Callable[[Bench], None]) -> None:
    async def main() -> None:
        check(Bench())

    run(main)


@pytest.mark.parametrize(
    ("status", "head", "is_last", "after"),
    [
        (404, make_head(), False, After.NEXT),
        (404, make_head(), True, After.LINGERS),
        (404, make_head(minor_version=0), False, After.LINGERS),
        (404, make_head(length=4), False, After.LINGERS),  # its body has not come, and nobody waits for it
        (400, make_head(), False, After.LINGERS),
        (400, None, False, After.LINGERS),
        (408, None, False, After.ENDED),
    ],
)
def test_a_refusal_goes_on_only_where_the_next_request_is_sure_to_be_found(
    status: int, head: RequestHead | None, is_last: bool, after: After
) -> None:
    def check(bench: Bench) -> None:
        assert bench.replies.refuse(MalformedRequestError(status, "a reason"), head, is_last) is after
        assert (bench.status, bench.says_close) == (status, after is not After.NEXT)
        assert bench.stream.closed == (after is After.ENDED)
        assert [(each.status, each.message) for each in bench.log.refusals] == [(status, "a reason")]

    on_bench(check)


def test_a_body_that_nobody_wants_is_skipped_if_it_is_there_as_a_whole() -> None:
    def check(bench: Bench) -> None:
        bench.transport.feed(b"bodyGET / ")
        assert bench.replies.refuse(MalformedRequestError(404, "no"), make_head(length=4), is_last=False) is After.NEXT
        assert bench.stream.buffer == b"GET / "

    on_bench(check)


@pytest.mark.parametrize(
    ("head", "is_last", "unread", "after"),
    [
        (make_head(b"OPTIONS"), False, b"", After.NEXT),
        (make_head(b"OPTIONS"), True, b"", After.ENDED),
        (make_head(b"OPTIONS"), True, b"GET", After.LINGERS),
        (make_head(b"OPTIONS", length=4), False, b"", After.LINGERS),
    ],
)
def test_the_last_hop_answers(head: RequestHead, is_last: bool, unread: bytes, after: After) -> None:
    def check(bench: Bench) -> None:
        if unread:
            bench.transport.feed(unread)
        assert bench.replies.last_hop(head, is_last) is after
        assert (bench.status, bench.says_close) == (200, after is not After.NEXT)
        assert bench.stream.closed == (after is After.ENDED)

    on_bench(check)


@pytest.mark.parametrize(("failure", "after"), [(NO_BACKEND, After.NEXT), (STOPPING, After.LINGERS)])
def test_in_place_of_a_server_that_could_not(failure: Failure, after: After) -> None:
    def check(bench: Bench) -> None:
        exchange = bench.exchange()
        assert bench.replies.failed(exchange, failure) is after
        assert bench.status == failure.status
        assert exchange.answered_bytes == len(bench.transport.sent)
        assert bench.log.exchanges == [exchange]

    on_bench(check)


def test_nothing_is_said_to_a_client_that_has_left() -> None:
    def check(bench: Bench) -> None:
        assert bench.replies.failed(bench.exchange(), CLIENT_LEFT) is After.ENDED
        assert bench.transport.sent == b""
        assert bench.transport.aborted
        assert len(bench.log.exchanges) == 1

    on_bench(check)


@pytest.mark.parametrize("minor_version", [0, 1])
def test_an_answer_that_broke_off_is_never_taken_for_a_whole_one(minor_version: int) -> None:
    def check(bench: Bench) -> None:
        exchange = bench.exchange(minor_version)
        exchange.answered = True
        exchange.response = ResponseHead(200, b"OK", 1, b"", UNTIL_CLOSE, False)
        assert bench.replies.failed(exchange, NO_BACKEND) is After.ENDED
        assert bench.transport.sent == b""
        assert bench.stream.closed
        assert bench.transport.aborted == (minor_version == 0), "the end alone would be the end of the body"

    on_bench(check)


def test_what_a_client_that_is_lost_does_not_get_is_logged_all_the_same() -> None:
    def check(bench: Bench) -> None:
        bench.stream.transport = Lost(bench.stream)
        bench.replies.refuse(MalformedRequestError(404, "no route"), make_head(), is_last=False)
        assert [refusal.status for refusal in bench.log.refusals] == [404]
        exchange = bench.exchange()
        exchange.failure = NO_BACKEND
        bench.stream.closed = False
        bench.replies.failed(exchange, NO_BACKEND)
        assert bench.log.exchanges == [exchange]
        assert exchange.answered_bytes == 0

    on_bench(check)
