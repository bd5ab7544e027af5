"""loadtests.ws_load: against the comparison's own origin, in a process of its own, and on echoes that are none."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from loadtests.closed_loop import AnswerError, ClosedLoop, LoadSettings, Progress
from loadtests.frames import BINARY, encode_frame
from loadtests.peers import ORIGIN, Peer, PeerError, Ports, Running, running
from loadtests.ws_load import EchoConversation, IdleConnections

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="epoll and /proc are Linux's")


@pytest.fixture(scope="module")
def origin() -> Iterator[Running]:
    with running(ORIGIN, min(os.sched_getaffinity(0))) as process:
        yield process


@linux_only
@pytest.mark.parametrize("size", [1, 128, 16 * 1024, 70_000])
def test_echoes_come_back_whole(origin: Running, size: int) -> None:
    settings = LoadSettings(port=origin.port, connections=3, seconds=0.1, warm_up_s=0.05, watch_pid=origin.pid)
    report = ClosedLoop(settings, lambda: EchoConversation(size)).run()
    assert report.failures == {}
    assert report.completed > 0
    assert report.cpu_s > 0


@linux_only
def test_idle_connections_stay_open(origin: Running) -> None:
    with closing(IdleConnections(origin.port)) as idle:
        idle.open(5)
        idle.rest(0.05)
        idle.open(1)


@linux_only
def test_lost_idle_connections_are_an_error() -> None:
    with running(ORIGIN, min(os.sched_getaffinity(0))) as process:
        idle = IdleConnections(process.port)
        idle.open(1)
    with closing(idle), pytest.raises(AnswerError, match="lost"):
        idle.rest(5)


@linux_only
def test_a_peer_that_ends_at_once_says_why() -> None:
    def command(_directory: Path, _ports: Ports) -> list[str]:
        return [sys.executable, "-c", "raise SystemExit('no such luck')"]

    broken = Peer("broken", command, lambda: "")
    with pytest.raises(PeerError, match="no such luck"), running(broken, min(os.sched_getaffinity(0))):
        pytest.fail("it runs")


def test_an_answer_in_pieces_is_complete_with_the_last() -> None:
    conversation = EchoConversation(200)
    answer = encode_frame(BINARY, conversation.request[8:])  # two bytes of head, two of length, four of key
    pieces = [answer[:3], answer[3:100], answer[100:]]
    progress = [conversation.received(bytearray(piece), len(piece)) for piece in pieces]
    assert progress == [Progress.MORE, Progress.MORE, Progress.COMPLETE]


def test_another_message_is_not_the_echo() -> None:
    conversation = EchoConversation(8)
    answer = encode_frame(BINARY, bytes(8))
    with pytest.raises(AnswerError, match="not the echo"):
        conversation.received(bytearray(answer), len(answer))
