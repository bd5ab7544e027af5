"""What routes match, edit and answer by themselves can be changed while they serve: no connection is lost for it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest

from tests.integration.harness import Message, RawServer, Wire, connect, get, http_route, in_loop
from tests.integration.websocket_wire import TEXT, echo, frame, handshake, receive_frame
from wsproxy.app import Application
from wsproxy.config.build import load
from wsproxy.config.model import Config

HEAD = "[frontend]\nhost = 127.0.0.1\nport = 0\n[log]\naccess = off\n"


class Changing:
    """The product, and the routes that its next reload reads."""

    def __init__(self, routes: str) -> None:
        self.routes = routes
        self.application = Application(self.read(), self.read)
        self.port = 0

    def read(self) -> Config:
        return load(HEAD + self.routes, "a.ini", {}, "/")

    async def reload(self, routes: str) -> None:
        self.routes = routes
        plan = await self.application.reload()
        assert (plan.routes.added, plan.routes.removed) == ((), ())


@asynccontextmanager
async def changing(routes: str) -> AsyncIterator[Changing]:
    running = Changing(routes)
    async with anyio.create_task_group() as tasks:
        (address,) = await tasks.start(running.application.run)
        running.port = int(address.rpartition(":")[2])
        try:
            yield running
        finally:
            tasks.cancel_scope.cancel()


async def mirror(wire: Wire) -> None:
    """Answer with the head that came, a Location and a cookie."""
    while True:
        head = (await wire.request()).head
        fields = b"Server: theirs\r\nLocation: /v1/x\r\nSet-Cookie: a=b; Path=/v1\r\n"
        await wire.send(b"HTTP/1.1 201 Created\r\nContent-Length: %d\r\n%b\r\n%b" % (len(head), fields, head))


async def ask(client: Wire, target: bytes = b"/api/x") -> Message:
    await client.send(get(target, b"X-Mine: 1"))
    return await client.response()


@pytest.mark.parametrize(
    ("line", "part", "before", "after"),
    [
        ("strip_prefix = yes", "body", b"GET /v1/api/x ", b"GET /v1/x "),
        ("set_request_header = X-New: {client_ip}", "body", b"X-Mine: 1\r\n", b"X-New: 127.0.0.1\r\n"),
        ("remove_request_header = X-Mine\npreserve_host = yes", "body", b"X-Mine: 1\r\nX-F", b"site.example\r\nX-F"),
        ("add_header = X-New: {backend}", "head", b"Server: theirs\r\n", b"X-New: http://127.0.0.1:"),
        ("remove_header = Location\nadd_header = Server: mine", "head", b"Location: ", b"Server: mine"),
        ("rewrite_redirects = yes", "head", b"Location: /v1/x\r\n", b"Location: /x\r\n"),
        ("rewrite_cookies = yes", "head", b"Path=/v1\r\n", b"Path=/\r\n"),
    ],
)
@in_loop
async def test_edits_change_on_the_connections_there_are(line: str, part: str, before: bytes, after: bytes) -> None:
    async with RawServer(mirror) as server:
        plain = f"[http]\nserver1 = http://127.0.0.1:{server.port}/v1\npath_prefix = /api\nhealth_check_interval = 1h\n"
        async with changing(plain) as running, await connect(running.port) as client:
            for routes, there in ((plain, before), (plain + line, after), (plain, before)):
                await running.reload(routes)
                assert there in getattr(await ask(client), part)
            assert server.opened == 1, "the server's connection goes on too"


@in_loop
async def test_methods_and_hosts_change_for_a_connection_that_repeats_itself() -> None:
    async with RawServer(mirror) as server:
        plain = http_route(server.port)
        async with changing(plain) as running, await connect(running.port) as client:
            for line, status in (("", 201), ("method = POST", 405), ("host = a, b", 404), ("host = site.example", 201)):
                await running.reload(plain + line)
                assert (await ask(client)).status == status
            assert server.opened == 1


@in_loop
async def test_fixed_answers_become_others_and_servers_and_back() -> None:
    plain = "[http]\nrespond = 200 one"
    async with RawServer(mirror) as server, changing(plain) as running, await connect(running.port) as client:
        for routes, status in (
            (plain, 200),
            ("[http]\nrespond = 403", 403),
            ("[http]\nredirect = 308 https://{host}{uri}", 308),
            (http_route(server.port), 201),
            ("[http]\nrespond = 202", 202),
        ):
            await running.reload(routes)
            assert (await ask(client)).status == status


@in_loop
async def test_websockets_stay_when_the_edits_of_their_route_change() -> None:
    async with RawServer(echo) as server:
        plain = http_route(server.port, lines="path_prefix = /api", section="websocket")
        async with changing(plain) as running, await connect(running.port) as old, await connect(running.port) as new:
            await old.send(handshake(target=b"/api/ws"))
            assert (await old.response()).field(b"x-new") is None
            await running.reload(plain + "strip_prefix = yes\nadd_header = X-New: 1\n")
            await new.send(handshake(target=b"/api/ws"))
            assert (await new.response()).field(b"x-new") == b"1"
            for client in (old, new):
                await client.send(frame(TEXT, b"hello", masked=True))
                assert await receive_frame(client) == (TEXT, b"hello")
        assert [bytes(wire.received).split(b" ", 2)[1] for wire in server.wires] == [b"/api/ws", b"/ws"]
