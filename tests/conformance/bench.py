"""The bench: runs one case on one lane, a listening port of the proxy with a scripted upstream of its own behind it.

Knows sockets and the event loop, so that every byte, half-close and reset is the case's own. What it sees goes into a
Record, unjudged. After each case a fresh client asks for an ordinary answer: that orders the end of the case without
waiting for time to pass, and shows that no poisoned connection is left behind.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from tests.conformance.cases import Case, Do, Dribble, Last, Pause, Reached, Reply, Seen, Step, answer, request
from tests.conformance.judge import PROBES, Record, fits, methods_of
from tests.conformance.wire import Ended, Message, read_requests, read_responses

PATIENCE_S: Final = 30.0
"""For a whole case: far above the slowest proxy timeout of the lanes (2 s, at most two of them in one case)."""
CLOSING_S: Final = 15.0
"""For a close that is due: far above the time a lingering close may take (2 s)."""
DRIBBLING_S: Final = 0.5
"""What pauses between pieces may take together: far below the shortest timeout, however busy the machine is."""
PLAIN: Final = Reply((Do.WHOLE, answer()))
KEPT, PROBE = (request(f"GET {target.decode()} HTTP/1.1", host="probe.test") for target in PROBES)


@dataclass
class Lane:
    """Where the proxy listens, and the listening socket of the upstream behind it (None: nothing listens there)."""

    front: tuple[str, int]
    upstream_port: int
    listener: socket.socket | None


class Signal:
    """Wakes who waits for a change."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def fire(self) -> None:
        """Something has changed."""
        self._event.set()
        self._event = asyncio.Event()

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Wait until `is_so`."""
        while not is_so():
            await self._event.wait()


@dataclass
class Wire:
    """One end of a connection and what came over it."""

    sock: socket.socket
    signal: Signal
    received: bytes = b""
    ended: Ended = ""
    closed: bool = False

    async def read(self) -> None:
        """Receive until the end."""
        loop = asyncio.get_running_loop()
        while not self.ended:
            try:
                data = await loop.sock_recv(self.sock, 1 << 18)
                self.received += data
                self.ended = "" if data else "eof"
            except OSError:
                self.ended = "reset"
            self.signal.fire()

    async def send(self, data: bytes) -> None:
        """Send; that the other side has gone is seen by `read`."""
        with suppress(OSError):
            await asyncio.get_running_loop().sock_sendall(self.sock, data)

    def close(self, reset: bool = False) -> None:
        """End the connection, in order or with a reset."""
        if self.closed:
            return
        self.closed = True
        if reset:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        asyncio.get_running_loop().remove_reader(self.sock)
        self.sock.close()

    async def perform(self, step: Step, other_side: Callable[[], bytes]) -> None:
        """One step of a script."""
        match step:
            case bytes():
                await self.send(step)
            case Dribble(data, size):
                loop = asyncio.get_running_loop()
                hurry_at = loop.time() + DRIBBLING_S
                for at in range(0, len(data), size):
                    await self.send(data[at : at + size])
                    if loop.time() < hurry_at:
                        await asyncio.sleep(0.001)  # lets the proxy read a piece; no outcome needs it
            case Last(data):
                with suppress(OSError):
                    self.sock.send(data, socket.MSG_MORE)
                    self.sock.shutdown(socket.SHUT_WR)
            case Pause(seconds):
                await asyncio.sleep(seconds)
            case Seen(mark):
                await self.signal.until(lambda: mark in self.received or bool(self.ended))
            case Reached(mark):
                await self.signal.until(lambda: mark in other_side() or bool(self.ended))
            case Do.HALF_CLOSE:
                with suppress(OSError):
                    self.sock.shutdown(socket.SHUT_WR)
            case Do.CLOSE | Do.RESET:
                self.close(reset=step is Do.RESET)
            case Do.WHOLE:
                pass


@dataclass
class Upstream:
    """The scripted server of one lane: requests take the replies in the order in which they arrive."""

    replies: list[Reply]
    listener: socket.socket | None
    signal: Signal
    client: Callable[[], bytes]
    wires: list[Wire] = field(default_factory=list)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def received(self) -> bytes:
        """All bytes that came, of all connections."""
        return b"".join(wire.received for wire in self.wires)

    async def run(self) -> None:
        """Accept until cancelled."""
        try:
            while self.listener is not None:
                sock, _ = await asyncio.get_running_loop().sock_accept(self.listener)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                wire = Wire(sock, self.signal)
                self.wires.append(wire)
                self._tasks.add(asyncio.create_task(self._serve(wire)))
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, wire: Wire) -> None:
        reading = asyncio.create_task(wire.read())
        try:
            if self.replies and self.replies[0].at_connect:
                await self._steps(wire, self.replies[0], 0)
            number = 0
            while not wire.closed and await self._arrived(wire, number, whole=False):
                await self._steps(wire, self._reply(_requests(wire)[number]), number)
                if wire.closed or not await self._arrived(wire, number, whole=True):
                    return
                number += 1
        finally:
            reading.cancel()
            wire.close()

    def _reply(self, message: Message) -> Reply:
        if message.target in PROBES:
            return Reply((Do.WHOLE, answer(body=message.target)))
        if self.replies:
            return self.replies.pop(0)
        return Reply((Do.WHOLE, answer(body=b"ok", length=True)[:-2])) if message.start[:5] == b"HEAD " else PLAIN

    async def _steps(self, wire: Wire, reply: Reply, number: int) -> None:
        for step in reply.steps:
            if wire.closed or (step is Do.WHOLE and not await self._arrived(wire, number, whole=True)):
                return
            await wire.perform(step, self.client)

    async def _arrived(self, wire: Wire, number: int, whole: bool) -> bool:
        def is_there() -> bool:
            messages = _requests(wire)
            return len(messages) > number and (messages[number].complete or not whole)

        await self.signal.until(lambda: is_there() or bool(wire.ended) or wire.closed)
        return is_there()


def _requests(wire: Wire) -> list[Message]:
    return read_requests(wire.received, wire.ended)[0]


async def run_case(case: Case, lane: Lane) -> Record:
    """Act out the case. Never raises for what the proxy does."""
    record = Record()
    signal = Signal()
    client = Wire(await _connect(lane.front), signal)
    upstream = Upstream(list(case.replies), lane.listener, signal, lambda: client.received)
    serving = asyncio.create_task(upstream.run())
    reading = asyncio.create_task(client.read())
    try:
        await _act(case, client, upstream, record)
        client.close()
        if case.upstream_listens:
            record.trouble += await _probe(lane)
    finally:
        client.close()
        record.upstream = [(wire.received, wire.ended) for wire in upstream.wires]
        for task in (reading, serving):
            task.cancel()
        await asyncio.gather(reading, serving, return_exceptions=True)
    return record


async def _act(case: Case, client: Wire, upstream: Upstream, record: Record) -> None:
    """The client's part: its steps, the answers that are due, then whether the connection is kept."""
    due = max(len(outcome.client) for outcome in case.outcomes)

    def finals(extra: int = 0) -> bool:
        messages, _ = read_responses(client.received, methods_of(case), client.ended)
        return sum(message.complete and message.status >= 200 for message in messages) >= due + extra

    def is_over() -> bool:
        return bool(client.ended) or client.closed or finals()

    try:
        async with asyncio.timeout(PATIENCE_S):
            for step in case.client:
                await client.perform(step, upstream.received)
                if client.closed:
                    break
            await client.signal.until(is_over)
    except TimeoutError:
        record.trouble.append(f"nothing came for long; so far {client.received[-120:]!r}")
    record.received = client.received
    fitting = [outcome.kept for outcome in case.outcomes if fits(outcome, case, client.received, client.ended)]
    if any(fitting) and not client.ended:
        record.kept = await _is_kept(client, len(record.received))
    elif False in fitting or not finals():
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSING_S):
                await client.signal.until(lambda: bool(client.ended) or client.closed)
        record.received = client.received
    record.ended = client.ended


async def _is_kept(client: Wire, start: int) -> bool:
    await client.send(KEPT)
    with suppress(TimeoutError):
        async with asyncio.timeout(CLOSING_S):
            await client.signal.until(lambda: bool(client.ended) or client.received.endswith(PROBES[0]))
    messages, _ = read_responses(client.received[start:], (), client.ended)
    return [(message.status, message.body) for message in messages] == [(200, PROBES[0])]


async def _probe(lane: Lane) -> list[str]:
    """Ask as a fresh client; complaints, if the answer is not the plain one."""
    wire = Wire(await _connect(lane.front), Signal())
    reading = asyncio.create_task(wire.read())
    with suppress(TimeoutError):
        async with asyncio.timeout(CLOSING_S):
            await wire.send(PROBE)
            await wire.signal.until(lambda: bool(wire.ended) or wire.received.endswith(PROBES[1]))
    messages, _ = read_responses(wire.received, (), wire.ended)
    reading.cancel()
    wire.close()
    if [(message.status, message.body) for message in messages] == [(200, PROBES[1])]:
        return []
    return [f"the next client got {wire.received[:160]!r}"]


async def _connect(front: tuple[str, int]) -> socket.socket:
    sock = socket.socket()
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    await asyncio.get_running_loop().sock_connect(sock, front)
    return sock
