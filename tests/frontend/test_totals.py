"""The counters of a route."""

from __future__ import annotations

import pytest

from wsproxy.frontend.totals import Traffic, close_class
from wsproxy.ws.frames import FrameScanner


@pytest.mark.parametrize(
    ("code", "shown"), [(1000, 1000), (1006, 1006), (1015, 1015), (3000, 3000), (3999, 3000), (4321, 4000), (77, 0)]
)
def test_a_peer_cannot_make_counters_without_end(code: int, shown: int) -> None:
    assert close_class(code) == shown


def test_traffic_adds_what_runs_without_changing() -> None:
    ended, running = FrameScanner(), FrameScanner()
    ended.feed(b"\x81\x02hi\x89\x00")
    running.feed(b"\x82\x03abc\x8a\x00")
    traffic = Traffic()
    traffic.add(ended)
    now = traffic.added([running])
    assert (now.messages, now.texts, now.data_bytes, now.pings, now.pongs) == (2, 1, 5, 1, 1)
    assert (traffic.messages, traffic.texts, traffic.data_bytes, traffic.pings, traffic.pongs) == (1, 1, 2, 1, 0)
