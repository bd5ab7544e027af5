"""A client that has ended its side: whether it waits for its answer, and how long it is looked for."""

from __future__ import annotations

import asyncio

import pytest

from tests.fakes import FakeTransport, run, until
from wsproxy.frontend.half_closed import ENDED_WITH_REQUEST_S, LAST_LOOK_S, abort_at_reset, waits_for_answer
from wsproxy.net.stream import Stream


class HalfClosed(Stream):
    """A stream of which the kernel says what the test says."""

    __slots__ = ("delay_s", "looks", "was_reset")

    def __init__(self) -> None:
        super().__init__(asyncio.get_running_loop())
        self.delay_s = 0.0
        self.looks = 0
        self.was_reset = False

    @property
    def is_reset(self) -> bool:
        self.looks += 1
        return self.was_reset

    def end_delay_s(self) -> float:
        return self.delay_s


@pytest.mark.parametrize(("delay_s", "waits"), [(0.0, True), (ENDED_WITH_REQUEST_S, False), (float("inf"), False)])
def test_an_end_right_with_the_request_is_no_farewell(delay_s: float, waits: bool) -> None:
    async def main() -> None:
        stream = HalfClosed()
        stream.delay_s = delay_s
        assert waits_for_answer(stream) == waits

    run(main)


def test_a_client_that_goes_later_is_seen_to_go() -> None:
    async def main() -> None:
        stream = HalfClosed()
        transport = FakeTransport(stream)
        abort_at_reset(stream, lambda: False)
        await until(lambda: stream.looks == 3)
        assert not transport.aborted
        stream.was_reset = True
        await until(lambda: transport.aborted)
        assert stream.looks == 4

    run(main)


def test_nobody_looks_once_it_is_over() -> None:
    async def main() -> None:
        stream = HalfClosed()
        transport = FakeTransport(stream)
        over: list[bool] = [False, True]
        asked: list[bool] = []

        def is_over() -> bool:
            asked.append(True)
            return over[len(asked) - 1]

        abort_at_reset(stream, is_over)
        await until(lambda: len(asked) == 2)
        stream.was_reset = True
        loop = asyncio.get_running_loop()
        next_look_at = loop.time() + LAST_LOOK_S / 5  # there would have been two more by then
        await until(lambda: loop.time() > next_look_at)
        assert stream.looks == 2
        assert not transport.aborted

    run(main)
