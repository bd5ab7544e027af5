"""Who accepts next, of several processes at one socket."""

from __future__ import annotations

import asyncio
import os

from tests.integration.harness import connect, eventually, in_loop
from wsproxy.net.listen import Listener, open_sockets
from wsproxy.net.stream import Stream
from wsproxy.net.turns import ABSENT, FAR_FEWER, LONG_YIELD_S, SLACK, YIELD_S, AcceptTurn, AcceptTurns


def turns(*numbers: int) -> list[AcceptTurn]:
    """The turns of processes with so many connections."""
    every = AcceptTurns(len(numbers))
    each = [every.of(index) for index in range(len(numbers))]
    for turn, number in zip(each, numbers, strict=True):
        for _ in range(number):
            turn.enter()
    return each


def test_who_has_fewer_goes_first() -> None:
    first, second = turns(1, 0)
    assert (first.is_mine(), second.is_mine()) == (False, True)
    second.enter()
    assert (first.is_mine(), second.is_mine()) == (True, True)
    first.leave()
    assert (first.is_mine(), second.is_mine()) == (True, False)


def test_of_many_a_few_more_do_not_matter() -> None:
    first, second = turns(SLACK * 3, SLACK * 3 + 3)
    assert second.is_mine()
    second.enter()
    assert not second.is_mine()
    assert first.is_mine()


def test_nobody_waits_for_one_that_does_not_accept() -> None:
    every = AcceptTurns(3)
    first, second = every.of(0), every.of(1)  # the third has not come
    first.enter()
    every.absent(1)
    assert first.is_mine()
    first.close()
    first.leave()
    first.enter()
    assert list(first._numbers) == [ABSENT] * 3
    second.leave()


def test_more_never_end_than_have_come() -> None:
    (turn,) = turns(0)
    turn.leave()
    assert turn.is_mine()
    assert list(turn._numbers) == [0]


def test_one_with_far_fewer_is_given_longer_while_it_takes_some() -> None:
    many, few = turns(FAR_FEWER + 2, 0)
    assert many.yield_s() == LONG_YIELD_S
    few.enter()
    many.has_yielded()
    assert many.yield_s() == LONG_YIELD_S
    many.has_yielded()  # it has taken none: it hangs, or has enough to do
    assert many.yield_s() == YIELD_S
    few.enter()
    assert many.yield_s() == YIELD_S  # now it is no longer far fewer
    few.leave()
    few.leave()
    assert many.yield_s() == LONG_YIELD_S  # it has moved since


def test_another_process_sees_the_same_numbers() -> None:
    mine = AcceptTurns(2)
    theirs = AcceptTurns(2, os.dup(mine.descriptor))
    first, second = mine.of(0), theirs.of(1)
    second.enter()
    assert first.is_mine()
    assert not second.is_mine()


async def serve(stream: Stream) -> None:
    await stream.receive()


@in_loop
async def test_a_listener_takes_the_client_that_nobody_else_takes() -> None:
    busy, _ = turns(5, 0)
    sockets = open_sockets("127.0.0.1", 0)
    listener = Listener("test", sockets, serve, 100)
    listener.turn = busy
    running = asyncio.create_task(listener.run())
    await asyncio.sleep(0)
    async with await connect(sockets[0].getsockname()[1]):
        await eventually(lambda: listener.connections == 1)
        assert busy._numbers[0] == 6
    await eventually(lambda: listener.connections == 0)
    assert busy._numbers[0] == 5
    listener.close()
    await running
