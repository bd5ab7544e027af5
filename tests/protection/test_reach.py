"""When nobody is to wait for a connection any more, and when one may again."""

from __future__ import annotations

import pytest

from wsproxy.protection.reach import ReachState


def test_dials_in_vain_for_as_long_as_one_may_wait() -> None:
    state = ReachState()
    assert not state.judge(100.0, 5.0, has_connections=False), "nobody has dialled"
    state.dialling(100.0)
    state.dialling(104.0)
    assert not state.judge(104.9, 5.0, has_connections=False)
    assert not state.judge(105.0, 5.0, has_connections=True)
    assert state.judge(105.0, 5.0, has_connections=False)
    assert state.is_lost
    assert not state.judge(106.0, 5.0, has_connections=False), "which changes nothing more"


def test_one_that_opens_ends_it() -> None:
    state = ReachState()
    state.dialling(100.0)
    assert not state.connected()
    state.dialling(200.0)
    assert not state.judge(204.0, 5.0, has_connections=False)
    assert state.judge(205.0, 5.0, has_connections=False)
    assert state.connected()
    assert not state.is_lost
    assert not state.connected()


@pytest.mark.parametrize(("now", "expected"), [(0.9, False), (1.0, True)])
def test_a_slow_handshake_is_not_lost_however_little_one_may_wait(now: float, expected: bool) -> None:
    state = ReachState()
    state.dialling(0.0)
    assert state.judge(now, 0.05, has_connections=False) is expected
