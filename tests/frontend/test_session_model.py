"""frontend/session.py: sessions through random interleavings of all that can happen to them, seeded.

Clients send requests whole, in pieces, several at once, and leave in every way; servers answer well, badly, late, or
not at all; deadlines are swept, routes are replaced, the service stops, the servers' group is cut off. Between any two
of these the loop gets no turn, or some. Whatever happens: answers come in order and to whom they belong, each request
is answered once or its connection ends, each is counted and logged once, and nothing is left behind.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass, field, replace
from typing import Final

import pytest

from tests.backend.test_group import InOrder
from tests.fakes import ROUTE, make_server, run, settle, until
from tests.frontend.random_sides import Answer, Server, Wire, answers_in
from tests.frontend.test_usual_request import Noted
from wsproxy.backend.group import Group
from wsproxy.config.model import FrontendSettings
from wsproxy.config.watch_settings import WatchSettings
from wsproxy.errors import CLIENT_LEFT
from wsproxy.exchange import Exchange
from wsproxy.frontend.admission import Gate, Refusals
from wsproxy.frontend.route import Handler, Route
from wsproxy.frontend.service import HttpService
from wsproxy.frontend.session import ClientSession
from wsproxy.http.codec import with_line
from wsproxy.http.messages import MalformedRequestError, RequestHead, ResponseHead
from wsproxy.limiting.gate import Verdict
from wsproxy.net.deadlines import Deadlines
from wsproxy.net.stream import Stream

SEEDS: Final = 300
STEPS: Final = 60
REFUSALS: Final = (404, 429)
"""Of requests that no route got, which the log knows by no target."""
EDITED: Final = b"X-Edited: yes\r\n"
SETTINGS: Final = FrontendSettings("frontend", "127.0.0.1", 1, keepalive_requests=12)
PATHS: Final = ("/plain/", "/plain/", "/plain/", "/edited/", "/timed/", "/gated/", "/kept/", "/handled/", "/nowhere/")


@dataclass
class Peer:
    """A client: what it has asked so far, and what is still to be sent of that."""

    session: ClientSession
    stream: Stream
    wire: Wire
    task: asyncio.Task[object]
    asked: list[tuple[bytes, bytes]] = field(default_factory=list)
    unsent: bytes = b""
    has_left: bool = False
    is_cancelled: bool = False

    @property
    def answers(self) -> list[Answer]:
        is_ended = self.wire.closing or self.wire.eof_written
        return list(answers_in(self.wire.sent, (method for method, _ in self.asked), is_ended, self.wire.aborted))


class OpenGate(Gate):
    """Lets two of three in, after a wait."""

    def __init__(self, route: Route) -> None:
        super().__init__(None, None, Refusals("gated", route.totals, None))
        self._asked = 0

    async def admit(self, head: RequestHead, client: str, is_first: bool) -> Verdict:
        await asyncio.sleep(0)
        self._asked += 1
        if self._asked % 3 == 0:
            raise MalformedRequestError(429, "too many")
        return Verdict(0.0, b"X-Limit: 1\r\n")


class World:
    """A service with routes of each kind, two servers behind it, and clients."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.deadlines = Deadlines()
        self.late_s = 0.0
        servers = [make_server(name, min_workers=1, max_workers=2, buffer_size=2) for name in "ab"]
        self.group = Group("http", servers, self.deadlines, WatchSettings(outlier=None))
        self.servers = [Server(), Server()]
        for backend, server in zip(self.group.backends.values(), self.servers, strict=True):
            backend.pool._dialer = server
        self.log = Noted()
        self.service = HttpService(SETTINGS, self.deadlines, self.log, is_secure=False)
        self.made: list[bytes] = []
        self.routes = [self._route(path) for path in dict.fromkeys(PATHS) if path != "/nowhere/"]
        self.service.use_routes(self.routes)
        self.peers: list[Peer] = []
        self.tasks: set[asyncio.Task[None]] = set()
        self.running: asyncio.Task[None] = asyncio.ensure_future(self.group.run())

    def _route(self, path: str) -> Route:
        timeout_s = 5.0 if path == "/timed/" else None
        settings = replace(ROUTE, name=path, path_prefix=path, retries=1, request_timeout_s=timeout_s)
        route = Route(settings, self.group, InOrder())
        edits = [self._edit] if path == "/edited/" else []
        route.edit(self._prepare, edits)
        if path == "/gated/":
            route.gate = OpenGate(route)
        if path in ("/kept/", "/handled/"):
            route.handler = self._handler()
        if path == "/kept/":
            route.at_once = self._at_once
        return route

    def _prepare(self, exchange: Exchange, *_: str) -> None:
        assert not exchange.client.write_paused, "who reads no answers gets no more of them"
        self.made.append(exchange.head.target)

    @staticmethod
    def _edit(response: ResponseHead, _: Exchange) -> ResponseHead:
        assert EDITED not in response.fields, "edited twice"
        return with_line(response, EDITED)

    def _at_once(self, exchange: Exchange) -> Handler | None:
        if self.rng.random() < 0.3:
            return self._handler()
        self._answer(exchange)
        return None

    @staticmethod
    def _answer(exchange: Exchange) -> None:
        body = b"" if exchange.head.method == b"HEAD" else exchange.head.target
        close = b"" if exchange.keep_alive else b"Connection: close\r\n"
        head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%b\r\n" % (len(exchange.head.target), close)
        exchange.answered = True
        if not exchange.client.try_write(head + body):
            exchange.failure = CLIENT_LEFT
        exchange.response = ResponseHead(200, b"OK", 1, b"", len(body), True)

    def _handler(self) -> Handler:
        async def handle(exchange: Exchange, _: Route) -> None:
            if exchange.body is not None:
                exchange.keep_alive = False
            await asyncio.sleep(0)
            if exchange.abandoned is None:
                self._answer(exchange)

        return handle

    # What happens.

    def step(self) -> None:
        """One thing."""
        rng = self.rng
        happens = 2 * [self.connect] + 8 * [self.client_acts] + 9 * [self.server_acts] + [self.sweep, self.reconfigure]
        rng.choice(happens)()

    def connect(self) -> None:
        if sum(not peer.task.done() for peer in self.peers) < 3 and not self.service.stopping:
            stream = Stream(asyncio.get_running_loop())
            wire = Wire(stream)
            session = ClientSession(stream, self.service)
            task: asyncio.Task[object] = asyncio.ensure_future(self._serve(session, stream))
            self.peers.append(Peer(session, stream, wire, task))

    @staticmethod
    async def _serve(session: ClientSession, stream: Stream) -> None:
        """As a listener does."""
        try:
            assert await session.run() is None
        finally:
            stream.close()

    def server_acts(self) -> None:
        self.rng.choice(self.servers).act(self.rng)

    def client_acts(self) -> None:
        if not self.peers:
            return
        rng = self.rng
        peer = rng.choice(self.peers[-3:])
        what = rng.random()
        if what < 0.7:
            if not peer.unsent and not peer.has_left:
                for _ in range(rng.choice([1, 1, 1, 1, 2, 3])):
                    peer.unsent += self.request(peer)
            size = rng.randrange(1, len(peer.unsent) + 1) if peer.unsent and rng.random() < 0.25 else len(peer.unsent)
            self.send(peer, size)
        elif what < 0.82:
            peer.wire.set_reading(not peer.wire.is_read)
        else:
            self._end(peer)

    def _end(self, peer: Peer) -> None:
        """The client leaves, or the connection is ended from inside."""
        if peer.has_left or peer.task.done():
            return
        peer.has_left = True
        how = self.rng.choice(["end", "end", "end", "lose", "lose", "abort", "cancel"])
        if how == "cancel":
            peer.is_cancelled = True
            peer.task.cancel()
        else:
            {"end": peer.wire.end, "lose": peer.wire.lose, "abort": peer.session.abort}[how]()

    def request(self, peer: Peer) -> bytes:
        """The bytes of a request with a target of its own."""
        rng = self.rng
        method = rng.choice([b"GET"] * 6 + [b"HEAD", b"POST"])
        target = b"%b%d-%d" % (rng.choice(PATHS).encode(), self.peers.index(peer), len(peer.asked))
        peer.asked.append((method, target))
        version = 0 if rng.random() < 0.05 else 1
        fields, body = b"Host: a\r\n", b""
        if method == b"POST":
            fields, body = fields + b"Content-Length: 4\r\n", b"body"
        if rng.random() < 0.05:
            fields += b"Connection: close\r\n"
        if rng.random() < 0.05:
            fields += b"Connection: Upgrade\r\nUpgrade: h2c\r\n"
        return b"%b %b HTTP/1.%d\r\n%b\r\n%b" % (method, target, version, fields, body)

    @staticmethod
    def send(peer: Peer, size: int) -> None:
        if not peer.has_left and size:
            data, peer.unsent = peer.unsent[:size], peer.unsent[size:]
            peer.wire.feed(data)

    def sweep(self, later_s: float = 0.0) -> None:
        self.late_s += later_s or self.rng.choice([0.1, 0.1, 3.0, 6.0, 20.0, 100.0])
        self.deadlines.sweep(asyncio.get_running_loop().time() + self.late_s)

    def reconfigure(self) -> None:
        """What operators do."""
        rng = self.rng
        what = rng.random()
        if what < 0.3:
            self.service.use_routes(self.routes)
        elif what < 0.5:
            route = self.routes[0]
            route.handler = None if route.handler else self._handler()
        elif what < 0.6:
            self.servers[0].refusing = not self.servers[0].refusing
        elif what < 0.8:
            backend = rng.choice(list(self.group.backends.values()))
            self.start(self.group.set_up(backend, not backend.up))
        elif what < 0.84:
            self.start(self.cut())
        elif what < 0.87:
            self.service.stopping = True
            self.service.lingers = rng.random() < 0.5
            if not self.service.lingers:
                self.service.stop_sessions()

    def start(self, what: Coroutine[None, None, None]) -> None:
        task = asyncio.ensure_future(what)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def cut(self) -> None:
        """The group ends, and clients go on: some workers are woken, or made, and never have their turn."""
        self.running.cancel()
        for _ in range(8):
            self.client_acts()
            await asyncio.sleep(0)

    async def finish(self) -> None:
        """Clients send what they have begun and read all, servers answer, and time passes until all are gone."""
        for server in self.servers:
            server.refusing = False
        for peer in self.peers:
            peer.wire.set_reading(True)
            if peer.unsent:
                self.send(peer, len(peer.unsent))
        for _ in range(400):
            for server in self.servers:
                server.act(self.rng)
            await asyncio.sleep(0)
        for peer in self.peers:
            if peer.task.done() or peer.session in self.service.ending:
                continue
            assert not peer.stream.eof
            assert not self.service.stopping or self.service.lingers
            assert len(peer.answers) == len(peer.asked)
        self.service.lingers = False
        for _ in range(3):
            self.sweep(200.0)
            await settle()


def check(world: World) -> None:
    """What holds at the end, whatever has happened."""
    logged = Counter(world.log.targets)
    for peer in world.peers:
        assert peer.task.done()
        assert peer.is_cancelled or peer.task.exception() is None
        assert peer.stream.on_data is None
        assert peer.session.exchange is None
        answers = peer.answers
        for (method, target), answer in zip(peer.asked, answers, strict=False):
            if answer.status == 200 and method != b"HEAD":
                assert answer.body.replace(target, b"") == b"" or not answer.is_whole, (answer, target)
                assert answer.body[: len(target)] == target[: len(answer.body)]
        assert len(answers) <= len(peer.asked)
        assert all(answer.is_whole and not answer.is_last for answer in answers[:-1])
        for (_, target), answer in zip(peer.asked, answers, strict=False):
            was_refused = answer.status in REFUSALS or answer.status == 408  # to its head, or to its body
            assert peer.is_cancelled or was_refused or logged[target] == 1, answer
            assert logged[target] == 0 or answer.status not in REFUSALS
    counted = sum(answered.total.count for route in world.routes for answered in route.totals.answered())
    cancelled = sum(peer.is_cancelled for peer in world.peers)  # who may leave one exchange that nobody counts
    assert len(world.made) - cancelled <= counted <= len(world.made)
    lines = [target for target in world.log.targets if target != b"refused"]
    assert counted == len(lines)
    assert not Counter(lines) - Counter(world.made)
    assert sum(world.service.refused.values()) == logged[b"refused"]
    assert not world.service.sessions
    assert not world.group.waiting
    for backend in world.group.backends.values():
        assert not backend.pool.queue
        assert backend.pool.idle == len(backend.pool.workers)


def live(seed: int) -> None:
    async def main() -> None:
        rng = random.Random(seed)
        world = World(rng)
        await until(lambda: all(backend.pool.idle for backend in world.group.backends.values()))
        world.connect()
        for _ in range(STEPS):
            world.step()
            for _ in range(rng.choice([0, 0, 1, 2, 5, 10])):
                await asyncio.sleep(0)
        await world.finish()
        check(world)
        world.running.cancel()
        await asyncio.wait([world.running])

    run(main)


@pytest.mark.parametrize("first", range(0, SEEDS, 100))
def test_whatever_happens(first: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        for seed in range(first, first + 100):
            delays = random.Random(seed)
            monkeypatch.setattr(Stream, "end_delay_s", lambda _: delays.choice([0.0, 1.0]))  # noqa: B023 - now
            try:
                live(seed)
            except BaseException as error:
                error.add_note(f"seed {seed}")
                raise
    assert not caplog.records
