"""What inspection lets pass and what it faults, frame by frame and byte by byte."""

from __future__ import annotations

import zlib

import pytest

from wsproxy.http.messages import ResponseHead
from wsproxy.ws.control import Side, close_frame, ping_frame
from wsproxy.ws.deflate import Deflate, ExtensionError
from wsproxy.ws.inspect import LARGEST_FRAME_BYTES, InspectState, inspectors
from wsproxy.ws.tap import Tap

MASK = b"\x01\x02\x03\x04"
TEXT, BINARY, CONTINUATION = 1, 2, 0


def frame(opcode: int, payload: bytes, fin: bool = True, masked: bool = False, rsv1: bool = False) -> bytes:
    first = opcode | (0x80 if fin else 0) | (0x40 if rsv1 else 0)
    length = len(payload)
    flag = 0x80 if masked else 0
    if length < 126:
        head = bytes((first, flag | length))
    elif length < 65536:
        head = bytes((first, flag | 126)) + length.to_bytes(2, "big")
    else:
        head = bytes((first, flag | 127)) + length.to_bytes(8, "big")
    if not masked:
        return head + payload
    return head + MASK + bytes(byte ^ MASK[index % 4] for index, byte in enumerate(payload))


def deflated(payload: bytes, compressor: zlib._Compress | None = None) -> bytes:
    compressor = compressor or zlib.compressobj(wbits=-15)
    return (compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH)).removesuffix(b"\x00\x00\xff\xff")


def response(*extensions: bytes) -> ResponseHead:
    lines = b"".join(b"Sec-WebSocket-Extensions: %b\r\n" % extension for extension in extensions)
    return ResponseHead(101, b"Switching Protocols", 1, lines, 0, True, upgrade=b"websocket")


GOOD = [
    frame(TEXT, b"hello"),
    frame(TEXT, "ü".encode()[:1], fin=False) + frame(CONTINUATION, "ü".encode()[1:]),
    frame(BINARY, b"\xff" * 300),
    frame(BINARY, b"x" * 70_000, fin=False) + ping_frame(b"between") + frame(CONTINUATION, b"\xff"),
    frame(10, b"unasked"),
    close_frame(1000, "bye"),
    close_frame(None),
]


@pytest.mark.parametrize("chunk", [1, 7, 100_000])
@pytest.mark.parametrize("data", GOOD)
def test_what_is_in_order_passes_as_it_came(data: bytes, chunk: int) -> None:
    if chunk == 1 and len(data) > 1000:
        chunk = 997
    state = InspectState("upstream", None, None)
    passed = b"".join(state.feed(data[at : at + chunk]) for at in range(0, len(data), chunk))
    assert passed == data
    assert state.fault is None


def test_a_frame_is_held_until_it_is_whole() -> None:
    state = InspectState("upstream", None, None)
    first, second = frame(TEXT, b"one"), frame(TEXT, b"two")
    assert state.feed(first + second[:3]) == first
    assert state.feed(second[3:]) == second


FAULTS: list[tuple[Side, bytes, int]] = [
    ("upstream", frame(TEXT, b"\xff"), 1007),
    ("upstream", frame(TEXT, b"\xc3", fin=False) + frame(CONTINUATION, b""), 1007),
    ("upstream", frame(3, b""), 1002),
    ("upstream", frame(CONTINUATION, b"of nothing"), 1002),
    ("upstream", frame(TEXT, b"a", fin=False) + frame(TEXT, b"b"), 1002),
    ("upstream", frame(TEXT, b"a", rsv1=True), 1002),
    ("upstream", frame(9, b"x" * 126), 1002),
    ("upstream", frame(8, b"\x03\xed"), 1002),  # 1005 must not travel
    ("upstream", frame(8, b"\x03\xe8\xff"), 1007),  # a reason that is not UTF-8
    ("upstream", frame(TEXT, b"masked", masked=True), 1002),
    ("client", frame(TEXT, b"not masked"), 1002),
    ("client", frame(BINARY, b"x" * 101, masked=True), 1009),
    ("client", frame(BINARY, b"x" * 60, fin=False, masked=True) + frame(CONTINUATION, b"x" * 41, masked=True), 1009),
]


@pytest.mark.parametrize(("side", "data", "code"), FAULTS)
def test_faults(side: Side, data: bytes, code: int) -> None:
    state = InspectState(side, None, 100)
    good = frame(TEXT, b"good", masked=side == "client")
    passed = state.feed(good + data + good)
    assert state.fault == code
    assert passed.startswith(good)
    assert len(passed) < len(good + data)
    assert state.feed(good) == b""


def test_a_frame_beyond_all_measure_is_refused_by_its_header() -> None:
    state = InspectState("upstream", None, None)
    assert state.feed(b"\x82\x7f" + (LARGEST_FRAME_BYTES + 1).to_bytes(8, "big")) == b""
    assert state.fault == 1009


def test_compressed_text_is_inflated_to_be_judged_and_passes_compressed() -> None:
    state = InspectState("upstream", Deflate(), None)
    compressor = zlib.compressobj(wbits=-15)
    first = frame(TEXT, deflated(b"hello hello hello", compressor), rsv1=True)
    second = frame(TEXT, deflated(b"hello hello hello", compressor), rsv1=True)  # leans on the first
    assert state.feed(first + second) == first + second
    assert state.feed(frame(TEXT, deflated(b"\xff\xfe", compressor), rsv1=True)) == b""
    assert state.fault == 1007


@pytest.mark.parametrize("side", ["client", "upstream"])
def test_the_limit_counts_inflated_bytes(side: Side) -> None:
    state = InspectState(side, Deflate(client_no_context_takeover=True, server_no_context_takeover=True), 1000)
    masked = side == "client"
    good = frame(BINARY, deflated(bytes(1000)), rsv1=True, masked=masked)
    assert state.feed(good) == good
    assert state.feed(frame(BINARY, deflated(bytes(1001)), rsv1=True, masked=masked)) == b""
    assert state.fault == 1009


def test_broken_compression_is_a_protocol_error() -> None:
    state = InspectState("upstream", Deflate(), None)
    assert state.feed(frame(BINARY, b"\xff\xff\xff\xff", rsv1=True)) == b""
    assert state.fault == 1002


def test_a_tap_keeps_the_last_frames_until_its_time_is_over() -> None:
    state = InspectState("upstream", None, None)
    state.tap = Tap(entries=2, until=10)
    for number in range(4):
        state.feed(frame(TEXT, b"%d" % number + b"x" * 300), now=number)
    state.feed(frame(TEXT, b"too late"), now=10)
    assert [(entry.at, entry.size_bytes, entry.preview[:2]) for entry in state.tap.entries] == [
        (2, 301, b"2x"),
        (3, 301, b"3x"),
    ]
    assert {len(entry.preview) for entry in state.tap.entries} == {256}


@pytest.mark.parametrize(
    "extension", [b"x-bzip", b"permessage-deflate, x-bzip", b"permessage-deflate; level=9", b"permessage-deflate; a=b"]
)
def test_what_cannot_be_inspected(extension: bytes) -> None:
    with pytest.raises(ExtensionError):
        inspectors(response(extension), None)


def test_each_direction_has_its_own() -> None:
    client, upstream = inspectors(response(), None)
    masked, plain = frame(TEXT, b"a", masked=True), frame(TEXT, b"a")
    assert client.feed(masked) == masked
    assert upstream.feed(plain) == plain
