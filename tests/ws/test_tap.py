"""The ring of a tap: bounded in entries and in time."""

from __future__ import annotations

from wsproxy.ws.tap import Tap, TapEntry


def entry(at: float) -> TapEntry:
    return TapEntry(at, "client", 1, 3, b"one")


def test_the_latest_are_kept() -> None:
    tap = Tap(entries=3, until=100.0)
    for at in range(5):
        tap.note(entry(at))
    assert [kept.at for kept in tap.entries] == [2, 3, 4]


def test_nothing_is_noted_once_the_time_is_over() -> None:
    tap = Tap(entries=3, until=100.0)
    tap.note(entry(99.9))
    tap.note(entry(100.0))
    assert [kept.at for kept in tap.entries] == [99.9]
    assert not tap.is_over(99.9)
    assert tap.is_over(100.0)
