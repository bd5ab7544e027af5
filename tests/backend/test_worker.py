"""One worker and one scripted server: what becomes of each kind of answer, failure and body."""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from dataclasses import replace

import pytest
from anyio import BrokenResourceError, EndOfStream

from tests.fakes import ANSWER, ROUTE, Client, FakeTransport, UpstreamDialer, run, settle, sweep, until
from wsproxy.backend.authority import Authority
from wsproxy.backend.connection import UpstreamConnection
from wsproxy.backend.guard import Guard
from wsproxy.backend.totals import PoolTotals
from wsproxy.backend.worker import Worker
from wsproxy.config.model import RouteSettings
from wsproxy.config.watch_settings import WatchSettings
from wsproxy.errors import BODY_TOO_LARGE, INTERNAL, Failure, Retry
from wsproxy.exchange import BodyError, Exchange
from wsproxy.http.messages import CHUNKED
from wsproxy.net.deadlines import TICK_S, Deadlines
from wsproxy.protection.persistence import PersistenceState


class Home:
    """A pool of one: hands out what the test gives it."""

    def __init__(self, upstream: UpstreamDialer, tasks: asyncio.TaskGroup, authority: Authority) -> None:
        self.name = "server1"
        self.exchanges = 0
        self.authority = authority
        self.deadlines = Deadlines()
        self.persistence = PersistenceState()
        self.trials: list[UpstreamConnection] = []
        self.takes_trials = False
        self.totals = PoolTotals()
        self.guard = Guard(WatchSettings())
        self.upstream = upstream
        self.tasks = tasks
        self.next_ones: deque[Exchange] = deque()
        self.rested = 0
        self.gone: list[Worker] = []

    async def connect(self, route: RouteSettings) -> UpstreamConnection:
        return UpstreamConnection(await self.upstream.dial(route.connect_timeout_s), self.deadlines, self.persistence)

    def try_out(self, connection: UpstreamConnection) -> bool:
        self.trials.append(connection)
        return self.takes_trials

    def next_exchange(self, worker: Worker) -> Exchange | None:
        return self.next_ones.popleft() if self.next_ones else None

    def put_down(self, worker: Worker) -> None:
        self.rested += 1
        worker.wake(None)

    def left(self, worker: Worker) -> None:
        self.gone.append(worker)


class Body:
    """A request body in pieces; an exception among them is raised; `None` waits for ever."""

    def __init__(self, *pieces: bytes | Exception | None, buffered: bytes = b"") -> None:
        self._all = pieces
        self._pieces = deque(pieces)
        self._buffered = buffered
        self.rewound = 0
        self.replayable = True
        self.trailers = b""
        self.read_bytes = self.kept_bytes = 0
        self.reading = asyncio.Event()

    @property
    def complete(self) -> bool:
        return not self._pieces and not self._buffered

    @property
    def drained(self) -> bool:
        return self.complete

    def take_buffered(self) -> bytes:
        data, self._buffered = self._buffered, b""
        return data

    async def read(self) -> bytes:
        self.reading.set()
        piece = self._pieces[0]
        if piece is None:
            await asyncio.get_running_loop().create_future()
        if isinstance(piece, Exception):
            raise piece
        await asyncio.sleep(0)
        self._pieces.popleft()
        assert piece is not None
        return piece

    def rewind(self) -> None:
        self.rewound += 1
        self._pieces = deque(self._all)


PLAIN = Authority(b"10.0.0.1:80", False)


async def carry(upstream: UpstreamDialer, *clients: Client, authority: Authority = PLAIN) -> Home:
    """Have a worker carry the exchanges one after another, then leave."""
    async with asyncio.TaskGroup() as tasks:
        home = Home(upstream, tasks, authority)
        for client in clients:
            client.exchange.begin()
        home.next_ones.extend(client.exchange for client in clients[1:])
        await Worker(home, clients[0].exchange).run()
        assert home.rested == 1
        assert len(home.deadlines) == 0, "a worker that left watches nothing"
    await settle()
    assert not upstream.open
    for client in clients:
        assert client.exchange.times_finished == 1
        assert client.exchange.holder is None
    return home


def respond(raw: bytes, minor_version: int = 1, method: bytes = b"GET") -> tuple[Client, UpstreamDialer]:
    """One request answered with `raw`, behind which the server ends its side."""

    async def main() -> tuple[Client, UpstreamDialer]:
        upstream = UpstreamDialer()
        client = Client(method=method)
        client.exchange.head.minor_version = minor_version
        client.exchange.keep_alive = client.exchange.head.keep_alive = minor_version > 0
        carried = asyncio.ensure_future(carry(upstream, client))
        await until(lambda: upstream.transports and upstream.transports[0].sent)
        upstream.transports[0].feed(raw)
        await settle()
        upstream.transports[0].end()
        await carried
        return client, upstream

    return run(main)


DATE = b"Date: Tue, 15 Nov 1994 08:12:31 GMT\r\n"  # or it would get one
HEAD = b"HTTP/1.1 200 OK\r\n" + DATE
CLOSE = b"Connection: close\r\n"
CODED = b"Transfer-Encoding: chunked\r\n"
NOTHING = b"HTTP/1.1 204 No Content\r\n" + DATE + b"\r\n"
UNCHANGED = b"HTTP/1.1 304 Not Modified\r\nETag: x\r\n" + DATE + b"\r\n"


@pytest.mark.parametrize(
    ("raw", "minor_version", "sent", "keep_alive"),
    [
        (HEAD + b"Content-Length: 2\r\n\r\nok", 1, HEAD + b"Content-Length: 2\r\n\r\nok", True),
        (HEAD + b"Content-Length: 0\r\n\r\n", 1, HEAD + b"Content-Length: 0\r\n\r\n", True),
        (NOTHING, 1, NOTHING, True),
        (UNCHANGED, 1, UNCHANGED, True),
        (HEAD + CODED + b"\r\n2\r\nok\r\n0\r\n\r\n", 1, HEAD + CODED + b"\r\n2\r\nok\r\n0\r\n\r\n", True),
        (HEAD + CODED + b"\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n", 1, HEAD + CODED + b"\r\n2\r\nok\r\n0\r\n\r\n", True),
        (HEAD + CODED + b"\r\n2;x=y\r\nok\r\n0\r\n\r\n", 0, HEAD + CLOSE + b"\r\nok", False),
        (HEAD + CODED + b"\r\n0\r\n\r\n", 1, HEAD + CODED + b"\r\n0\r\n\r\n", True),
        (HEAD + b"\r\nok", 1, HEAD + CODED + b"\r\n2\r\nok\r\n0\r\n\r\n", True),
        (HEAD + b"\r\n", 1, HEAD + CODED + b"\r\n0\r\n\r\n", True),
        (HEAD + b"\r\nok", 0, HEAD + CLOSE + b"\r\nok", False),
        (HEAD + CLOSE + b"Content-Length: 2\r\n\r\nok", 1, HEAD + b"Content-Length: 2\r\n\r\nok", True),
    ],
)
def test_an_answer_reaches_the_client_whole(raw: bytes, minor_version: int, sent: bytes, keep_alive: bool) -> None:
    client, _ = respond(raw, minor_version)
    assert client.transport.sent == sent
    assert client.exchange.failure is None
    assert client.exchange.keep_alive is keep_alive
    assert client.exchange.answered_bytes == len(sent)


@pytest.mark.parametrize("size", [1, 2, 5, 17])
@pytest.mark.parametrize(
    "raw",
    [
        HEAD + b"Content-Length: 12\r\n\r\nhello, world",
        HEAD + CODED + b"\r\n7\r\nhello, \r\n5\r\nworld\r\n0\r\n\r\n",
        HEAD + b"\r\nhello, world",
    ],
)
def test_cuts_change_nothing(raw: bytes, size: int) -> None:
    async def main() -> None:
        upstream = UpstreamDialer()
        client = Client()
        carried = asyncio.ensure_future(carry(upstream, client))
        await until(lambda: upstream.transports and upstream.transports[0].sent)
        for start in range(0, len(raw), size):
            upstream.transports[0].feed(raw[start : start + size])
            await settle(3)
        upstream.transports[0].end()
        await carried
        body = client.transport.sent.partition(b"\r\n\r\n")[2]
        if b"chunked" in client.transport.sent:
            lines = body.split(b"\r\n")
            assert lines[-3:] == [b"0", b"", b""]
            body = b"".join(lines[1:-3:2])
        assert body == b"hello, world"

    run(main)


@pytest.mark.parametrize(
    ("raw", "answered", "status", "retry"),
    [
        (b"", False, 502, Retry.IF_SAFE),
        (b"HTTP/1.1 200 OK\r\nContent-", False, 502, Retry.NEVER),
        (b"SSH-2.0-OpenSSH_9.2\r\n", False, 502, Retry.NEVER),
        (HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n", False, 502, Retry.NEVER),
        (b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", False, 502, Retry.NEVER),
        (HEAD + b"Content-Length: 5\r\n\r\nok", True, 502, Retry.NEVER),
        (HEAD + CODED + b"\r\n5\r\nok", True, 502, Retry.NEVER),
        (HEAD + CODED + b"\r\nfive\r\n", False, 502, Retry.NEVER),
        (HEAD + CODED + b"\r\n2\r\nokay", False, 502, Retry.NEVER),
        (HEAD + CODED + b"\r\n2\r\nok\r\n", True, 502, Retry.NEVER),
    ],
)
def test_an_answer_that_is_none_is_the_servers_fault(raw: bytes, answered: bool, status: int, retry: Retry) -> None:
    client, upstream = respond(raw)
    failure = client.exchange.failure
    assert failure is not None
    assert (failure.status, failure.retry, client.exchange.answered) == (status, retry, answered)
    assert not answered or not client.transport.sent.endswith(b"0\r\n\r\n"), "a broken answer must not look whole"
    assert upstream.most_open == 1


def test_a_reset_inside_a_body_without_a_length_is_a_truncation() -> None:
    async def main() -> None:
        upstream = UpstreamDialer()
        client = Client()
        carried = asyncio.ensure_future(carry(upstream, client))
        await until(lambda: upstream.pending)
        upstream.answer(HEAD + b"\r\nok")
        await settle()
        upstream.transports[0].lose()
        await carried
        assert client.exchange.failure is not None
        assert not client.transport.sent.endswith(b"0\r\n\r\n")

    run(main)


# What a connection may be used for again.


@pytest.mark.parametrize(
    ("first", "again"),
    [
        (ANSWER, True),
        (HEAD + CODED + b"\r\n2\r\nok\r\n0\r\n\r\n", True),
        (b"HTTP/1.1 204 No Content\r\n\r\n", True),
        (ANSWER.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), False),
        (ANSWER.replace(b"1.1", b"1.0", 1), False),
        (ANSWER + b"HTTP/1.1 200 OK\r\n", False),
        (HEAD + CODED + b"\r\n0\r\n\r\nmore", False),
        (ANSWER.replace(b"\r\n\r\n", b"\r\nKeep-Alive: timeout=1\r\n\r\n"), False),
        (ANSWER.replace(b"\r\n\r\n", b"\r\nKeep-Alive: timeout=60\r\n\r\n"), True),
    ],
)
def test_a_connection_is_used_again_only_if_its_answer_allows(first: bytes, again: bool) -> None:
    async def main() -> None:
        upstream = UpstreamDialer(first, ANSWER)
        clients = Client(), Client()
        await carry(upstream, *clients)
        assert [client.status // 100 for client in clients] == [2, 2]
        assert len(upstream.transports) == (1 if again else 2)

    run(main)


def test_a_request_on_a_used_connection_that_the_server_closed_is_sent_once_more() -> None:
    async def main() -> None:
        upstream = UpstreamDialer(ANSWER, b"", ANSWER)
        clients = Client(b"/1"), Client(b"/2")
        await carry(upstream, *clients)
        assert [client.status for client in clients] == [200, 200]
        assert [request.split(b" ")[1] for request, _ in upstream.requests] == [b"/1", b"/2", b"/2"]
        assert clients[1].exchange.attempts == 1

    run(main)


def test_an_unsafe_request_on_a_used_connection_is_not_sent_again() -> None:
    async def main() -> None:
        upstream = UpstreamDialer(ANSWER, ANSWER, b"", ANSWER)
        clients = Client(), Client(), Client(method=b"POST")  # the second shows that the server keeps connections
        await carry(upstream, *clients)
        assert clients[2].status == 502
        assert clients[2].exchange.failure is not None
        assert clients[2].exchange.failure.retry is Retry.FRESH
        assert len(upstream.requests) == 3

    run(main)


@pytest.mark.parametrize("taken", [True, False])
def test_an_unsafe_request_does_not_go_over_a_connection_that_may_be_about_to_end(taken: bool) -> None:
    async def main() -> None:
        upstream = UpstreamDialer(ANSWER, ANSWER)
        clients = Client(), Client(method=b"POST")
        async with asyncio.TaskGroup() as tasks:
            home = Home(upstream, tasks, PLAIN)
            home.takes_trials = taken
            for client in clients:
                client.exchange.begin()
            home.next_ones.append(clients[1].exchange)
            await Worker(home, clients[0].exchange).run()
        assert [client.status for client in clients] == [200, 200]
        assert len(upstream.transports) == 2
        assert len(home.trials) == 1
        assert home.trials[0].stream.closed is not taken
        home.trials[0].close()

    run(main)


def test_after_an_end_behind_an_answer_unsafe_requests_get_new_connections() -> None:
    async def main() -> None:
        upstream = UpstreamDialer(ANSWER, ANSWER, b"", ANSWER, ANSWER)
        clients = Client(), Client(), Client(), Client(method=b"POST")
        await carry(upstream, *clients)
        assert [client.status for client in clients] == [200] * 4
        assert [transport.sent.count(b"HTTP/1.1") for transport in upstream.transports] == [3, 1, 1]

    run(main)


def test_a_client_that_leaves_says_nothing_about_the_server() -> None:
    async def main() -> None:
        upstream = UpstreamDialer(ANSWER, ANSWER)
        first, second, leaver, last = Client(), Client(), Client(), Client(method=b"POST")
        carried = asyncio.ensure_future(carry(upstream, first, second, leaver, last))
        await until(lambda: len(upstream.requests) == 3)
        leaver.leave()
        upstream.pending.clear()
        await until(lambda: len(upstream.requests) == 4)
        upstream.answer()
        home = await carried
        assert (leaver.status, last.status) == (499, 200)
        assert home.persistence.is_unknown(home.deadlines.now)

    run(main)


def test_a_connection_on_trial_ends_with_what_it_has_shown() -> None:
    async def main() -> None:
        upstream = UpstreamDialer()
        deadlines, persistence = Deadlines(), PersistenceState()
        kept, ended = [UpstreamConnection(await upstream.dial(1.0), deadlines, persistence) for _ in range(2)]
        for connection in (kept, ended):
            connection.rest(None)
            connection.begin_trial()
        for tick in range(1, 6):
            assert persistence.is_unknown(deadlines.now)
            sweep(deadlines, tick * TICK_S)
        assert kept.stream.closed
        assert ended.stream.closed
        assert not persistence.is_unknown(deadlines.now)

    run(main)


def test_while_the_process_was_held_up_a_trial_has_shown_nothing() -> None:
    async def main() -> None:
        deadlines, persistence = Deadlines(), PersistenceState()
        connection = UpstreamConnection(await UpstreamDialer().dial(1.0), deadlines, persistence)
        connection.rest(None)
        connection.begin_trial()
        sweep(deadlines, 2.0)
        assert persistence.is_unknown(deadlines.now)
        for tick in range(1, 6):
            assert not connection.stream.closed
            sweep(deadlines, 2.0 + tick * TICK_S)
        assert connection.stream.closed
        assert not persistence.is_unknown(deadlines.now)

    run(main)


def test_an_end_that_was_not_read_yet_is_no_proof_that_the_server_keeps_connections() -> None:
    async def main() -> None:
        upstream = UpstreamDialer()
        deadlines, persistence = Deadlines(), PersistenceState()
        connection = UpstreamConnection(await upstream.dial(1.0), deadlines, persistence)
        ours, servers = socket.socketpair()
        with ours, servers:
            upstream.transports[0].raw = ours
            connection.rest(None)
            connection.begin_trial()
            servers.close()
            for tick in range(1, 6):
                sweep(deadlines, tick * TICK_S)
        assert connection.stream.closed
        assert persistence.is_unknown(deadlines.now)

    run(main)


def test_a_connection_that_ends_on_trial_says_so() -> None:
    async def main() -> None:
        upstream = UpstreamDialer()
        deadlines, persistence = Deadlines(), PersistenceState()
        connection = UpstreamConnection(await upstream.dial(1.0), deadlines, persistence)
        connection.rest(None)
        connection.begin_trial()
        upstream.transports[0].end()
        persistence.kept()
        assert not persistence.may_reuse(deadlines.now, 0.0, 2)
        connection.close()

    run(main)


def test_a_client_that_left_is_not_dialled_for_again() -> None:
    async def main() -> None:
        upstream = UpstreamDialer(ANSWER)
        first, leaver = Client(), Client()
        carried = asyncio.ensure_future(carry(upstream, first, leaver))
        await until(lambda: upstream.pending)
        leaver.leave()
        await carried
        assert leaver.status == 499
        assert len(upstream.transports) == 1

    run(main)


def test_an_idle_connection_that_its_server_ends_is_closed_at_once() -> None:
    async def main() -> None:
        upstream = UpstreamDialer(ANSWER)
        stream = await upstream.dial(1.0)
        deadlines = Deadlines()
        connection = UpstreamConnection(stream, deadlines, PersistenceState())
        connection.rest(None)
        assert connection.is_fresh()
        upstream.transports[0].end()
        assert stream.closed
        assert not connection.is_fresh()

    run(main)


@pytest.mark.parametrize(
    ("timeout_s", "idle_s", "fresh"),
    [(None, 3.9, True), (None, 4.1, False), (3.0, 1.9, True), (3.0, 2.1, False)],
)
def test_a_connection_grows_stale_before_its_server_closes_it(
    timeout_s: float | None, idle_s: float, fresh: bool
) -> None:
    async def main() -> None:
        stream = await UpstreamDialer().dial(1.0)
        deadlines = Deadlines()
        deadlines.sweep(100.0)
        connection = UpstreamConnection(stream, deadlines, PersistenceState())
        connection.rest(timeout_s)
        deadlines.sweep(100.0 + idle_s)
        assert connection.is_fresh() is fresh

    run(main)


def test_a_large_answer_leaves_a_connection_that_is_still_read() -> None:
    async def main() -> None:
        head = HEAD + b"Content-Length: 300000\r\n\r\n"
        upstream = UpstreamDialer()
        clients = Client(), Client()
        carried = asyncio.ensure_future(carry(upstream, *clients))
        await until(lambda: upstream.pending)
        upstream.answer(head)
        upstream.transports[0].feed(b"x" * 300_000)  # before the worker has looked: over the high-water mark
        await until(lambda: upstream.pending)
        assert upstream.transports[0].is_reading()
        assert len(clients[0].transport.sent) == len(head) + 300_000
        upstream.answer()
        await carried
        assert [client.status for client in clients] == [200, 200]
        assert len(upstream.transports) == 1

    run(main)


# Silence.


def test_a_silent_server_costs_504() -> None:
    async def main() -> None:
        upstream = UpstreamDialer()
        client = Client(route=replace(ROUTE, response_timeout_s=5.0))
        async with asyncio.TaskGroup() as tasks:
            home = Home(upstream, tasks, PLAIN)
            client.exchange.begin()
            carried = tasks.create_task(Worker(home, client.exchange).run())
            await until(lambda: upstream.pending)
            sweep(home.deadlines, 4.0)
            await settle()
            assert not carried.done()
            sweep(home.deadlines, 6.0)
        assert client.status == 504
        assert client.exchange.failure is not None
        assert client.exchange.failure.retry is Retry.IF_SAFE

    run(main)


def test_silence_inside_a_body_breaks_it_off() -> None:
    async def main() -> None:
        upstream = UpstreamDialer()
        client = Client(route=replace(ROUTE, body_timeout_s=5.0))
        async with asyncio.TaskGroup() as tasks:
            home = Home(upstream, tasks, PLAIN)
            client.exchange.begin()
            tasks.create_task(Worker(home, client.exchange).run())
            await until(lambda: upstream.pending)
            upstream.answer(HEAD + b"Content-Length: 5\r\n\r\nok")
            await settle()
            sweep(home.deadlines, 6.0)
        assert client.exchange.failure is not None
        assert client.exchange.failure.detail == "silent inside its answer"

    run(main)


def test_a_client_that_does_not_read_is_the_one_whose_silence_counts() -> None:
    async def main() -> None:
        upstream = UpstreamDialer()
        client = Client(route=replace(ROUTE, body_timeout_s=5.0))
        client.stream.pause_writing()
        async with asyncio.TaskGroup() as tasks:
            home = Home(upstream, tasks, PLAIN)
            client.exchange.begin()
            tasks.create_task(Worker(home, client.exchange).run())
            await until(lambda: upstream.pending)
            upstream.answer(HEAD + b"Content-Length: 5\r\n\r\nok")
            await settle()
            assert not client.stream.closed
            sweep(home.deadlines, 99.0)
        assert client.transport.aborted
        assert client.exchange.failure is not None
        assert client.exchange.failure.status == 499

    run(main)


# Interim answers and upgrades.


def test_interim_answers_pass_at_once_and_only_to_those_who_know_them() -> None:
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    client, _ = respond(early + ANSWER)
    assert client.transport.sent == early + ANSWER
    assert client.exchange.committed
    client, _ = respond(early + ANSWER, minor_version=0)
    assert client.transport.sent.startswith(HEAD)
    client, _ = respond(b"HTTP/1.1 100 Continue\r\n\r\n" + ANSWER)
    assert client.transport.sent == ANSWER, "nobody expected a 100"


def test_an_upgrade_detaches_the_connection_and_frees_the_worker() -> None:
    async def main() -> None:
        switch = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nframe"
        upstream = UpstreamDialer(switch, ANSWER)
        socket_client, next_one = Client(), Client()
        socket_client.exchange.head.upgrade = b"websocket"
        async with asyncio.TaskGroup() as tasks:
            home = Home(upstream, tasks, PLAIN)
            for client in (socket_client, next_one):
                client.exchange.begin()
            home.next_ones.append(next_one.exchange)
            await Worker(home, socket_client.exchange).run()
        stream = socket_client.exchange.upstream
        assert stream is not None
        assert stream.take() == b"frame"
        assert not stream.closed
        assert stream.on_hangup is None
        assert socket_client.exchange.response is not None
        assert socket_client.exchange.response.status == 101
        assert not socket_client.transport.sent, "the 101 is judged before it goes to the client"
        assert next_one.status == 200
        assert len(upstream.transports) == 2
        stream.abort()
        await settle()

    run(main)


# Whose Host.


@pytest.mark.parametrize(
    ("authority", "asked", "preserve", "host"),
    [
        (PLAIN, b"example.test", False, b"example.test"),
        (PLAIN, b"", False, b"10.0.0.1:80"),
        (Authority(b"api.test", True), b"example.test", False, b"api.test"),
        (Authority(b"api.test", True), b"example.test", True, b"example.test"),
    ],
)
def test_host(authority: Authority, asked: bytes, preserve: bool, host: bytes) -> None:
    async def main() -> None:
        upstream = UpstreamDialer(ANSWER)
        client = Client(route=replace(ROUTE, preserve_host=preserve))
        head = client.exchange.head
        head.authority = asked
        head.fields = b"Host: example.test\r\nA: b\r\n" if asked else b"A: b\r\n"
        before = head.fields
        await carry(upstream, client, authority=authority)
        request = upstream.requests[0][0]
        assert request.count(b"Host: ") == 1
        assert b"\r\nHost: %b\r\n" % host in request
        assert head.fields == before, "another attempt may go to a server that gets the client's"

    run(main)


@pytest.mark.parametrize("preserve", [False, True])
def test_the_path_of_a_url_stands_before_what_is_asked_for(preserve: bool) -> None:
    async def main() -> None:
        upstream = UpstreamDialer(ANSWER)
        client = Client(route=replace(ROUTE, preserve_host=preserve))
        target = client.exchange.head.target
        await carry(upstream, client, authority=Authority(b"api.test", True, b"/v2"))
        assert upstream.requests[0][0].startswith(b"GET /v2%b HTTP/1.1\r\n" % target)
        assert client.exchange.head.target == target, "another attempt may go to a server without a path"

    run(main)


# Bodies.


def upload(
    body: Body, *script: bytes, length: int = 10, expect: bool = False, method: bytes = b"POST", end: bool = False
) -> tuple[Client, bytes, FakeTransport]:
    """Send `body`, then what the server got of it, with the client's side of the story."""

    async def main() -> tuple[Client, bytes, FakeTransport]:
        upstream = UpstreamDialer(*script)
        client = Client(method=method, body=body)
        client.exchange.head.length = length
        client.exchange.head.expect_continue = expect
        carried = asyncio.ensure_future(carry(upstream, client))
        await until(lambda: upstream.transports and upstream.transports[0].sent)
        if not script:
            await until(lambda: body.complete or carried.done())
            await settle()
            upstream.transports[0].feed(ANSWER)
        await carried
        return client, upstream.transports[0].sent.partition(b"\r\n\r\n")[2], upstream.transports[0]

    return run(main)


def in_loop_body(*pieces: bytes | Exception | None, buffered: bytes = b"") -> Body:
    async def main() -> Body:
        return Body(*pieces, buffered=buffered)

    return run(main)


def test_a_body_that_is_there_goes_with_the_head() -> None:
    client, sent, _ = upload(in_loop_body(buffered=b"0123456789"))
    assert sent == b"0123456789"
    assert client.status == 200
    assert client.exchange.keep_alive


def test_the_rest_of_a_body_follows() -> None:
    client, sent, _ = upload(in_loop_body(b"345", b"6789", buffered=b"012"))
    assert sent == b"0123456789"
    assert client.exchange.keep_alive


def test_a_chunked_body_is_framed_anew() -> None:
    _, sent, _ = upload(in_loop_body(b"345", b"", buffered=b"012"), length=CHUNKED)
    assert sent == b"3\r\n012\r\n3\r\n345\r\n0\r\n\r\n"
    _, sent, _ = upload(in_loop_body(buffered=b"012"), length=CHUNKED)
    assert sent == b"3\r\n012\r\n0\r\n\r\n"


def test_an_early_refusal_stops_the_body_and_says_so() -> None:
    refusal = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n"
    client, sent, transport = upload(in_loop_body(None, buffered=b"012"), refusal)
    assert client.status == 413
    assert b"Connection: close\r\n" in client.transport.sent
    assert not client.exchange.keep_alive
    assert transport.closing, "a connection with half a request on it is of no use"
    assert sent == b"012"


def test_an_answer_before_the_end_of_the_body_ends_both() -> None:
    client, _, transport = upload(in_loop_body(None, buffered=b"012"), ANSWER)
    assert client.status == 200
    assert not client.exchange.keep_alive
    assert transport.closing


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (BodyError(BODY_TOO_LARGE), 413),
        (EndOfStream(), 499),
        (BrokenResourceError(), 499),
        (ZeroDivisionError(), 500),
    ],
)
def test_a_body_that_fails_is_not_the_servers_fault(
    error: Exception, expected: int, caplog: pytest.LogCaptureFixture
) -> None:
    client, _, transport = upload(in_loop_body(b"345", error, buffered=b"012"))
    failure = client.exchange.failure
    assert isinstance(failure, Failure)
    assert failure.status == expected
    assert (failure is INTERNAL) is (expected == 500)
    assert transport.aborted


def test_a_body_that_is_too_large_at_once_sends_nothing() -> None:
    class TooLarge(Body):
        def take_buffered(self) -> bytes:
            raise BodyError(BODY_TOO_LARGE)

    async def main() -> None:
        upstream = UpstreamDialer(ANSWER)
        client = Client(method=b"POST", body=TooLarge())
        await carry(upstream, client)
        assert client.status == 413
        assert not upstream.requests

    run(main)


def test_a_body_is_replayed_on_a_fresh_connection() -> None:
    async def main() -> None:
        upstream = UpstreamDialer(ANSWER, ANSWER, b"")
        body = Body(b"0123")
        first, second = Client(), Client(method=b"PUT", body=body)
        carried = asyncio.ensure_future(carry(upstream, Client(), first, second))
        await until(lambda: upstream.pending)
        await until(lambda: body.complete)
        await settle()
        upstream.answer()
        await carried
        assert second.status == 200
        assert body.rewound == 1
        assert upstream.transports[1].sent.endswith(b"\r\n\r\n0123")

    run(main)


def test_the_clients_silence_is_not_the_servers() -> None:
    async def main() -> None:
        upstream = UpstreamDialer()
        body = Body(None)
        client = Client(method=b"POST", body=body, route=replace(ROUTE, response_timeout_s=1.0))
        async with asyncio.TaskGroup() as tasks:
            home = Home(upstream, tasks, PLAIN)
            client.exchange.begin()
            carried = tasks.create_task(Worker(home, client.exchange).run())
            await body.reading.wait()
            sweep(home.deadlines, 99.0)
            await settle()
            assert not carried.done()
            client.leave()
        assert client.status == 499

    run(main)


def test_a_server_that_takes_no_more_stops_the_reading_of_the_body() -> None:
    async def main() -> None:
        upstream = UpstreamDialer()
        body = Body(b"345", b"678", b"9", buffered=b"012")
        client = Client(method=b"POST", body=body)
        client.exchange.head.length = 10
        carried = asyncio.ensure_future(carry(upstream, client))
        await until(lambda: upstream.transports and upstream.transports[0].sent)
        client.exchange.holder.stream.pause_writing()  # type: ignore[union-attr]
        await settle(30)
        assert not body.complete
        client.exchange.holder.stream.resume_writing()  # type: ignore[union-attr]
        await until(lambda: body.complete)
        await settle()
        upstream.answer()
        await carried
        assert client.status == 200

    run(main)


# Expect: 100-continue.


def test_a_100_of_the_server_goes_to_the_client_and_fetches_the_body() -> None:
    async def main() -> None:
        upstream = UpstreamDialer(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = Body(b"0123")
        client = Client(method=b"POST", body=body)
        client.exchange.head.expect_continue = True
        carried = asyncio.ensure_future(carry(upstream, client))
        await until(lambda: body.complete)
        assert client.transport.sent == b"HTTP/1.1 100 Continue\r\n\r\n"
        await settle()
        upstream.transports[0].feed(ANSWER)
        await carried
        assert client.transport.sent.endswith(ANSWER)
        assert client.exchange.keep_alive

    run(main)


def test_a_final_answer_instead_of_100_leaves_the_body_unread() -> None:
    refusal = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"
    client, sent, _ = upload(in_loop_body(None), refusal, expect=True)
    assert client.status == 401
    assert sent == b""
    assert b"100 Continue" not in client.transport.sent


def test_a_silent_server_is_given_the_body_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wsproxy.backend.upload.CONTINUE_AFTER_S", 0.01)
    client, sent, _ = upload(in_loop_body(b"0123456789"), expect=True)
    assert client.transport.sent.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")
    assert sent == b"0123456789"
    assert client.exchange.committed, "a client that has seen an answer of ours is not sent elsewhere"
