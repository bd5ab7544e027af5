"""Listening sockets that another process gives away, by the names of their sections."""

from __future__ import annotations

import socket

import pytest

from wsproxy.net.listen import ListenError, open_sockets
from wsproxy.supervisor.dataplane import GivenSockets
from wsproxy.supervisor.named_sockets import NamedSockets, laid_out


def two() -> list[socket.socket]:
    return [each for _ in range(2) for each in open_sockets("127.0.0.1", 0)]


def test_what_is_laid_out_in_a_row_comes_back_by_section() -> None:
    one, other = two()
    listeners = {"frontend": [one, other], "admin": []}
    names, sockets = laid_out(listeners)
    assert (names, sockets) == (["frontend", "frontend"], [one, other])
    named = NamedSockets()
    named.give(names, sockets)
    assert named.take("frontend:other", "127.0.0.1", 0) == []
    assert named.take("frontend", "127.0.0.1", 0) == [one, other]
    assert named.take("frontend", "127.0.0.1", 0) == [], "who takes them has them alone"
    one.close()
    other.close()


def test_what_no_section_wants_is_closed_and_was_kept_by_nobody() -> None:
    one, other = two()
    named = NamedSockets()
    named.give(["a", "b"], [one, other])
    assert named.take("b", "127.0.0.1", 0) == [other]
    assert named.close() == []
    assert (one.fileno(), other.fileno() >= 0) == (-1, True)
    assert named.take("a", "127.0.0.1", 0) == []
    other.close()


def test_sockets_without_a_name_for_each_change_nothing() -> None:
    one, other = two()
    named = NamedSockets()
    named.give(["a"], [one])
    with pytest.raises(ValueError, match="argument"):
        named.give(["b"], [one, other])
    assert named.by_name == {"a": [one]}
    one.close()
    other.close()


def test_a_data_plane_opens_nothing_that_it_was_not_given() -> None:
    with pytest.raises(ListenError, match=r"no socket came for 127\.0\.0\.1:80"):
        GivenSockets().take("frontend", "127.0.0.1", 80)
