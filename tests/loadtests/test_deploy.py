"""loadtests.deploy: real servers and a real proxy, in processes of their own, and the promise of a quiet deploy."""

from __future__ import annotations

import asyncio
import sys

import pytest

from loadtests.deploy import NumberingClient, deploy
from loadtests.frames import BINARY, CLOSE, encode_frame

CLIENTS = 40

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="the processes are watched as on Linux")


@linux_only
def test_servers_that_are_drained_lose_and_double_nothing() -> None:
    report = asyncio.run(deploy("drain", CLIENTS))
    assert (report.lost, report.doubled, report.disordered, report.closes) == (0, 0, 0, {})
    assert report.sent > CLIENTS


@linux_only
def test_servers_that_are_killed_close_nobody() -> None:
    report = asyncio.run(deploy("kill", CLIENTS))
    assert (report.doubled, report.disordered, report.closes) == (0, 0, {})
    assert 0 <= report.lost < report.sent / 2


def test_what_a_client_counts() -> None:
    async def play() -> NumberingClient:
        client = NumberingClient()
        transport = Sink()
        client.connection_made(transport)
        client.data_received(b"HTTP/1.1 101 Switching")
        client.data_received(b" Protocols\r\n\r\n" + encode_frame(BINARY, b"0")[:2])
        client.data_received(encode_frame(BINARY, b"0")[2:])
        for _ in range(4):
            client.say_next()
        assert not client.is_answered
        for number in (2, 1, 2):
            client.data_received(encode_frame(BINARY, b"%d" % number))
        client.data_received(encode_frame(CLOSE, (1012).to_bytes(2, "big")))
        return client

    client = asyncio.run(play())
    assert client.sent == 4
    assert client.heard == {0: 1, 1: 1, 2: 2}
    assert client.disordered == 1
    assert client.end == "closed: 1012"


class Sink(asyncio.Transport):
    """Takes what is written to it."""

    def write(self, _: bytes | bytearray | memoryview) -> None: ...
