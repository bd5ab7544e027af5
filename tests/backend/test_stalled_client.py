"""How long a client that reads its answer slowly is waited for: as long as it takes something."""

from __future__ import annotations

import asyncio

import pytest

from tests.fakes import Client, make_stream, run, settle
from wsproxy.backend.connection import ClientGoneError, UpstreamConnection
from wsproxy.net.deadlines import Deadlines
from wsproxy.protection.persistence import PersistenceState


def test_a_client_is_waited_for_while_it_takes_something() -> None:
    async def main() -> None:
        deadlines = Deadlines()
        connection = UpstreamConnection(make_stream()[0], deadlines, PersistenceState())
        client = Client()
        client.stream.stall_timeout_s = 10.0
        connection.exchange = client.exchange
        client.stream.pause_writing()
        client.transport.unsent_bytes = 1000
        sending = asyncio.create_task(connection.send(client.exchange, b"data"))
        await settle()
        now = deadlines.now
        for unsent_bytes in (900, 899, 10):
            client.transport.unsent_bytes = unsent_bytes
            now += 11
            deadlines.sweep(now)
            await settle()
            assert not client.transport.aborted
        client.stream.resume_writing()
        await sending

        client.stream.pause_writing()
        sending = asyncio.create_task(connection.send(client.exchange, b"more"))
        await settle()
        states = []
        for later_s in (9, 11):
            deadlines.sweep(now + later_s)
            states.append(client.transport.aborted)
        assert states == [False, True]
        with pytest.raises(ClientGoneError):
            await sending
        assert not connection.timed_out  # nobody blames the server

    run(main)
