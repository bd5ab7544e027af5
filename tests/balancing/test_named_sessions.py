"""Sessions that servers name: what their answers look like, and how many are remembered for how long."""

from __future__ import annotations

import pytest

from wsproxy.balancing.named_sessions import NamedSessions, named_in


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (b'0{"sid":"lv_VI97HAXpY6yYWAAAB","upgrades":["websocket"],"pingInterval":25000}', b"lv_VI97HAXpY6yYWAAAB"),
        (b'96:0{"sid":"ABC-1.2~3","upgrades":[]}2:40', b"ABC-1.2~3"),
        (b'___eio[0]("96:0{\\"sid\\":\\"ABC\\",\\"upgrades\\":[]}");', b"ABC"),
        (b'\x00\x09\x06\xff0{"sid":"old"}', b"old"),
        (b'0{"sid":"not whole', b""),
        (b'0{"sid":""}', b""),
        (b'0{"sid":"' + b"x" * 129 + b'"}', b""),
        (b'4{"sid":"a message"}', b""),
        (b'{"sid":"somebody else\'s"}', b""),
        (b" " * 33 + b'0{"sid":"late"}', b""),
        (b"", b""),
    ],
)
def test_what_names_a_session(body: bytes, name: bytes) -> None:
    assert named_in(body) == name


def test_a_name_leads_to_who_gave_it_last() -> None:
    sessions = NamedSessions()
    sessions.note(b"s", "a", 0.0)
    sessions.note(b"s", "b", 1.0)
    assert sessions.backend_of(b"s", 2.0) == "b"
    assert sessions.backend_of(b"t", 2.0) == ""
    assert len(sessions) == 1


def test_a_name_is_forgotten_when_it_is_not_used() -> None:
    sessions = NamedSessions(ttl_s=10.0)
    sessions.note(b"used", "a", 0.0)
    sessions.note(b"not", "a", 0.0)
    assert sessions.backend_of(b"used", 9.0) == "a"
    assert sessions.backend_of(b"used", 18.0) == "a"
    assert sessions.backend_of(b"not", 18.0) == ""
    assert sessions.backend_of(b"used", 29.0) == ""
    assert len(sessions) == 0


def test_the_old_make_room_for_the_new() -> None:
    sessions = NamedSessions(limit=3, ttl_s=10.0)
    for number in range(3):
        sessions.note(b"%d" % number, "a", 0.0)
    assert sessions.backend_of(b"0", 1.0) == "a"
    sessions.note(b"3", "b", 1.0)
    assert [sessions.backend_of(b"%d" % number, 1.0) for number in range(4)] == ["a", "", "a", "b"]
    sessions.note(b"4", "b", 20.0)
    assert len(sessions) == 1, "those whose time is over go with the next that comes"
