"""The baton: one end for each attempt, one clock for each wait, and a client that leaves wherever it is held."""

from __future__ import annotations

from tests.fakes import Client, in_loop, settle
from wsproxy.errors import CLIENT_LEFT, NO_BACKEND
from wsproxy.exchange import BodyError, Exchange


class Holder:
    def __init__(self) -> None:
        self.let_go_of: list[Exchange] = []

    def let_go(self, exchange: Exchange) -> None:
        self.let_go_of.append(exchange)


class Body:
    replayable = False
    complete = drained = False
    read_bytes = kept_bytes = 0
    trailers = b""
    rewound = 0

    def take_buffered(self) -> bytes:
        return b""

    async def read(self) -> bytes:
        return b""

    def rewind(self) -> None:
        self.rewound += 1


@in_loop
async def test_an_attempt_ends_once() -> None:
    exchange = Client().exchange
    done = exchange.begin()
    exchange.finish()
    exchange.finish()
    exchange.fail(NO_BACKEND)
    await done
    await settle()
    assert exchange.times_finished == 1


@in_loop
async def test_an_end_without_a_beginning_is_kept() -> None:
    exchange = Client().exchange
    exchange.fail(NO_BACKEND)
    assert exchange.failure is NO_BACKEND


@in_loop
async def test_a_new_attempt_forgets_the_old_failure() -> None:
    exchange = Client().exchange
    first = exchange.begin()
    exchange.fail(NO_BACKEND)
    second = exchange.begin()
    assert exchange.failure is None
    assert (first.done(), second.done()) == (True, False)
    exchange.finish()
    await second


@in_loop
async def test_the_clock_is_started_once() -> None:
    exchange = Client().exchange
    exchange.start_clock(100.0)
    exchange.start_clock(200.0)
    assert (exchange.offered_at, exchange.give_up_at) == (100.0, 105.0)


@in_loop
async def test_a_client_that_leaves_is_let_go_of_by_the_holder_once() -> None:
    exchange, holder = Client().exchange, Holder()
    done = exchange.begin()
    exchange.holder = holder
    exchange.abandon()
    exchange.abandon()
    assert exchange.abandoned
    assert holder.let_go_of == [exchange]
    assert not done.done(), "that is for the holder to say"


@in_loop
async def test_a_client_that_leaves_on_the_way_ends_the_attempt() -> None:
    exchange = Client().exchange
    done = exchange.begin()
    exchange.abandon()
    assert done.done()
    assert exchange.failure is CLIENT_LEFT


@in_loop
async def test_a_client_that_leaves_with_the_whole_answer_is_not_one_that_left_early() -> None:
    exchange = Client().exchange
    exchange.begin()
    exchange.finish()
    exchange.abandon()
    assert (exchange.abandoned, exchange.failure) == (None, None)


@in_loop
async def test_a_client_that_leaves_between_two_attempts_is_one_that_left() -> None:
    exchange = Client().exchange
    exchange.begin()
    exchange.fail(NO_BACKEND)
    exchange.abandon()
    assert exchange.abandoned is exchange.failure is CLIENT_LEFT


@in_loop
async def test_a_request_without_a_body_can_always_be_sent_again() -> None:
    exchange = Client().exchange
    assert exchange.replayable
    exchange.rewind()


@in_loop
async def test_a_body_says_whether_it_can_be_sent_again() -> None:
    body = Body()
    exchange = Client(body=body).exchange
    assert not exchange.replayable
    exchange.rewind()
    assert body.rewound == 1


def test_a_body_error_says_what_the_client_may_know() -> None:
    assert str(BodyError(NO_BACKEND)) == NO_BACKEND.message
