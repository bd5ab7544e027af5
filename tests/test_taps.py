"""The taps that operators have set: how many there are, and when they are forgotten."""

from __future__ import annotations

from typing import cast

import pytest

from wsproxy.admin.control import ConflictError, UnknownError
from wsproxy.frontend.relay import Relay
from wsproxy.taps import KEPT_S, MOST_TAPS, Taps
from wsproxy.ws.tap import Tap, TapEntry


class Tappable:
    """As much of a relay as a tap needs."""

    is_inspected = True

    def __init__(self) -> None:
        self.latest = Tap(1, 0.0)

    def tap(self, for_s: float, now: float) -> Tap:
        self.latest = Tap(3, now + for_s)
        return self.latest


def relay() -> Relay:
    return cast(Relay, Tappable())


def test_there_is_an_end_to_them() -> None:
    taps = Taps()
    for number in range(MOST_TAPS):
        taps.begin(f"ws.{number}", relay(), 10.0, 1000.0)
    with pytest.raises(ConflictError, match="already"):
        taps.begin("ws.one-more", relay(), 10.0, 1000.0)
    taps.begin("ws.5", relay(), 10.0, 1000.0)
    taps.begin("ws.one-more", relay(), 20.0 + KEPT_S, 1010.0 + KEPT_S)
    with pytest.raises(UnknownError):
        taps.seen("ws.5", 1010.0 + KEPT_S)


def test_what_was_noted_is_let_go() -> None:
    taps = Taps()
    one = Tappable()
    taps.begin("ws.1", cast(Relay, one), 10.0, 1000.0)
    one.latest.note(TapEntry(1001.0, "client", 3, 1, b"\xff"))
    (frame,) = taps.seen("ws.1", 1010.0).frames
    assert (frame.kind, frame.preview, frame.is_text) == ("3", "ff", False)
    assert taps.seen("ws.1", 1010.0 + KEPT_S - 1).left_s == 0
    with pytest.raises(UnknownError):
        taps.seen("ws.1", 1010.0 + KEPT_S)
    assert not one.latest.entries


@pytest.mark.parametrize(
    ("payload", "preview"),
    [(b"", ""), (b"\x03\xe8", "1000"), (b"\x0f\xa1bye", "4001 bye"), (b"\x03\xe8\xff", "1000 \ufffd")],
)
def test_a_close_is_shown_as_code_and_reason(payload: bytes, preview: str) -> None:
    taps = Taps()
    one = Tappable()
    taps.begin("ws.1", cast(Relay, one), 10.0, 1000.0)
    one.latest.note(TapEntry(1001.0, "upstream", 8, len(payload), payload))
    (frame,) = taps.seen("ws.1", 1001.0).frames
    assert (frame.kind, frame.preview) == ("close", preview)


def test_text_that_was_cut_inside_a_character_is_text() -> None:
    taps = Taps()
    one = Tappable()
    taps.begin("ws.1", cast(Relay, one), 10.0, 1000.0)
    one.latest.note(TapEntry(1001.0, "client", 1, 500, "gr\u00fc\u00df".encode()[:-1]))
    (frame,) = taps.seen("ws.1", 1001.0).frames
    assert (frame.preview, frame.is_text) == ("gr\u00fc", True)
