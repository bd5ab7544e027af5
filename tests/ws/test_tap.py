"""What a tap shows of frames that pass it, wherever they are cut and wherever it begins."""

from __future__ import annotations

import pytest

from wsproxy.ws.control import close_frame, ping_frame
from wsproxy.ws.tap import Tap, TapFollower

MASK = b"\x01\x02\x03\x04"
TEXT = b"\x81\x05hello"
MASKED = b"\x82\x84" + MASK + b"\x00\x00\x00\x00"
LONG = b"\x82\x7f" + (70_000).to_bytes(8, "big") + b"x" * 70_000
COMPRESSED = b"\xc1\x02ab"
SEEN = [
    (1, 5, b"hello", False),
    (2, 4, MASK, False),
    (2, 70_000, b"x" * 256, False),
    (1, 2, b"ab", True),
    (9, 2, b"hi", False),
    (8, 2, b"\x03\xe8", False),
]


def shown(tap: Tap) -> list[tuple[int, int, bytes, bool]]:
    return [(entry.opcode, entry.size_bytes, entry.preview, entry.compressed) for entry in tap.entries]


@pytest.mark.parametrize("chunk", [1, 3, 1000, 100_000])
def test_frames_are_shown_however_they_are_cut(chunk: int) -> None:
    tap = Tap(entries=10, until=10.0)
    follower = TapFollower("client", tap, at_boundary=True)
    data = TEXT + MASKED + LONG + COMPRESSED + ping_frame(b"hi", MASK) + close_frame(1000)
    for at in range(0, len(data), chunk):
        follower.feed(data[at : at + chunk], 1.0, at_boundary=False)
    assert shown(tap) == SEEN
    assert {(entry.side, entry.at) for entry in tap.entries} == {("client", 1.0)}


def test_a_tap_that_begins_inside_a_frame_waits_for_its_end() -> None:
    tap = Tap(entries=10, until=10.0)
    follower = TapFollower("upstream", tap, at_boundary=False)
    follower.feed(b"\x81\x7f looks like a frame", 1.0, at_boundary=False)
    follower.feed(b"the end of it", 1.0, at_boundary=True)
    assert not tap.entries
    follower.feed(TEXT, 1.0, at_boundary=True)
    assert shown(tap) == SEEN[:1]


def test_the_ring_and_the_time_are_bounded() -> None:
    tap = Tap(entries=2, until=10.0)
    follower = TapFollower("upstream", tap, at_boundary=True)
    follower.feed(TEXT + COMPRESSED + COMPRESSED, 9.9, at_boundary=True)
    assert [entry.size_bytes for entry in tap.entries] == [2, 2]
    assert (tap.is_over(9.9), tap.is_over(10.0)) == (False, True)
    follower.feed(TEXT, 10.0, at_boundary=True)
    assert [entry.size_bytes for entry in tap.entries] == [2, 2]
