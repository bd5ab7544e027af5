"""frontend/session.py: the usual request, served while the session's task sleeps, and where it is left to the task."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from tests.backend.test_group import InOrder, Running, running
from tests.fakes import ROUTE, UpstreamDialer, in_loop, make_stream, run, settle, sweep, until, without_collector
from wsproxy.balancing.affinity import Affinity, Preference
from wsproxy.config.model import FrontendSettings, RequestKey
from wsproxy.exchange import Exchange
from wsproxy.frontend.incoming import Incoming
from wsproxy.frontend.lingering import LINGER_S
from wsproxy.frontend.relay import Relay
from wsproxy.frontend.route import Handler, Route
from wsproxy.frontend.service import HttpService
from wsproxy.frontend.session import ClientSession
from wsproxy.http.messages import MalformedRequestError, RequestHead
from wsproxy.net.stream import Stream
from wsproxy.observe.entries import Refusal, WebSocketEntry
from wsproxy.ws.relay import RelayState

SETTINGS = FrontendSettings("frontend", "127.0.0.1", 1)
HEAD = b"HTTP/1.1 200 OK\r\nDate: Tue, 15 Nov 1994 08:12:31 GMT\r\nContent-Length: 2\r\n\r\n"
OK = HEAD + b"ok"


def request(target: bytes = b"/", fields: bytes = b"") -> bytes:
    return b"GET %b HTTP/1.1\r\nHost: a\r\n%b\r\n" % (target, fields)


class Noted:
    """An access log in memory. broken: the next line is met by a bug."""

    def __init__(self) -> None:
        self.targets: list[bytes] = []
        self.broken = False

    def record(self, exchange: Exchange, client: str) -> None:
        if self.broken:
            raise ZeroDivisionError
        self.targets.append(exchange.head.target)

    def refused(self, refusal: Refusal, client: str, head: RequestHead | None) -> None:
        self.targets.append(b"refused")

    def opened(self, exchange: Exchange, client: str) -> WebSocketEntry:
        raise NotImplementedError

    def closed(self, entry: WebSocketEntry, state: RelayState) -> None:
        raise NotImplementedError


class Connection:
    """One client's, served by a session in a task of its own."""

    def __init__(self, it: Running, settings: FrontendSettings = SETTINGS) -> None:
        self.it = it
        self.log = Noted()
        self.service = HttpService(settings, it.deadlines, self.log, is_secure=False)
        self.route = Route(replace(ROUTE, retries=0), it.group, InOrder())
        self.service.use_routes([self.route])
        self.stream, self.transport = make_stream()
        self.session = ClientSession(self.stream, self.service)
        self.task: asyncio.Task[Relay | None] = asyncio.ensure_future(self.session.run())

    def feed(self, data: bytes) -> None:
        self.transport.feed(data)

    @property
    def sent(self) -> bytes:
        """What the client got since the last time."""
        sent, self.transport.sent = self.transport.sent, b""
        return sent


@asynccontextmanager
async def connected(
    *names: str, settings: FrontendSettings = SETTINGS
) -> AsyncIterator[tuple[Connection, UpstreamDialer]]:
    """A client whose session sleeps, and the first server behind it, to which a connection that lasts is open."""
    async with running(*(names or ("a",)), max_workers=1, buffer_size=4) as it:
        connection = Connection(it, settings)
        server = it.upstreams["a"]
        await until(lambda: connection.session.is_idle)
        for _ in range(4):
            connection.feed(request(b"/before"))
            await until(lambda: server.pending)
            server.answer(OK)
            await settle()
        assert connection.sent == 4 * OK
        connection.log.targets.clear()
        yield connection, server
        connection.task.cancel()
        await asyncio.wait([connection.task])
        assert not connection.service.sessions
        assert connection.stream.on_data is None


@in_loop
async def test_request_after_request_is_served_without_a_turn_of_the_loop() -> None:
    async with connected() as (client, server):
        for number in range(3):
            client.feed(request(b"/%d" % number))
            assert len(server.pending) == 1, "sent at once"
            assert not client.session.is_idle
            server.answer(OK)
            assert client.sent == OK
            assert client.session.is_idle
        assert client.log.targets == [b"/0", b"/1", b"/2"]
        assert sum(answered.total.count for answered in client.route.totals.answered()) == 7


@in_loop
async def test_a_second_request_behind_the_first_follows_in_its_order() -> None:
    async with connected() as (client, server):
        client.feed(request(b"/1") + request(b"/2"))
        server.answer(OK)
        assert client.sent == OK
        await until(lambda: server.pending)
        server.answer(HEAD + b"no")
        await settle()
        assert client.sent == HEAD + b"no"
        assert client.log.targets == [b"/1", b"/2"]


@in_loop
async def test_half_a_head_is_left_to_the_task() -> None:
    async with connected() as (client, server):
        whole = request(b"/1")
        client.feed(whole[:9])
        await settle()
        assert not server.pending
        client.feed(whole[9:])
        await until(lambda: server.pending)
        server.answer(OK)
        await settle()
        assert client.sent == OK


@in_loop
async def test_a_body_is_left_to_the_task_which_does_not_read_the_head_again() -> None:
    async with connected() as (client, server):
        client.feed(b"POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
        await until(lambda: server.pending)
        assert server.requests[-1][0].startswith(b"POST /1 ")
        server.answer(OK)
        await settle()
        assert client.sent == OK
        assert client.session.is_idle


@in_loop
async def test_what_has_no_route_is_refused_once_and_the_connection_goes_on() -> None:
    async with connected() as (client, server):
        client.service.use_routes([])
        client.feed(request(b"/1"))
        await settle()
        assert client.sent.startswith(b"HTTP/1.1 404 ")
        assert client.service.refused == {404: 1}
        client.service.use_routes([client.route])
        client.feed(request(b"/2"))
        server.answer(OK)
        assert client.sent == OK


@in_loop
async def test_what_is_refused_is_looked_up_once_and_leaves_nothing() -> None:
    asked: list[bytes] = []
    made: list[weakref.ref[BaseException]] = []

    class RefusedError(MalformedRequestError):
        def __init__(self, status: int, reason: str) -> None:
            super().__init__(status, reason)
            made.append(weakref.ref(self))

    def refuse(self: HttpService, head: RequestHead) -> Route:
        asked.append(head.target)
        raise RefusedError(404, "no route for this request")

    async with connected() as (client, _):
        with pytest.MonkeyPatch.context() as patch, without_collector():
            patch.setattr(HttpService, "route", refuse)
            for data in (request(b"/1"), request(b"/1"), request(b"/2") + request(b"/3")[:20], request(b"/3")[20:]):
                client.feed(data)
                await settle()
                assert client.sent.count(b"HTTP/1.1 404 ") == 1
            assert all(error() is None for error in made), "held by its own frames"
        assert asked == [b"/1", b"/1", b"/2", b"/3"]
        assert client.service.refused == {404: 4}


@in_loop
async def test_a_server_that_fails_is_the_tasks_affair() -> None:
    async with connected() as (client, server):
        client.feed(request(b"/1"))
        server.answer(b"nonsense\r\n\r\n")
        await settle()
        assert client.sent.startswith(b"HTTP/1.1 502 ")
        client.feed(request(b"/2"))
        await until(lambda: server.pending)
        server.answer(OK)
        await settle()
        assert client.sent == OK


@in_loop
async def test_a_client_that_is_lost_meanwhile_ends_the_exchange_and_the_session() -> None:
    async with connected() as (client, _):
        client.feed(request(b"/1"))
        assert client.session.exchange is not None
        exchange = client.session.exchange
        client.transport.lose()
        await asyncio.wait([client.task])
        assert client.task.result() is None
        assert exchange.failure is not None
        assert exchange.failure.status == 499


@in_loop
async def test_a_client_that_is_lost_between_two_requests_ends_the_session() -> None:
    async with connected() as (client, server):
        client.feed(request(b"/1"))
        server.answer(OK)
        client.transport.lose()
        await asyncio.wait([client.task])
        assert client.task.result() is None


def test_a_client_that_has_ended_its_side_gets_its_answer_and_the_session_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Stream, "end_delay_s", lambda _: 0.0)  # right behind its request

    async def main() -> None:
        async with connected() as (client, server):
            client.feed(request(b"/1"))
            client.transport.end()
            server.answer(OK)
            await asyncio.wait([client.task])
            assert client.sent == OK

    run(main)


@in_loop
async def test_silence_after_such_a_request_ends_the_connection_in_its_time() -> None:
    async with connected() as (client, server):
        client.feed(request(b"/1"))
        server.answer(OK)
        sweep(client.service.deadlines, SETTINGS.keepalive_timeout_s + 1)
        client.feed(request(b"/late"))
        assert not server.pending, "it has been told already"
        await asyncio.wait([client.task])
        assert client.sent == OK


@in_loop
async def test_a_stop_meanwhile_ends_the_connection_after_the_answer() -> None:
    async with connected() as (client, server):
        client.feed(request(b"/1"))
        client.service.stopping = True
        client.session.stop()
        server.answer(OK)
        await asyncio.wait([client.task])
        assert client.transport.closing
        assert client.log.targets == [b"/1"]


@in_loop
async def test_the_last_request_of_a_connection_is_told_so() -> None:
    async with connected(settings=replace(SETTINGS, keepalive_requests=5)) as (client, server):
        client.feed(request(b"/5"))
        server.answer(OK)
        await asyncio.wait([client.task])
        assert b"\r\nConnection: close\r\n" in client.sent
        assert client.transport.closing


@in_loop
async def test_who_does_not_read_gets_no_more_until_he_does() -> None:
    async with connected() as (client, server):
        client.feed(request(b"/1"))
        client.stream.pause_writing()
        server.answer(OK)
        await settle()
        client.feed(request(b"/2"))
        await settle()
        assert not server.pending
        client.stream.resume_writing()
        await until(lambda: server.pending)
        server.answer(OK)


@in_loop
async def test_an_answer_after_the_session_was_cancelled_disturbs_nobody() -> None:
    async with connected() as (client, server):
        client.feed(request(b"/1"))
        client.task.cancel()
        await asyncio.wait([client.task])
        server.answer(OK)
        await settle()
        assert not client.log.targets


@in_loop
async def test_cancelled_in_the_turn_in_which_the_answer_comes_it_still_ends() -> None:
    async with connected() as (client, server):
        client.feed(request(b"/1"))
        client.task.cancel()
        server.answer(OK)
        await asyncio.wait([client.task])
        assert client.task.cancelled()


@in_loop
async def test_a_bug_in_it_comes_out_where_bugs_of_the_task_do() -> None:
    async with connected() as (client, server):
        client.feed(request(b"/1"))
        client.log.broken = True
        server.answer(OK)
        await asyncio.wait([client.task])
        with pytest.raises(ZeroDivisionError):
            client.task.result()


@in_loop
async def test_a_bug_before_it_is_begun_does_so_too() -> None:
    def break_down(exchange: Exchange, address: str, scheme: str) -> None:
        raise ZeroDivisionError

    async with connected() as (client, _):
        client.route.prepare = break_down
        client.feed(request(b"/1"))
        await asyncio.wait([client.task])
        with pytest.raises(ZeroDivisionError):
            client.task.result()


@in_loop
async def test_what_the_cache_has_is_answered_without_the_task_and_other_things_by_it() -> None:
    handled: list[bytes] = []

    def from_memory(exchange: Exchange) -> Handler | None:
        if exchange.head.target != b"/kept":
            return go_on
        exchange.client.write(b"kept")
        return None

    async def handle(exchange: Exchange, route: Route) -> None:
        raise AssertionError

    async def go_on(exchange: Exchange, route: Route) -> None:
        handled.append(exchange.head.target)
        exchange.client.write(b"handled")

    async with connected() as (client, _):
        client.route.at_once, client.route.handler = from_memory, handle
        for _ in range(2):
            client.feed(request(b"/kept"))
            assert client.sent == b"kept"
        client.feed(request(b"/other"))
        assert not handled
        await settle()
        assert (client.sent, handled) == (b"handled", [b"/other"])
        client.feed(request(b"/kept"))
        assert client.sent == b"kept"
        assert client.log.targets == [b"/kept", b"/kept", b"/other", b"/kept"]


@in_loop
async def test_what_was_answered_whole_before_the_client_left_stays_so() -> None:
    made: list[Exchange] = []

    def from_memory(exchange: Exchange) -> None:
        made.append(exchange)
        exchange.client.write(b"kept")

    async def handle(exchange: Exchange, route: Route) -> None:
        raise AssertionError

    async with connected() as (client, _):
        client.route.at_once, client.route.handler = from_memory, handle
        client.feed(request(b"/kept", b"Connection: close\r\n"))
        client.transport.end()  # before the task, which is to end the connection, has its turn
        await asyncio.wait([client.task])
        assert client.sent == b"kept"
        assert made[0].failure is None
        assert client.log.targets == [b"/kept"]


@in_loop
async def test_a_bound_client_is_served_without_the_task_and_gets_his_cookie() -> None:
    async with connected() as (client, server):
        client.route.bind_clients(Affinity(replace(ROUTE, sticky=RequestKey("cookie", "s")), b"secret"))
        client.feed(request(b"/1"))
        server.answer(OK)
        assert b"\r\nSet-Cookie: s=" in client.sent
        client.feed(request(b"/2"))
        assert len(server.pending) == 1
        server.answer(OK)


@in_loop
async def test_what_others_know_of_a_binding_is_asked_by_the_task() -> None:
    asked: list[bytes] = []

    async def recall(preference: Preference, now: float) -> None:
        asked.append(preference.value)

    async with connected() as (client, server):
        client.route.bind_clients(Affinity(replace(ROUTE, sticky=RequestKey("ip")), b"secret"))
        client.route.recall = recall
        client.feed(request(b"/1"))
        assert not server.pending
        await until(lambda: server.pending)
        server.answer(OK)
        assert asked == [b"192.0.2.1"]


@in_loop
async def test_with_nobody_to_serve_it_the_task_says_so() -> None:
    async with running("a") as it:
        client = Connection(it)
        await it.group.set_up(it.group.backends["a"], False)
        await until(lambda: client.session.is_idle)
        client.feed(request(b"/1"))
        await settle()
        assert client.sent.startswith(b"HTTP/1.1 503 ")
        client.task.cancel()
        await asyncio.wait([client.task])


@in_loop
async def test_a_failed_attempt_is_followed_by_another_whatever_the_route_has_become_meanwhile() -> None:
    async def handle(exchange: Exchange, route: Route) -> None:
        raise AssertionError

    async with connected("a", "b") as (client, server):
        client.route.settings = replace(client.route.settings, retries=1)
        other = client.it.upstreams["b"]
        client.feed(request(b"/1"))
        client.route.handler = handle  # a reload turns its cache on
        server.answer(b"")
        await until(lambda: server.pending)
        server.answer(b"")
        await until(lambda: other.pending)
        other.answer(OK)
        await settle()
        assert client.sent == OK
        assert client.route.totals.retries == 1


@in_loop
async def test_a_client_that_leaves_before_the_task_has_its_turn_is_handled_no_more() -> None:
    async def handle(exchange: Exchange, route: Route) -> None:
        raise AssertionError

    async with connected() as (client, _):
        client.route.handler = handle
        client.feed(request(b"/1"))
        client.transport.end()  # long after its request
        await asyncio.wait([client.task])
        assert client.task.result() is None
        assert client.log.targets == [b"/1"]


@in_loop
async def test_a_time_that_is_over_before_the_task_has_its_turn_is_answered_once() -> None:
    async def handle(exchange: Exchange, route: Route) -> None:
        raise AssertionError

    async with connected() as (client, _):
        client.route.settings = replace(client.route.settings, request_timeout_s=1.0)
        client.route.handler = handle
        client.feed(request(b"/1"))
        sweep(client.service.deadlines, 2)
        await settle()
        assert client.sent.startswith(b"HTTP/1.1 504 ")


@in_loop
async def test_half_a_head_that_grows_in_the_very_sweep_of_its_deadline_is_waited_for_no_longer_all_the_same() -> None:
    async with connected() as (client, _):
        client.feed(b"GET / HTTP/1.1\r\n")
        await settle()
        client.feed(b"X: ")
        sweep(client.service.deadlines, SETTINGS.header_timeout_s + 1)
        await settle()
        assert not client.sent
        sweep(client.service.deadlines, SETTINGS.header_timeout_s + 2)
        await settle()
        assert client.sent.startswith(b"HTTP/1.1 408 ")


@in_loop
async def test_a_head_that_begins_late_on_an_idle_connection_has_its_time_all_the_same() -> None:
    async with connected() as (client, server):
        sweep(client.service.deadlines, SETTINGS.keepalive_timeout_s - 1)
        client.feed(request(b"/1")[:9])
        await settle()
        sweep(client.service.deadlines, SETTINGS.keepalive_timeout_s + SETTINGS.header_timeout_s - 2)
        client.feed(request(b"/1")[9:])
        await until(lambda: server.pending)
        server.answer(OK)
        await settle()
        assert client.sent == OK


@in_loop
async def test_who_sends_on_after_a_last_answer_does_not_stay_for_it() -> None:
    async with connected() as (client, _):
        client.feed(b"nonsense\r\n\r\n")
        await settle()
        assert client.sent.startswith(b"HTTP/1.1 400 ")
        client.feed(b"more")
        sweep(client.service.deadlines, LINGER_S + 1)
        await settle()
        sweep(client.service.deadlines, LINGER_S + 2)
        await settle()
        assert client.task.done()


def _leave(client: Connection) -> None:
    client.transport.end()


def _be_lost(client: Connection) -> None:
    client.transport.lose()


def _say_nothing(client: Connection) -> None:
    sweep(client.service.deadlines, SETTINGS.keepalive_timeout_s + 1)


def _stop(client: Connection) -> None:
    client.session.stop()


def _abort(client: Connection) -> None:
    client.session.abort()


def _cancel(client: Connection) -> None:
    client.task.cancel()


@pytest.mark.parametrize("end", [_leave, _be_lost, _say_nothing, _stop, _abort, _cancel])
@pytest.mark.parametrize("is_under_way", [False, True])
def test_a_session_that_has_ended_leaves_nothing_to_the_collector(
    end: Callable[[Connection], None], is_under_way: bool
) -> None:
    async def main() -> None:
        async with connected() as (client, server):
            if is_under_way:
                client.feed(request(b"/1"))
            end(client)
            if server.pending and not client.transport.closing:
                server.answer(OK)
            await settle()
            sweep(client.service.deadlines, 2 * SETTINGS.keepalive_timeout_s + 2)
            await asyncio.wait([client.task])
            client.stream.close()  # as a listener does
            await settle()

    with without_collector():
        before = _parts_of_sessions()  # held, so that no new one has the id of an old one: other tests may keep some
        run(main)
        left = [item for item in _parts_of_sessions() if not any(item is other for other in before)]
    assert not left


def _parts_of_sessions() -> list[object]:
    return [item for item in gc.get_objects() if isinstance(item, ClientSession | Exchange | Incoming)]
