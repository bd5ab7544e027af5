"""loadtests.frames: the few frames a load sends are the ones RFC 6455 describes."""

from __future__ import annotations

import pytest

from loadtests.frames import BINARY, PING, accept_key, encode_frame, scan_frame


def test_accept_key_is_the_one_of_the_rfc() -> None:
    # RFC 6455 section 1.3
    assert accept_key(b"dGhlIHNhbXBsZSBub25jZQ==") == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def test_a_masked_frame_of_the_rfc_is_unmasked() -> None:
    # RFC 6455 section 5.7: "Hello", masked
    assert scan_frame(bytes.fromhex("818537fa213d7f9f4d5158")) == (1, b"Hello", 11)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536])
def test_a_frame_is_read_back_as_it_was_written(size: int, masked: bool) -> None:
    payload = b"x" * size
    frame = encode_frame(BINARY, payload, masked=masked)
    assert scan_frame(frame + b"more") == (BINARY, payload, len(frame))


@pytest.mark.parametrize("size", [5, 300, 70_000])
def test_no_part_of_a_frame_is_taken_for_the_whole(size: int) -> None:
    frame = encode_frame(PING, bytes(size), masked=True)
    for length in [*range(15), len(frame) - 1]:
        if length < len(frame):
            assert scan_frame(frame[:length]) is None
