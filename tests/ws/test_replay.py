"""Which of a client's first messages are kept for another server."""

from __future__ import annotations

import pytest

from wsproxy.ws.replay import ReplayState

MASK = b"\x01\x02\x03\x04"


def frame(opcode: int, size: int, fin: bool = True) -> bytes:
    """A masked frame of the client's."""
    if size < 126:
        length = bytes((0x80 | size,))
    else:
        length = bytes((0x80 | 126,)) + size.to_bytes(2, "big") if size < 65536 else b"\xff" + size.to_bytes(8, "big")
    return bytes((opcode | (0x80 if fin else 0),)) + length + MASK + bytes(size)


ONE, TWO, THREE = frame(1, 5), frame(1, 300, fin=False) + frame(0, 0), frame(2, 7)


@pytest.mark.parametrize("chunk", [1, 2, 7, 10_000])
def test_the_first_messages_are_kept_without_what_stands_between(chunk: int) -> None:
    said = frame(9, 3) + ONE + frame(1, 300, fin=False) + frame(10, 125) + frame(0, 0) + frame(9, 0) + THREE
    state = ReplayState(2, 1000)
    for at in range(0, len(said), chunk):
        state.feed(said[at : at + chunk])
    assert (state.replay(), state.messages, state.full) == (ONE + TWO, 2, True)


def test_only_whole_messages_are_kept() -> None:
    state = ReplayState(3, 1000)
    state.feed(ONE + TWO + THREE[:-1])
    assert (state.replay(), state.messages, state.full) == (ONE + TWO, 2, False)
    state.feed(THREE[-1:])
    assert (state.replay(), state.messages, state.full) == (ONE + TWO + THREE, 3, True)


def test_what_does_not_fit_ends_the_keeping() -> None:
    state = ReplayState(3, len(ONE) + len(TWO) - 1)
    state.feed(ONE + TWO + THREE)
    assert (state.replay(), state.messages, state.full) == (ONE, 1, True)
    exactly = ReplayState(3, len(ONE) + len(TWO))
    exactly.feed(ONE + TWO + THREE)
    assert (exactly.replay(), exactly.messages) == (ONE + TWO, 2)


def test_nothing_is_held_of_a_frame_that_will_not_fit() -> None:
    for huge in (frame(2, 70_000), frame(9, 200)):
        state = ReplayState(2, 60_000)
        state.feed(ONE + huge[:140])
        assert (state.replay(), state.full) == (ONE, True)


def test_nothing_is_kept_where_none_is_wanted() -> None:
    state = ReplayState(0, 1000)
    state.feed(ONE)
    assert (state.replay(), state.full) == (b"", True)
