"""The scanner, frame by frame: what it counts, what it holds, where it stops."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from wsproxy.ws.control import close_frame
from wsproxy.ws.frames import SIZE_CLASSES, FrameScanner

KEY = b"\x01\x02\x03\x04"
TEXT, BINARY, CONTINUATION, CLOSE, PING, PONG = 1, 2, 0, 8, 9, 10
OURS = close_frame(1012)
MARKER = b"\x07marker\x00"


def xor(payload: bytes) -> bytes:
    return bytes(byte ^ KEY[index % 4] for index, byte in enumerate(payload))


def frame(opcode: int, payload: bytes = b"", final: bool = True, masked: bool = True, bits: int = 0) -> bytes:
    """One frame as section 5.2 draws it; `bits` are the reserved ones."""
    size = len(payload)
    first = (0x80 if final else 0) | bits | opcode
    flag = 0x80 if masked else 0
    if size < 126:
        head = bytes([first, flag | size])
    elif size < 65536:
        head = bytes([first, flag | 126]) + size.to_bytes(2, "big")
    else:
        head = bytes([first, flag | 127]) + size.to_bytes(8, "big")
    return head + (KEY + xor(payload) if masked else payload)


def endless(opcode: int = BINARY) -> bytes:
    return bytes([0x80 | opcode, 127]) + b"\xff" * 8


def bytewise(scanner: FrameScanner, data: bytes) -> bytes:
    return b"".join(scanner.feed(data[i : i + 1]) for i in range(len(data)))


def whole(scanner: FrameScanner, data: bytes) -> bytes:
    return scanner.feed(data)


FEEDS: list[Callable[[FrameScanner, bytes], bytes]] = [whole, bytewise]
each_chunking = pytest.mark.parametrize("give", FEEDS)
masked_or_not = pytest.mark.parametrize("masked", [True, False])


@masked_or_not
@pytest.mark.parametrize("size", [0, 1, 2, 125, 126, 65535, 65536])
def test_a_whole_message_passes_as_the_object_it_came_in(size: int, masked: bool) -> None:
    scanner = FrameScanner()
    data = frame(TEXT, b"x" * size, masked=masked)
    assert scanner.feed(data) is data
    assert (scanner.messages, scanner.frames, scanner.data_bytes) == (1, 1, size)
    assert scanner.at_message_boundary


@masked_or_not
@pytest.mark.parametrize("size", [0, 125, 126, 65536])
def test_a_message_byte_by_byte_has_one_boundary_at_each_end(size: int, masked: bool) -> None:
    scanner = FrameScanner()
    data = frame(BINARY, b"x" * size, masked=masked)
    assert scanner.at_frame_boundary
    for index in range(len(data) - 1):
        piece = data[index : index + 1]
        assert scanner.feed(piece) is piece
        assert not scanner.at_frame_boundary
    scanner.feed(data[-1:])
    assert scanner.at_message_boundary
    assert (scanner.messages, scanner.data_bytes) == (1, size)


def test_many_frames_in_one_buffer_pass_as_that_buffer() -> None:
    scanner = FrameScanner()
    data = b"".join(frame(TEXT, b"x" * size) for size in (0, 1, 125, 126, 300, 65535, 65536, 2)) + frame(PING, b"p")
    assert scanner.feed(data) is data
    assert (scanner.messages, scanner.pings, scanner.frames) == (8, 1, 9)


def test_compressed_messages_count_like_others() -> None:
    scanner = FrameScanner()
    scanner.feed(frame(TEXT, b"x", bits=0x40))
    assert (scanner.messages, scanner.data_bytes) == (1, 1)


@each_chunking
def test_fragments_make_one_message_with_control_frames_between(give: Callable[[FrameScanner, bytes], bytes]) -> None:
    scanner = FrameScanner()
    give(scanner, frame(TEXT, b"one", final=False))
    assert (scanner.at_frame_boundary, scanner.at_message_boundary) == (True, False)
    give(scanner, frame(PING, b"p"))
    give(scanner, frame(PONG, b"q"))
    assert (scanner.at_frame_boundary, scanner.at_message_boundary) == (True, False)
    give(scanner, frame(CONTINUATION, b"two", final=False))
    give(scanner, frame(CONTINUATION, b"three"))
    assert scanner.at_message_boundary
    assert (scanner.messages, scanner.frames, scanner.data_bytes, scanner.pings, scanner.pongs) == (1, 5, 11, 1, 1)


@each_chunking
@masked_or_not
@pytest.mark.parametrize(
    ("payload", "code"), [(b"", None), (b"\x03", None), (b"\x03\xe8", 1000), (b"\x0f\xa1why", 4001)]
)
def test_a_close_is_seen_with_its_code(
    give: Callable[[FrameScanner, bytes], bytes], masked: bool, payload: bytes, code: int | None
) -> None:
    scanner = FrameScanner()
    data = frame(CLOSE, payload, masked=masked)
    assert give(scanner, data) == data
    assert (scanner.close_seen, scanner.close_passed, scanner.close_code) == (True, True, code)


def test_only_the_first_close_counts() -> None:
    scanner = FrameScanner()
    scanner.feed(frame(CLOSE, b"\x03\xe8") + frame(CLOSE, b"\x03\xe9"))
    assert (scanner.close_code, scanner.frames) == (1000, 2)


@each_chunking
@pytest.mark.parametrize(
    "violation",
    [
        frame(3, b"reserved opcode"),
        frame(11, b"reserved control"),
        frame(TEXT, b"reserved bits", bits=0x30),
        frame(TEXT, b"no mask", masked=False),
        frame(PING, b"x" * 126),
        frame(PONG, b"x" * 70000),
        frame(PING, b"fragmented", final=False),
        frame(CONTINUATION, b"of nothing"),
        bytes([0x82, 126, 0, 1]) + b"x",  # a length written longer than it need be
    ],
)
def test_violations_pass_and_are_followed(give: Callable[[FrameScanner, bytes], bytes], violation: bytes) -> None:
    scanner = FrameScanner()
    assert give(scanner, violation) == violation
    assert scanner.at_message_boundary
    assert scanner.frames == 1
    give(scanner, frame(CLOSE, b"\x03\xe8"))
    assert scanner.close_code == 1000


def test_the_code_of_an_oversized_close_is_read() -> None:
    scanner = FrameScanner()
    bytewise(scanner, frame(CLOSE, b"\x0f\xa0" + b"x" * 300))
    assert scanner.close_code == 4000
    assert scanner.at_frame_boundary


@each_chunking
@pytest.mark.parametrize("opcode", [BINARY, PING])
def test_an_impossible_length_makes_it_opaque(give: Callable[[FrameScanner, bytes], bytes], opcode: int) -> None:
    scanner = FrameScanner()
    data = endless(opcode) + b"x" * 200
    assert give(scanner, data) == data
    assert scanner.opaque
    assert not scanner.at_frame_boundary
    assert scanner.close(OURS, forced=True) == b""
    assert give(scanner, frame(CLOSE)) == frame(CLOSE)
    assert not scanner.close_seen


# Limit


@each_chunking
def test_a_message_of_the_limit_passes_and_one_more_byte_does_not(give: Callable[[FrameScanner, bytes], bytes]) -> None:
    scanner = FrameScanner(max_message_bytes=200)
    fits = frame(TEXT, b"x" * 200) + frame(BINARY, b"x" * 3)
    assert give(scanner, fits) == fits
    assert scanner.messages == 2
    assert give(scanner, frame(TEXT, b"last") + frame(TEXT, b"x" * 201)) == frame(TEXT, b"last")
    assert scanner.too_big
    assert scanner.at_message_boundary
    assert give(scanner, frame(TEXT, b"later")) == b""
    assert (scanner.messages, scanner.frames) == (3, 3)


@each_chunking
def test_the_limit_is_over_all_fragments_but_no_control_frame(give: Callable[[FrameScanner, bytes], bytes]) -> None:
    scanner = FrameScanner(max_message_bytes=10)
    fits = frame(TEXT, b"12345", final=False) + frame(PING, b"x" * 50) + frame(CONTINUATION, b"67890", final=False)
    assert give(scanner, fits) == fits
    assert give(scanner, frame(CONTINUATION, b"!")) == b""
    assert scanner.too_big


def test_each_message_has_the_whole_limit() -> None:
    scanner = FrameScanner(max_message_bytes=10)
    for _ in range(3):
        scanner.feed(frame(TEXT, b"12345", final=False))
        scanner.feed(frame(CONTINUATION, b"67890"))
    assert (scanner.too_big, scanner.messages) == (False, 3)


def test_an_announcement_alone_is_too_big() -> None:
    scanner = FrameScanner(max_message_bytes=1000)
    assert scanner.feed(frame(TEXT, b"x" * 70000)[:14]) == b""
    assert scanner.too_big
    scanner = FrameScanner(max_message_bytes=1000)
    assert scanner.feed(endless()) == b""
    assert (scanner.too_big, scanner.opaque) == (True, False)


def test_the_close_behind_a_message_too_big_is_still_seen() -> None:
    scanner = FrameScanner(max_message_bytes=10)
    scanner.feed(frame(TEXT, b"1", final=False) + frame(CONTINUATION, b"x" * 500))
    assert scanner.close(OURS) == OURS
    assert scanner.feed(frame(CLOSE, b"\x03\xf1")) == b""
    assert scanner.close_code == 1009


# Pongs of our own


@each_chunking
@masked_or_not
def test_our_pong_is_taken_out_and_others_pass(give: Callable[[FrameScanner, bytes], bytes], masked: bool) -> None:
    scanner = FrameScanner()
    scanner.expected_pong = MARKER
    before, ours, other, after = (
        frame(TEXT, b"before", masked=masked),
        frame(PONG, MARKER, masked=masked),
        frame(PONG, b"not ours", masked=masked),
        frame(TEXT, b"after", masked=masked),
    )
    assert give(scanner, before + ours + other + after) == before + other + after
    assert (scanner.pongs_swallowed, scanner.pongs, scanner.messages) == (1, 1, 2)
    assert give(scanner, ours) == b""


@pytest.mark.parametrize(
    "other", [frame(PING, MARKER), frame(PONG, MARKER + b"x" * 120), frame(PONG, MARKER, final=False), frame(PONG)]
)
def test_nothing_but_that_pong_is_taken_out(other: bytes) -> None:
    scanner = FrameScanner()
    scanner.expected_pong = MARKER
    assert bytewise(scanner, other) == other
    assert scanner.pongs_swallowed == 0


def test_a_pong_of_the_longest_marker_is_compared_whole() -> None:
    scanner = FrameScanner()
    scanner.expected_pong = b"x" * 125
    oversized = frame(PONG, b"x" * 126)
    assert bytewise(scanner, oversized) == oversized


def test_bytes_that_had_passed_before_the_ping_stay_passed() -> None:
    scanner = FrameScanner()
    pong = frame(PONG, MARKER)
    assert scanner.feed(pong[:5]) == pong[:5]
    scanner.expected_pong = MARKER
    assert scanner.feed(pong[5:7]) == pong[5:7]
    assert not scanner.at_frame_boundary
    assert scanner.feed(pong[7:]) == pong[7:]
    assert (scanner.pongs, scanner.pongs_swallowed) == (1, 0)


def test_a_held_part_leaves_room_for_a_frame_of_ours() -> None:
    scanner = FrameScanner()
    scanner.expected_pong = MARKER
    assert scanner.feed(frame(TEXT, b"x") + b"\x8a") == frame(TEXT, b"x")
    assert scanner.at_frame_boundary


# Closes of our own


def test_at_a_boundary_our_close_goes_at_once_and_nothing_follows() -> None:
    scanner = FrameScanner()
    assert scanner.close(OURS) == OURS
    assert scanner.close_passed
    assert scanner.feed(frame(TEXT, b"late")) == b""
    assert scanner.feed(frame(CLOSE, b"\x03\xf4")) == b""
    assert (scanner.close_seen, scanner.close_code, scanner.frames) == (True, 1012, 0)
    assert scanner.close(OURS) == scanner.force() == b""


@each_chunking
def test_inside_a_frame_our_close_waits_for_its_end(give: Callable[[FrameScanner, bytes], bytes]) -> None:
    scanner = FrameScanner()
    data = frame(TEXT, b"a message")
    scanner.feed(data[:8])
    assert scanner.close(OURS) == b""
    assert scanner.close(close_frame(1001)) == b"", "the first one stays"
    assert give(scanner, data[8:] + frame(TEXT, b"late")) == data[8:] + OURS


@each_chunking
def test_inside_a_message_our_close_waits_for_the_last_fragment(give: Callable[[FrameScanner, bytes], bytes]) -> None:
    scanner = FrameScanner()
    scanner.feed(frame(TEXT, b"one", final=False))
    assert scanner.close(OURS) == b""
    rest = frame(PING, b"p") + frame(CONTINUATION, b"two")
    assert give(scanner, rest + frame(TEXT, b"late")) == rest + OURS


def test_forced_our_close_stands_between_fragments() -> None:
    scanner = FrameScanner()
    scanner.feed(frame(TEXT, b"one", final=False))
    assert scanner.close(OURS) == b""
    assert scanner.force() == OURS
    assert scanner.feed(frame(CONTINUATION, b"two")) == b""


def test_forced_inside_a_fragment_it_waits_for_the_fragment_only() -> None:
    scanner = FrameScanner()
    first, second = frame(TEXT, b"one", final=False), frame(CONTINUATION, b"two", final=False)
    scanner.feed(first[:7])
    scanner.close(OURS)
    assert scanner.force() == b""
    assert scanner.feed(first[7:] + second) == first[7:] + OURS


def test_forced_behind_a_header_in_pieces_it_waits_for_that_frame() -> None:
    scanner = FrameScanner()
    message = frame(TEXT, b"whole")
    scanner.feed(message[:1])
    assert scanner.close(OURS, forced=True) == b""
    assert scanner.feed(message[1:3]) == message[1:3]
    assert scanner.feed(message[3:] + frame(PING)) == message[3:] + OURS


@each_chunking
def test_their_close_makes_room_for_ours_that_waits(give: Callable[[FrameScanner, bytes], bytes]) -> None:
    scanner = FrameScanner()
    scanner.feed(frame(TEXT, b"one", final=False))
    scanner.close(OURS)
    assert give(scanner, frame(CLOSE, b"\x03\xf4")) == OURS
    assert (scanner.close_seen, scanner.close_passed, scanner.frames) == (True, True, 1)


@each_chunking
def test_an_impossible_length_makes_room_for_ours_that_waits(give: Callable[[FrameScanner, bytes], bytes]) -> None:
    scanner = FrameScanner()
    scanner.feed(frame(TEXT, b"one", final=False))
    scanner.close(OURS)
    assert give(scanner, endless()) == OURS
    assert not scanner.opaque


def test_a_message_too_big_makes_room_for_ours_that_waits() -> None:
    scanner = FrameScanner(max_message_bytes=10)
    scanner.feed(frame(TEXT, b"one", final=False))
    scanner.close(OURS)
    assert scanner.feed(frame(CONTINUATION, b"x" * 10)) == OURS


def test_their_close_that_had_begun_to_pass_stands_for_ours() -> None:
    scanner = FrameScanner()
    theirs = frame(CLOSE, b"\x03\xe8")
    scanner.feed(theirs[:3])
    assert scanner.close(OURS) == b""
    assert scanner.feed(theirs[3:] + frame(TEXT, b"late")) == theirs[3:] + frame(TEXT, b"late")
    assert scanner.close_passed
    assert scanner.force() == b""


def test_a_held_part_is_dropped_behind_our_close() -> None:
    scanner = FrameScanner()
    scanner.expected_pong = MARKER
    theirs = frame(CLOSE, b"\x03\xe8")
    assert scanner.feed(theirs[:3]) == b""
    assert scanner.close(OURS) == OURS
    assert bytewise(scanner, theirs[3:] + theirs[:2]) == b""
    assert scanner.close_code == 1000


def test_activity_changes_with_data_and_inside_a_frame_but_not_with_pings() -> None:
    scanner = FrameScanner()
    seen = {scanner.activity}
    scanner.feed(frame(TEXT))
    seen.add(scanner.activity)
    long = frame(BINARY, b"x" * 1000)
    for index in range(0, len(long), 400):
        scanner.feed(long[index : index + 400])
        seen.add(scanner.activity)
    assert len(seen) == 5
    scanner.feed(frame(PING) + frame(PONG))
    assert scanner.activity in seen


def test_texts_are_told_from_binary_messages() -> None:
    scanner = FrameScanner()
    scanner.feed(b"\x81\x01a")
    scanner.feed(b"\x82\x01a\x81\x00\x82\x00")
    scanner.feed(b"\x01\x01a\x80\x01b\x02\x00\x80\x00")
    assert (scanner.messages, scanner.texts) == (6, 3)


def test_progress_changes_with_every_kind_of_frame_and_inside_one() -> None:
    scanner = FrameScanner()
    scanner.expected_pong = b"ours"
    seen = [scanner.progress]
    for data in (b"\x82\x02a", b"b", b"\x89\x00", b"\x8a\x00", b"\x8a\x04ours", b"\x02\x00"):
        scanner.feed(data)
        seen.append(scanner.progress)
    assert len(set(seen)) == len(seen)


@pytest.mark.parametrize(
    ("limit", "data"), [(None, b"\x88\x00"), (1, b"\x82\x02ab")], ids=["a Close", "a message over the limit"]
)
def test_the_beginning_of_the_end_is_marked(limit: int | None, data: bytes) -> None:
    scanner = FrameScanner(limit)
    scanner.feed(b"\x82\x01a")
    assert not scanner.ending
    scanner.feed(data)
    assert scanner.ending


def test_a_close_of_ours_marks_the_end_once_it_has_passed() -> None:
    scanner = FrameScanner()
    scanner.feed(b"\x82\x02a")
    assert scanner.close(b"\x88\x00") == b""
    assert not scanner.ending
    assert scanner.feed(b"b") == b"b\x88\x00"
    assert scanner.ending


def test_a_parting_close_is_kept_and_its_successor_counts_on() -> None:
    scanner = FrameScanner(side="upstream")
    scanner.parting_codes = frozenset({1012})
    assert scanner.feed(b"\x82\x01a\x88") == b"\x82\x01a"
    assert scanner.feed(b"\x02\x03\xf4\x82\x01b") == b""
    assert scanner.parted
    assert scanner.ending
    assert not scanner.close_seen
    heir = scanner.successor()
    assert heir.feed(b"\x82\x01c") == b"\x82\x01c"
    assert (heir.messages, heir.side, heir.parting_codes) == (2, "upstream", frozenset({1012}))


def test_other_closes_pass_and_so_does_a_parting_one_inside_a_message() -> None:
    scanner = FrameScanner(side="upstream")
    scanner.parting_codes = frozenset({1012})
    assert scanner.feed(b"\x88\x02\x03\xe8") == b"\x88\x02\x03\xe8"
    scanner = FrameScanner(side="upstream")
    scanner.parting_codes = frozenset({1012})
    data = b"\x02\x01a\x88\x02\x03\xf4"
    assert scanner.feed(data) == data
    assert not scanner.parted


@each_chunking
def test_messages_are_told_apart_by_size(give: Callable[[FrameScanner, bytes], bytes]) -> None:
    """By the least power of two that they do not exceed; fragments count together, and only once they are whole."""
    sizes = [0] * SIZE_CLASSES
    scanner = FrameScanner(sizes=sizes)
    for payload_bytes in (0, 1, 2, 3, 4, 16, 17, 1024, 1025, 65536):
        give(scanner, frame(BINARY, bytes(payload_bytes)))
    counted = {size: count for size, count in enumerate(sizes) if count}
    assert counted == {0: 1, 1: 2, 2: 2, 4: 1, 5: 1, 10: 1, 11: 1, 16: 1}
    heir = scanner.successor()
    give(heir, frame(TEXT, b"12345", final=False) + frame(PING, b"?"))
    assert sizes[3] == 0
    give(heir, frame(CONTINUATION, b"678"))
    assert sizes[3] == 1
    assert sum(sizes) == scanner.messages + 1 == heir.messages


def test_a_size_nobody_can_mean_has_its_place() -> None:
    sizes = [0] * SIZE_CLASSES
    scanner = FrameScanner(sizes=sizes)
    scanner.feed(frame(BINARY, b"some", final=False))
    scanner.feed(endless(CONTINUATION))
    assert sizes[-1] == 1
