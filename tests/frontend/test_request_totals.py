"""What a route counts of each request: by backend and code, whole answers and those that were streamed."""

from __future__ import annotations

from tests.fakes import Client, run
from wsproxy.errors import CLIENT_LEFT, NO_BACKEND, Failure, bad_answer
from wsproxy.exchange import Exchange
from wsproxy.frontend.request_totals import RequestTotals
from wsproxy.http.messages import ResponseHead


def ended(status: int, failure: Failure | None = None, first_byte_s: float = 0.0, total_s: float = 0.2) -> Exchange:
    exchange = Client().exchange
    exchange.started_at = 100.0
    exchange.ended_at = 100.0 + total_s
    if first_byte_s:
        exchange.first_byte_at = 100.0 + first_byte_s
    if status:
        exchange.answered = True
        exchange.response = ResponseHead(status, b"", 1, b"", 0, True)
    exchange.backend_name = "server1"
    exchange.failure = failure
    return exchange


def counted(*exchanges: Exchange) -> dict[tuple[str, int], int]:
    totals = RequestTotals()
    for exchange in exchanges:
        totals.record(exchange)
    return {(each.backend, each.code): each.total.count for each in totals.answered()}


def test_requests_are_counted_by_what_the_client_saw() -> None:
    async def main() -> None:
        unserved = ended(0, NO_BACKEND)
        unserved.backend_name = ""
        assert counted(
            ended(200),
            ended(200),
            ended(404),
            ended(0, bad_answer("none")),
            ended(200, bad_answer("broke off"), first_byte_s=0.1),
            ended(200, CLIENT_LEFT, first_byte_s=0.1),
            ended(0, CLIENT_LEFT),
            unserved,
        ) == {
            ("server1", 200): 3,
            ("server1", 404): 1,
            ("server1", 502): 1,
            ("server1", 499): 2,
            ("", 503): 1,
        }

    run(main)


def test_the_first_byte_of_an_answer_in_one_piece_is_its_last() -> None:
    async def main() -> None:
        totals = RequestTotals()
        totals.record(ended(200, total_s=0.3))
        totals.record(ended(200, total_s=9.0, first_byte_s=0.02))
        (answered,) = totals.answered()
        assert answered.total.count == answered.first_byte.count == 2
        assert round(answered.total.sum_s, 6) == 9.3
        assert round(answered.first_byte.sum_s, 6) == 0.32

    run(main)


def test_an_upgrade_counts_as_101() -> None:
    async def main() -> None:
        assert counted(ended(101)) == {("server1", 101): 1}

    run(main)
