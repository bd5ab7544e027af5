"""Routes with on_backend_loss = reconnect: backends come and go, and the client's WebSocket stays."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import anyio
import pytest
from websockets.asyncio.client import connect as websocket_connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.extensions.permessage_deflate import PerMessageDeflate, ServerPerMessageDeflateFactory

from tests.integration.harness import Message, Proxy, RawServer, Wire, connect, eventually, http_route, in_loop, proxy
from tests.integration.websocket_pair import frames_until_end, relays_of
from tests.integration.websocket_wire import (
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    accept,
    acceptance,
    close,
    closing,
    echo,
    frame,
    handshake,
    open_websocket,
    receive_frame,
)
from wsproxy.config.group_settings import Address, ServerSettings

LINES = "on_backend_loss = reconnect\nreconnect_timeout = 2s\nalgorithm = round-robin\nmax_workers = 20\n"


def route(*servers: RawServer, lines: str = "") -> str:
    return http_route(*(server.port for server in servers), lines=LINES + lines, section="websocket")


async def talk(client: Wire, text: bytes) -> None:
    """Say something to an echo, and hear it."""
    await client.send(frame(TEXT, text, masked=True))
    assert await receive_frame(client) == (TEXT, text)


def parting(end: Callable[[Wire], Awaitable[None]]) -> Callable[[Wire], Awaitable[None]]:
    """A server that echoes one message and then ends its connection in some way; later ones are echoed for ever."""
    served = 0

    async def script(wire: Wire) -> None:
        nonlocal served
        served += 1
        if served > 1:
            await echo(wire)
            return
        await wire.send(acceptance((await wire.request()).head))
        await wire.send(frame(*await receive_frame(wire)))
        await end(wire)

    return script


async def says_going_away(wire: Wire) -> None:
    await wire.send(close(1001))
    assert await receive_frame(wire) == closing(1001)


async def says_restart(wire: Wire) -> None:
    await wire.send(close(1012, b"deploy"))
    assert await receive_frame(wire) == closing(1001)


async def ends(wire: Wire) -> None:
    await wire.close()


async def resets(wire: Wire) -> None:
    wire.reset()


@pytest.mark.parametrize("end", [says_going_away, says_restart, ends, resets])
@in_loop
async def test_a_client_outlives_its_backend(end: Callable[[Wire], Awaitable[None]]) -> None:
    async with RawServer(parting(end)) as server, proxy(route(server)) as running:
        async with await open_websocket(running.port) as client:
            await talk(client, b"one")
            await eventually(lambda: relays_of(running).totals.reconnects == 1)
            await talk(client, b"two")
            (relay,) = relays_of(running).open
            assert relay.backend is not None
            assert relay.backend.leases == 1
            await client.send(close(1000, masked=True))
            assert await frames_until_end(client) == [closing(1000)]
        await eventually(lambda: running.relays == 0)
        assert relay.backend.leases == 0
        assert relays_of(running).totals.client.messages == 2


@in_loop
async def test_what_another_backend_is_told() -> None:
    heads: list[Message] = []

    async def script(wire: Wire) -> None:
        request = await wire.request()
        heads.append(request)
        await wire.send(acceptance(request.head, b"Sec-WebSocket-Protocol: chat"))
        if len(heads) < 3:
            await wire.send(close(1012))
            await receive_frame(wire)
            return
        await wire.rest()

    async with RawServer(script) as server, proxy(route(server)) as running, await connect(running.port) as client:
        offers = (b"Sec-WebSocket-Protocol: chat, other", b"Sec-WebSocket-Extensions: x-any, permessage-deflate")
        await client.send(handshake(*offers, b"Cookie: me=1", b"X-WSProxy-Resume: 7"))
        await client.response()
        await eventually(lambda: len(heads) == 3)
        assert [head.field(b"x-wsproxy-resume") for head in heads] == [None, b"1", b"2"]
        assert [head.field(b"cookie") for head in heads] == [b"me=1"] * 3
        assert {head.target for head in heads} == {b"/ws"}
        assert [head.field(b"sec-websocket-extensions") for head in heads] == [b"permessage-deflate"] * 3
    # The second of two quick losses waited, so that a server that ends at once is not asked without end.


@in_loop
async def test_another_subprotocol_is_no_way_to_go_on() -> None:
    served = 0

    async def script(wire: Wire) -> None:
        nonlocal served
        served += 1
        protocol = (b"Sec-WebSocket-Protocol: chat",) if served == 1 else ()
        await wire.send(acceptance((await wire.request()).head, *protocol))
        if served == 1:
            await receive_frame(wire)
        else:
            await wire.rest()

    async with RawServer(script) as server:
        text = route(server).replace("reconnect_timeout = 2s", "reconnect_timeout = 500ms")
        async with proxy(text) as running, await connect(running.port) as client:
            await client.send(handshake(b"Sec-WebSocket-Protocol: chat"))
            await client.response()
            await client.send(frame(TEXT, b"go", masked=True))
            assert await receive_frame(client) == closing(1012)


@in_loop
async def test_a_client_is_told_to_come_back_when_nobody_takes_over() -> None:
    async with RawServer(parting(ends)) as server:
        text = route(server).replace("reconnect_timeout = 2s", "reconnect_timeout = 500ms")
        async with proxy(text) as running, await open_websocket(running.port) as client:
            (backend,) = running.application.groups["websocket"].group.backends.values()
            await running.application.groups["websocket"].group.set_up(backend, False)
            await talk(client, b"one")
            assert await receive_frame(client) == closing(1012)
            await client.send(close(1012, masked=True))
            assert await client.rest() == b""


@in_loop
async def test_a_close_that_ends_the_conversation_passes() -> None:
    async def finished(wire: Wire) -> None:
        await wire.send(close(1000, b"done"))
        await wire.rest()

    async with RawServer(parting(finished)) as server, proxy(route(server)) as running:
        async with await open_websocket(running.port) as client:
            await talk(client, b"one")
            assert await receive_frame(client) == (8, closing(1000)[1] + b"done")
            await client.send(close(1000, masked=True))
            await client.rest()
        assert relays_of(running).totals.reconnects == 0


@in_loop
async def test_a_server_lost_inside_its_message_cannot_be_replaced() -> None:
    async def inside(wire: Wire) -> None:
        await wire.send(frame(TEXT, b"half", fin=False))

    async with (
        RawServer(parting(inside)) as server,
        proxy(route(server)) as running,
        await open_websocket(running.port) as client,
    ):
        await talk(client, b"one")
        assert await receive_frame(client) == (TEXT, b"half")
        assert await frames_until_end(client) == [closing(1012)]


@in_loop
async def test_messages_sent_meanwhile_wait_for_the_next_backend() -> None:
    release = asyncio.Event()
    served = 0

    async def script(wire: Wire) -> None:
        nonlocal served
        served += 1
        request = await wire.request()
        if served == 1:
            await wire.send(acceptance(request.head), close(1012))
            await receive_frame(wire)
            return
        await release.wait()
        await wire.send(acceptance(request.head))
        while True:
            await wire.send(frame(*await receive_frame(wire)))

    async with (
        RawServer(script) as server,
        proxy(route(server)) as running,
        await open_websocket(running.port) as client,
    ):
        await eventually(lambda: served == 2)
        for number in range(100):
            await client.send(frame(TEXT, b"%d" % number, masked=True))
        release.set()
        for number in range(100):
            assert await receive_frame(client) == (TEXT, b"%d" % number)


@in_loop
async def test_a_client_that_leaves_while_there_is_no_backend_is_let_go() -> None:
    async with RawServer(parting(ends)) as server, proxy(route(server)) as running:
        async with await open_websocket(running.port) as client:
            group = running.application.groups["websocket"].group
            (backend,) = group.backends.values()
            await group.set_up(backend, False)
            await talk(client, b"one")
        await eventually(lambda: running.relays == 0)


async def replace(running: Proxy, old: RawServer, new: RawServer) -> None:
    """Deploy: a new server comes, an old one is drained."""
    group = running.application.groups["websocket"].group
    await group.add(ServerSettings(f"127.0.0.1:{new.port}", Address("127.0.0.1", new.port), max_workers=50))
    assert await group.remove(f"127.0.0.1:{old.port}") is not None


@in_loop
async def test_a_deploy_of_all_backends_under_talking_clients_goes_unnoticed() -> None:
    stop = asyncio.Event()
    heard: list[int] = []

    async def chatter(port: int) -> None:
        async with await open_websocket(port) as client:
            number = 0
            while not stop.is_set():
                await client.send(frame(TEXT, b"%d" % number, masked=True))
                with anyio.fail_after(5):
                    assert await receive_frame(client) == (TEXT, b"%d" % number)
                number += 1
                await asyncio.sleep(0.01)
            heard.append(number)

    async with (
        RawServer(echo) as a,
        RawServer(echo) as b,
        RawServer(echo) as c,
        RawServer(echo) as d,
        proxy(route(a, b, lines="drain_rate = 100")) as running,
    ):
        async with asyncio.TaskGroup() as tasks:
            chatters = [tasks.create_task(chatter(running.port)) for _ in range(60)]
            await eventually(lambda: running.relays == 60)
            await replace(running, a, c)
            await eventually(lambda: a.open == 0)
            await replace(running, b, d)
            await eventually(lambda: b.open == 0)
            assert not any(task.done() for task in chatters), "nobody saw a Close, nobody lost a message"
            stop.set()
        await eventually(lambda: running.relays == 0)
        assert len(heard) == 60
        assert relays_of(running).totals.reconnects >= 60
        assert relays_of(running).totals.closes.keys() == {("client", 1006)}


@in_loop
async def test_a_goodbye_that_is_not_answered_waits_no_longer_than_a_close() -> None:
    accepted: list[Wire] = []
    released = asyncio.Event()

    async def deaf(wire: Wire) -> None:
        await wire.send(acceptance((await wire.request()).head))
        accepted.append(wire)
        await released.wait()

    async with RawServer(deaf) as old, RawServer(echo) as new, proxy(route(old)) as running:
        async with await open_websocket(running.port) as client:
            await client.send(frame(TEXT, b"a", masked=True, fin=False))
            await eventually(lambda: len(accepted) == 1)
            assert await receive_frame(accepted[0]) == (TEXT, b"a")
            await replace(running, old, new)
            await client.send(frame(CONTINUATION, b"b", masked=True))  # only now may the backend be left
            assert await receive_frame(accepted[0]) == (CONTINUATION, b"b")
            assert (await receive_frame(accepted[0]))[0] == PING, "whether it has read all that"
            assert await receive_frame(accepted[0]) == closing(1001), "it does not say"
            (relay,) = relays_of(running).open
            relay.expire()  # what the clock does ten seconds later
            await talk(client, b"new")
        released.set()


@in_loop
async def test_a_backend_that_drains_may_answer_what_it_was_sent_before() -> None:
    drained = asyncio.Event()

    async def slow(wire: Wire) -> None:
        await wire.send(acceptance((await wire.request()).head))
        message = await receive_frame(wire)
        await drained.wait()
        ping = await receive_frame(wire)
        await wire.send(frame(*message), frame(PONG, ping[1]))
        assert await receive_frame(wire) == closing(1001)  # a server of this kind answers nothing behind a Close
        await wire.send(close(1001))

    async with (
        RawServer(slow) as old,
        RawServer(echo) as new,
        proxy(route(old)) as running,
        await open_websocket(running.port) as client,
    ):
        await client.send(frame(TEXT, b"one", masked=True))
        (relay,) = relays_of(running).open
        await eventually(lambda: relay.state.client.messages == 1)
        await replace(running, old, new)
        drained.set()
        assert await receive_frame(client) == (TEXT, b"one")
        await talk(client, b"two")


@in_loop
async def test_a_proxy_that_is_replaced_tells_its_clients_at_once() -> None:
    """Another backend is no way to stay here: there is nobody to take over for long."""
    async with (
        RawServer(echo) as server,
        proxy(route(server), "shutdown_timeout = 20s") as running,
        await open_websocket(running.port) as client,
    ):
        await talk(client, b"one")
        running.application.successor = 1
        signal.raise_signal(signal.SIGTERM)
        with anyio.fail_after(10):
            assert await receive_frame(client) == closing(1012)
        await client.send(close(1012, masked=True))
        assert await client.rest() == b""


@in_loop
async def test_a_conversation_that_ends_while_its_backend_drains_ends() -> None:
    async def kicks(wire: Wire) -> None:
        await wire.send(acceptance((await wire.request()).head))
        assert (await receive_frame(wire))[0] == PING
        await wire.send(close(4000, b"kicked"))
        assert await receive_frame(wire) == closing(4000)

    async with (
        RawServer(kicks) as old,
        RawServer(echo) as new,
        proxy(route(old)) as running,
        await open_websocket(running.port) as client,
    ):
        await eventually(lambda: running.relays == 1)
        await replace(running, old, new)
        assert await receive_frame(client) == (8, (4000).to_bytes(2, "big") + b"kicked")
        await client.send(close(4000, masked=True))
        assert await client.rest() == b""
        await eventually(lambda: running.relays == 0)
        assert new.opened == 0


@pytest.mark.parametrize("keeps_window", [True, False], ids=["server keeps its window", "server empties its window"])
@in_loop
async def test_compression_goes_on_with_another_backend(keeps_window: bool) -> None:
    """Messages like those before refer to them where they may: the new server can read all, and so can the client."""
    deflate = ServerPerMessageDeflateFactory(server_no_context_takeover=not keeps_window)
    message = "the same words again and again, " * 10

    async def say_back(connection: ServerConnection) -> None:
        with suppress(ConnectionClosed):
            for _ in range(3):
                await connection.send(await connection.recv())
            await connection.close(1012)

    async with serve(say_back, "127.0.0.1", 0, extensions=[deflate], compression=None) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        async with proxy(http_route(port, lines=LINES, section="websocket")) as running:
            async with websocket_connect(f"ws://127.0.0.1:{running.port}/ws") as client:
                (extension,) = client.protocol.extensions
                assert isinstance(extension, PerMessageDeflate)
                assert extension.local_no_context_takeover
                assert extension.remote_no_context_takeover is not keeps_window
                for number in range(5):
                    await client.send(f"{message}{number}")
                    assert await client.recv() == f"{message}{number}"
            assert relays_of(running).totals.reconnects == 1


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (b"permessage-deflate", b""),
        (b"", b"permessage-deflate"),
        (b"permessage-deflate", b"permessage-deflate; client_max_window_bits=9"),
        (b"permessage-deflate", b"permessage-deflate; surprise"),
    ],
)
@in_loop
async def test_another_compression_is_no_way_to_go_on(first: bytes, second: bytes) -> None:
    agreed = iter([first])

    async def script(wire: Wire) -> None:
        request = await wire.request()
        extension = next(agreed, second)
        await wire.send(acceptance(request.head, *([b"Sec-WebSocket-Extensions: " + extension] if extension else [])))
        await receive_frame(wire)

    async with RawServer(script) as server:
        text = route(server).replace("reconnect_timeout = 2s", "reconnect_timeout = 500ms")
        async with proxy(text) as running, await connect(running.port) as client:
            await client.send(handshake(b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"))
            await client.response()
            await client.send(frame(TEXT, b"go", masked=True))
            assert await receive_frame(client) == closing(1012)


@in_loop
async def test_an_extension_that_nobody_can_carry_on_is_refused() -> None:
    answer = acceptance(handshake(), b"Sec-WebSocket-Extensions: permessage-deflate; level=9")
    async with RawServer(answer) as server, proxy(route(server)) as running, await connect(running.port) as client:
        await client.send(handshake(b"Sec-WebSocket-Extensions: permessage-deflate"))
        assert (await client.response()).status == 502


@in_loop
async def test_the_first_messages_are_told_to_each_new_backend() -> None:
    heard: list[list[bytes]] = []

    async def script(wire: Wire) -> None:
        await accept(wire)
        words: list[bytes] = []
        heard.append(words)
        while True:
            opcode, payload = await receive_frame(wire)
            if opcode == TEXT:
                words.append(payload)
                await wire.send(frame(TEXT, payload))
            if payload == b"go":
                return

    async with RawServer(script) as server, proxy(route(server, lines="replay_messages = 2")) as running:
        async with await open_websocket(running.port) as client:
            for word in (b"log in", b"subscribe", b"hello", b"go"):
                await client.send(frame(PING, b"?", masked=True))
                await talk(client, word)
            # The replayed messages are answered anew, and before anything else.
            assert [await receive_frame(client) for _ in range(2)] == [(TEXT, b"log in"), (TEXT, b"subscribe")]
            await talk(client, b"again")
            await talk(client, b"go")
            assert [await receive_frame(client) for _ in range(2)] == [(TEXT, b"log in"), (TEXT, b"subscribe")]
            assert heard[:2] == [
                [b"log in", b"subscribe", b"hello", b"go"],
                [b"log in", b"subscribe", b"again", b"go"],
            ]
            totals = relays_of(running).totals
            assert (totals.reconnects, totals.replayed) == (2, 4)
        await eventually(lambda: running.relays == 0)
        assert totals.client.messages == 6


@in_loop
async def test_what_the_buffer_cannot_hold_is_not_replayed() -> None:
    heard: list[bytes] = []

    async def script(wire: Wire) -> None:
        await accept(wire)
        while True:
            _, payload = await receive_frame(wire)
            heard.append(payload)
            if payload == b"go":
                return

    lines = "replay_messages = 3\nreconnect_buffer = 50"
    async with (
        RawServer(script) as server,
        proxy(route(server, lines=lines)) as running,
        await open_websocket(running.port) as client,
    ):
        for payload in (b"log in", b"x" * 100, b"go"):
            await client.send(frame(TEXT, payload, masked=True))
        await eventually(lambda: heard == [b"log in", b"x" * 100, b"go", b"log in"])
        assert relays_of(running).totals.replayed == 1


@in_loop
async def test_the_access_log_names_who_had_it_last(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    async with RawServer(parting(says_restart)) as first, RawServer(echo) as second:
        lines = "server1_name = first\nserver2_name = second"
        async with (
            proxy(route(first, second, lines=lines), log=f"access = {log}\naccess_format = $event $backend") as running,
            await open_websocket(running.port) as client,
        ):
            await talk(client, b"one")
            await eventually(lambda: relays_of(running).totals.reconnects == 1)
            await talk(client, b"two")
            await client.close()
            await eventually(lambda: running.relays == 0)
    assert log.read_text().splitlines() == ["ws_open first", "ws_close second"]
